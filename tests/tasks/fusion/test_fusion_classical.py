import inspect
import subprocess
import sys
import warnings

import numpy as np
import pytest

from hsipipe.degrade.blur import Blur
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.tasks.fusion.shared.pair import nyquist_gaussian

CLASSICAL = ("bicubic", "gsa", "sfim", "glp", "cnmf", "hysure", "ridge", "oracle")
RIVALS = tuple(name for name in CLASSICAL if name not in ("bicubic", "oracle"))
BLOCKWISE = ("bicubic", "gsa", "sfim", "glp", "ridge")


def psf(half=4, sigma=1.7):
    line = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return np.outer(line, line) / line.sum() ** 2


def response(bands, channels):
    centres = np.linspace(0, bands - 1, channels + 2)[1:-1, None]
    matrix = np.exp(-0.5 * ((np.arange(bands) - centres) / (bands / channels / 2 + 0.5)) ** 2)
    return matrix / matrix.sum(1, keepdims=True)


def scene(bands=24, rows=64, cols=56, materials=5, seed=0):
    """Patches of smooth spectra, shaded."""
    generator = np.random.default_rng(seed)
    axis = np.linspace(0, 3, bands)
    rates, phases = generator.uniform(0.5, 2, (materials, 1)), generator.uniform(0, 6, (materials, 1))
    spectra = 0.4 + 0.3 * np.sin(axis * rates + phases)
    labels = generator.integers(0, materials, (rows // 8 + 2, cols // 8 + 2))
    labels = np.repeat(np.repeat(labels, 8, 0), 8, 1)[3 : rows + 3, 3 : cols + 3]
    shade = 0.8 + 0.4 * generator.random((rows, cols))
    return (spectra[labels].transpose(2, 0, 1) * shade).astype(np.float32)


def degraded(truth, *, ratio=4, channels=4, edge="reflect", noise=0.002, kernel=None):
    generator = np.random.default_rng(1)
    srf = response(len(truth), channels)
    kernel = psf() if kernel is None else kernel
    msi = np.tensordot(srf, truth, 1)
    hsi = Blur(kernel, ratio, truth.shape[1:], edge=edge).forward(truth)
    msi, hsi = ((image + noise * generator.standard_normal(image.shape)).astype(np.float32) for image in (msi, hsi))
    return hsi, msi, {"psf": kernel, "srf": srf, "edge": edge}


def cube_of(result):
    return getattr(result, "cube", result)


def fuse(name, hsi, msi, truth=None, **settings):
    if name == "oracle":
        settings["truth"] = truth
    return cube_of(find_method("fusion", name).load().fuse(hsi, msi, **settings))


def error(cube, truth):
    return float(np.sqrt(((cube - truth) ** 2).mean()))


@pytest.mark.parametrize("edge", ["reflect", "zero"])
@pytest.mark.parametrize("name", RIVALS)
def test_each_method_halves_the_error_of_interpolation(name, edge):
    truth = scene()
    hsi, msi, known = degraded(truth, edge=edge)
    assert error(fuse(name, hsi, msi, **known), truth) < 0.5 * error(fuse("bicubic", hsi, msi, **known), truth)


@pytest.mark.parametrize("edge", ["reflect", "zero"])
@pytest.mark.parametrize("name", ["gsa", "sfim", "glp", "ridge", "oracle"])
def test_a_scene_that_is_linear_in_its_msi_is_restored_exactly(name, edge):
    # Its details are those of the MSI, its gains are 1, and its ratio is that of the MSI.
    generator = np.random.default_rng(0)
    msi = (0.2 + 0.6 * generator.random((3, 48, 40))).astype(np.float32)
    truth = np.tensordot(generator.dirichlet(np.ones(3), 10), msi, 1).astype(np.float32)
    hsi = Blur(psf(), 4, (48, 40), edge=edge).forward(truth)
    settings = {"floor": 0.0} if name == "sfim" else {}
    cube = fuse(name, hsi, msi, truth, psf=psf(), edge=edge, **settings)
    np.testing.assert_allclose(cube, truth, atol=2e-3)


def test_the_quadratic_fit_and_its_oracle_restore_a_quadratic_scene():
    generator = np.random.default_rng(0)
    msi = generator.random((2, 64, 64)).astype(np.float32)
    truth = np.stack([msi[0], msi[1], msi[0] ** 2, 0.5 * msi[0] * msi[1] + 0.2]).astype(np.float32)
    srf = np.eye(4)[:2]
    hsi = truth[:, ::2, ::2]
    cube = fuse("ridge", hsi, msi, srf=srf, degree=2, ridge=0.0)
    np.testing.assert_allclose(cube, truth, atol=1e-4)
    np.testing.assert_allclose(fuse("oracle", hsi, msi, truth), truth, atol=1e-4)


def test_nothing_of_its_kind_beats_the_oracle():
    truth = scene()
    hsi, msi, known = degraded(truth)
    ceiling = error(fuse("oracle", hsi, msi, truth), truth)
    for degree in (1, 2):
        assert ceiling <= error(fuse("ridge", hsi, msi, degree=degree, **known), truth)


@pytest.mark.parametrize("name", ["gsa", "sfim", "glp", "hysure", "ridge"])
def test_neither_psf_nor_response_need_be_known(name):
    truth = scene()
    gaussian = nyquist_gaussian(4)
    hsi, msi, _ = degraded(truth, kernel=gaussian)
    assert error(fuse(name, hsi, msi), truth) < 0.7 * error(fuse("bicubic", hsi, msi), truth)


@pytest.mark.parametrize("name", BLOCKWISE)
def test_blocks_with_their_halo_meet_without_a_seam(name):
    truth = scene(rows=96)
    hsi, msi, known = degraded(truth)
    module = find_method("fusion", name).load()
    whole = fuse(name, hsi, msi, **known)
    model = module.fit([(hsi, msi)], **known)
    halo = module.halo(model)
    upper = module.apply(model, hsi[:, : 12 + halo], msi[:, : 4 * (12 + halo)])[:, :48]
    lower = module.apply(model, hsi[:, 12 - halo :], msi[:, 4 * (12 - halo) :])[:, 4 * halo :]
    np.testing.assert_allclose(np.concatenate([upper, lower], axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("name", BLOCKWISE)
def test_a_fit_on_windows_is_near_that_on_the_whole(name):
    truth = scene(rows=96)
    hsi, msi, known = degraded(truth)
    module = find_method("fusion", name).load()
    windows = [(hsi[:, :12], msi[:, :48]), (hsi[:, 12:], msi[:, 48:])]
    cube = module.apply(module.fit(windows, **known), hsi, msi)
    assert error(cube, fuse(name, hsi, msi, **known)) < 0.01


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_same_input_gives_the_same_bytes_and_stays_as_it_was(name):
    truth = scene(bands=8, rows=24, cols=24)
    hsi, msi, known = degraded(truth, channels=2)
    before = hsi.copy(), msi.copy()
    first, second = (fuse(name, hsi, msi, truth, **known) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert first.dtype == np.float32
    assert first.shape == truth.shape
    np.testing.assert_array_equal(hsi, before[0])
    np.testing.assert_array_equal(msi, before[1])


@pytest.mark.parametrize(
    ("bands", "channels", "size", "ratio", "kind"),
    [
        (1, 1, (3, 3), 2, "any"),
        (5, 1, (3, 4), 32, "any"),
        (400, 16, (3, 3), 4, "any"),
        (1, 16, (8, 8), 3, "any"),
        (20, 4, (7, 9), 4, "constant"),
        (20, 4, (9, 7), 4, "dead bands"),
        (20, 4, (7, 9), 4, "some negative"),
    ],
)
@pytest.mark.parametrize("name", CLASSICAL)
def test_odd_sizes_and_dull_bands(name, bands, channels, size, ratio, kind):
    truth = scene(bands, size[0] * ratio, size[1] * ratio)
    if kind == "constant":
        truth[:] = 0.3
    elif kind == "dead bands":
        truth[0], truth[-1] = 0, 0.5
    elif kind == "some negative":
        truth -= 0.2
    hsi, msi, known = degraded(truth, ratio=ratio, channels=channels, noise=0, kernel=psf(half=2, sigma=1.0))
    settings = {"iterations": 30} if name == "hysure" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for psf_or_none in (known["psf"], None):
            cube = fuse(name, hsi, msi, truth, **{**known, "psf": psf_or_none}, **settings)
            assert cube.shape == truth.shape
            assert np.isfinite(cube).all()
            assert np.abs(cube).max() < 10
            if kind == "constant":
                np.testing.assert_allclose(cube, 0.3, atol=0.02)


def test_gaussian_of_a_given_gain_at_the_nyquist_rate():
    for ratio in (2, 4, 8):
        kernel = nyquist_gaussian(ratio, gain=0.2)
        positions = np.arange(len(kernel)) - len(kernel) // 2
        passed = (kernel.sum(0) * np.cos(np.pi * positions / ratio)).sum()
        block = abs(np.exp(-1j * np.pi * np.arange(ratio) / ratio).mean())
        assert passed * block == pytest.approx(0.2, abs=0.01)
        assert kernel.sum() == pytest.approx(1)


def test_cnmf_mixes_its_endmembers_with_shares_that_sum_to_one():
    truth = scene(bands=12, rows=32, cols=32)
    hsi, msi, known = degraded(truth)
    fused = find_method("fusion", "cnmf").load().fuse(hsi, msi, **known, endmembers=6)
    assert fused.endmembers.shape == (6, 12)
    assert fused.latents.shape == (6, 32, 32)
    assert fused.latents.min() >= 0
    assert abs(np.median(fused.latents.sum(0)) - 1) < 0.1
    np.testing.assert_allclose(np.tensordot(fused.endmembers.T, fused.latents, 1), fused.cube, atol=1e-5)


def test_hysure_mixes_its_subspace_and_tells_what_it_estimated():
    truth = scene(bands=12, rows=32, cols=32)
    hsi, msi, known = degraded(truth)
    module = find_method("fusion", "hysure").load()
    fused = module.fuse(hsi, msi, **{**known, "psf": None}, basis="svd", iterations=20)
    assert fused.found == {"estimated": ["psf"], "rank": 10}
    assert fused.psf.sum() == pytest.approx(1)
    np.testing.assert_allclose(fused.endmembers @ fused.endmembers.T, np.eye(10), atol=1e-5)
    np.testing.assert_allclose(np.tensordot(fused.endmembers.T, fused.latents, 1), fused.cube, atol=1e-5)


def test_cnmf_needs_the_response():
    with pytest.raises(UserError, match=r"^srf: CNMF needs the spectral response"):
        fuse("cnmf", np.ones((3, 4, 4), np.float32), np.ones((1, 8, 8), np.float32), psf=psf())


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize(
    ("hsi_shape", "msi_shape", "message"),
    [
        ((3, 4, 4), (2, 8, 12), "whole multiple"),
        ((3, 4, 4), (2, 9, 9), "whole multiple"),
        ((3, 4, 4), (2, 4, 4), "whole multiple"),
        ((3, 1, 4), (2, 4, 16), "at least 2 x 2"),
        ((4, 4), (2, 8, 8), r"bands, rows, cols"),
        ((3, 4, 4), (2, 0, 8), r"bands, rows, cols"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name, hsi_shape, msi_shape, message):
    hsi, msi = np.ones(hsi_shape, np.float32), np.ones(msi_shape, np.float32)
    with pytest.raises(UserError, match=message):
        fuse(name, hsi, msi, np.ones((3, *msi_shape[1:]), np.float32), srf=np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("name", CLASSICAL)
def test_values_that_are_not_finite_are_refused(name):
    hsi, msi = np.ones((3, 4, 4), np.float32), np.ones((2, 8, 8), np.float32)
    hsi[1, 2, 3] = np.nan
    with pytest.raises(UserError, match="lr_hsi: has values that are not finite"):
        fuse(name, hsi, msi, np.ones((3, 8, 8), np.float32), srf=np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("name", ["gsa", "cnmf", "hysure", "ridge"])
def test_a_response_of_other_bands_is_refused(name):
    with pytest.raises(UserError, match=r"srf: the response matrix must be .* expected \(2, 3\)"):
        fuse(name, np.ones((3, 4, 4), np.float32), np.ones((2, 8, 8), np.float32), srf=np.full((2, 4), 0.25))


def test_a_truth_of_another_shape_is_refused():
    with pytest.raises(UserError, match="truth: the truth must be"):
        fuse("oracle", np.ones((3, 4, 4), np.float32), np.ones((2, 8, 8), np.float32), np.ones((3, 4, 4), np.float32))


@pytest.mark.parametrize("gain", [0.0, 0.8])
def test_a_gain_out_of_range_is_refused(gain):
    with pytest.raises(UserError, match="nyquist_gain: must be above 0 and below"):
        fuse("glp", np.ones((3, 4, 4), np.float32), np.ones((2, 8, 8), np.float32), nyquist_gain=gain)


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_settings_of_the_file_are_those_of_the_function(name):
    method = find_method("fusion", name)
    assert method.backend == "numpy"
    shared = {"lr_hsi", "hr_msi", "psf", "srf", "edge", "wavelength_nm", "seed", "truth"}
    parameters = inspect.signature(method.load().fuse).parameters
    assert {key: value.default for key, value in parameters.items() if key not in shared} == method.complete({})
    assert ("seed" in parameters) == method.random
    assert ("truth" in parameters) == (method.kind == "oracle")


def test_no_classical_method_imports_torch():
    modules = ", ".join(find_method("fusion", name).module for name in CLASSICAL)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
