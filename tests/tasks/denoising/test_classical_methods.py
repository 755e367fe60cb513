"""The denoisers without training: what they do to noise, and to input that is not as it should be."""

import importlib

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.methods import methods_of

NAMES = ["constant", "fasthyde", "forpdn", "hyres", "noisy", "oracle", "otvca", "svd", "svd_wavelet", "wsrrr"]
RIVALS = ["fasthyde", "forpdn", "hyres", "otvca", "svd", "svd_wavelet", "wsrrr"]


def run(name, noisy, truth=None, **settings):
    function = importlib.import_module(f"hsipipe.tasks.denoising.methods.{name}.model").denoise
    if name in ("noisy", "constant"):
        return torch.from_numpy(function(noisy.numpy(), **settings))
    if name == "oracle":
        settings["truth"] = noisy if truth is None else truth
    if name == "fasthyde":
        settings = {"rank": 4, **settings}  # as many as the scenes below have
    with torch.inference_mode():
        return function(noisy, **settings)


def mixture(bands=60, rows=48, cols=40, batch=1, seed=0):
    """Smooth and blocky abundances of four smooth spectra, in [0, 1]."""
    generator = np.random.default_rng(seed)
    nodes = generator.uniform(0.1, 1, (batch, 4, 6))
    at = np.linspace(0, 5, bands)
    spectra = np.stack([[np.interp(at, np.arange(6), row) for row in cube] for cube in nodes])
    blocks = np.kron(generator.uniform(0, 1, (batch, 4, 4, 4)), np.ones((rows // 4, cols // 4)))
    waves = 1 + np.sin(np.linspace(0, 6, rows))[:, None] * np.cos(np.linspace(0, 5, cols))[None]
    abundances = blocks * waves
    abundances /= abundances.sum(1, keepdims=True) + 0.2
    return torch.from_numpy(np.einsum("bkc,bkhw->bchw", spectra, abundances).astype(np.float32))


def with_noise(clean, sigma=0.1, seed=0):
    return clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))


def psnr(estimate, truth):
    return float(-10 * torch.log10((estimate - truth).square().mean()))


def test_each_has_a_description_and_settings_that_its_function_takes():
    methods = methods_of("denoising")
    for name in NAMES:
        method = methods[name]
        assert method.kind == ("oracle" if name == "oracle" else "direct")
        assert method.citation
        assert method.resources["run"]["gpu"] == 0
        defaults = {key: entry["default"] for key, entry in method.settings.items()}
        taken = method.load().denoise.__kwdefaults__
        assert defaults == {key: value for key, value in taken.items() if key != "wavelength_nm"}
        assert all(entry["meaning"] for entry in method.settings.values())


@pytest.mark.parametrize("name", RIVALS)
def test_gaussian_noise_is_removed(name):
    clean = mixture()
    noisy = with_noise(clean)
    estimate = run(name, noisy)
    assert estimate.shape == noisy.shape
    assert estimate.dtype == torch.float32
    assert psnr(estimate, clean) > psnr(noisy, clean) + (8 if name == "forpdn" else 10)


@pytest.mark.parametrize("name", ["fasthyde", "hyres", "svd_wavelet", "wsrrr"])
def test_a_spatial_step_beats_the_oracle_subspace_alone(name):
    clean = mixture()
    noisy = with_noise(clean)
    assert psnr(run(name, noisy), clean) > psnr(run("oracle", noisy, truth=clean), clean)


@pytest.mark.parametrize("name", ["fasthyde", "forpdn", "hyres", "svd_wavelet", "wsrrr"])
def test_bands_of_different_noise_are_whitened(name):
    clean = mixture()
    sigma = torch.linspace(0.02, 0.2, 60)[None, :, None, None]
    estimate = run(name, clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)))
    loud, quiet = slice(45, 60), slice(0, 10)
    assert psnr(estimate[:, loud], clean[:, loud]) > 24
    assert psnr(estimate[:, quiet], clean[:, quiet]) > 34


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shape",
    [(1, 8, 8), (2, 8, 8), (3, 8, 8), (4, 9, 17), (200, 8, 8), (30, 5, 3), (12, 1, 1), (20, 37, 50), (10, 1, 64)],
)
def test_any_shape_gives_a_finite_estimate(name, shape):
    noisy = torch.rand(2, *shape, generator=torch.Generator().manual_seed(2))
    estimate = run(name, noisy)
    assert estimate.shape == noisy.shape
    assert torch.isfinite(estimate).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_cube_stays(name, value):
    noisy = torch.full((1, 6, 16, 16), value)
    assert torch.allclose(run(name, noisy), noisy, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_constant_and_duplicate_bands_and_bad_values_are_borne(name):
    clean = mixture(bands=40)
    noisy = with_noise(clean)
    noisy[:, 5], noisy[:, 6], noisy[:, 20] = 0.0, 0.8, noisy[:, 21]
    estimate = run(name, noisy)
    assert torch.isfinite(estimate).all()
    if name not in ("svd", "otvca", "oracle"):
        assert torch.allclose(estimate[:, 5:7], noisy[:, 5:7], atol=1e-3)
    others = [band for band in range(40) if band not in (5, 6)]
    if name in RIVALS:
        assert psnr(estimate[:, others], clean[:, others]) > 24
    noisy[0, 3, 4, 5], noisy[0, 9, 0, 0] = torch.nan, torch.inf
    assert torch.isfinite(run(name, noisy)).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_cubes_one_by_one_and_input_is_left_alone(name):
    noisy = with_noise(torch.cat([mixture(seed=3), mixture(seed=4)]), 0.1)
    noisy[1] = with_noise(mixture(seed=4), 0.02)[0]
    before = noisy.clone()
    together = run(name, noisy)
    assert torch.equal(noisy, before)
    for index in range(2):
        alone = run(name, noisy[index : index + 1])
        assert (together[index] - alone[0]).abs().max() < 2e-3
    assert torch.equal(run(name, noisy), together)


@pytest.mark.parametrize("name", RIVALS)
def test_the_unit_of_the_data_does_not_matter(name):
    noisy = with_noise(mixture(bands=40))
    assert (run(name, noisy * 1000) / 1000 - run(name, noisy)).abs().max() < 5e-3


@pytest.mark.parametrize("name", ["forpdn", "hyres", "svd", "svd_wavelet"])
def test_input_without_noise_is_hardly_changed(name):
    clean = mixture()
    assert psnr(run(name, clean), clean) > 45


def test_the_controls_are_what_they_say():
    noisy = with_noise(mixture(bands=5))
    assert torch.equal(run("noisy", noisy), noisy)
    constant = run("constant", noisy)
    assert torch.allclose(constant, noisy.mean(dim=(-2, -1), keepdim=True).expand_as(noisy), atol=1e-6)


def test_svd_is_the_best_approximation_of_its_rank():
    noisy = with_noise(mixture(bands=20), 0.02)
    left, singular, right = np.linalg.svd(noisy[0].flatten(1).double().numpy(), full_matrices=False)
    wanted = (left[:, :3] * singular[:3]) @ right[:3]
    assert np.allclose(run("svd", noisy, rank=3)[0].flatten(1), wanted, atol=1e-5)
    assert np.linalg.matrix_rank(run("svd", noisy)[0].flatten(1).numpy(), tol=1e-3) == 4
    assert np.linalg.matrix_rank(run("svd", noisy, max_rank=2)[0].flatten(1).numpy(), tol=1e-3) == 2


def test_hyres_limits_its_rank():
    noisy = with_noise(mixture(), 0.05)
    factors = np.linalg.svd(run("hyres", noisy, max_rank=2)[0].flatten(1).numpy(), compute_uv=False)
    assert factors[2] < 1e-4 * factors[0] < factors[1]


def test_hyres_really_thresholds():
    noisy = with_noise(mixture(), 0.2)
    plain = importlib.import_module("hsipipe.tasks.denoising.methods.svd.model").denoise(noisy)
    clean = mixture()
    assert psnr(run("hyres", noisy), clean) > psnr(plain, clean) + 3


def test_forpdn_orders_bands_by_wavelength_and_skips_constant_ones():
    clean = mixture()
    noisy = with_noise(clean)
    shuffle = torch.randperm(60, generator=torch.Generator().manual_seed(5))
    wavelength_nm = torch.linspace(400, 2500, 60)
    straight = run("forpdn", noisy, wavelength_nm=wavelength_nm)
    shuffled = run("forpdn", noisy[:, shuffle], wavelength_nm=wavelength_nm[shuffle])
    assert torch.allclose(shuffled, straight[:, shuffle], atol=1e-4)
    assert psnr(run("forpdn", noisy[:, shuffle]), clean[:, shuffle]) < psnr(straight, clean) - 1
    module = importlib.import_module("hsipipe.tasks.denoising.methods.forpdn.model")
    penalty = module.difference_penalty(torch.tensor([[True, False, True, True]]), None)
    assert penalty[0].tolist() == [[1, 0, -1, 0], [0, 0, 0, 0], [-1, 0, 2, -1], [0, 0, -1, 1]]


def test_forpdns_estimate_of_the_risk_picks_nearly_the_best_penalty():
    generator = np.random.default_rng(6)
    bands, count = 50, 4000
    smooth = np.cumsum(generator.normal(size=(bands, count)), axis=0) * 0.05
    scale = generator.uniform(0.1, 0.3, bands)
    noisy = smooth + scale[:, None] * generator.normal(size=smooth.shape)
    module = importlib.import_module("hsipipe.tasks.denoising.methods.forpdn.model")
    smoother = module.SpectralSmoother(torch.from_numpy(scale)[None], None)
    matrix = smoother.best(torch.from_numpy(noisy @ noisy.T / count)[None])[0].numpy()
    error = ((matrix @ noisy - smooth) ** 2).mean()
    difference = np.diff(np.eye(bands), axis=0)
    errors = [
        ((np.linalg.inv(np.eye(bands) + lam * np.diag(scale**2) @ difference.T @ difference) @ noisy - smooth) ** 2)
        for lam in np.geomspace(1, 1e5, 60)
    ]
    assert error < 1.01 * min(each.mean() for each in errors)


def test_wsrrr_and_otvca_have_the_rank_they_are_given():
    noisy = with_noise(mixture(), 0.05)
    for name, settings in (("wsrrr", {"rank": 2}), ("otvca", {"features": 2})):
        factors = np.linalg.svd(run(name, noisy, **settings)[0].flatten(1).numpy(), compute_uv=False)
        assert factors[2] < 1e-4 * factors[0] < factors[1]


def test_otvca_flattens_with_its_weight():
    noisy = with_noise(mixture(), 0.05)
    rough, flat = (run("otvca", noisy, weight=weight).diff(dim=-1).abs().mean() for weight in (0.001, 1.0))
    assert flat < 0.3 * rough


def test_fasthyde_for_counts_and_its_inverse_transform():
    module = importlib.import_module("hsipipe.tasks.denoising.methods.fasthyde.model")
    generator = np.random.default_rng(7)
    for mean in (1.0, 5.0, 30.0):
        stable = 2 * np.sqrt(generator.poisson(mean, 400000) + 0.375)
        assert module.inverse_anscombe(torch.tensor([stable.mean()])).item() == pytest.approx(mean, rel=0.01)
    clean = mixture() * 50
    counts = torch.from_numpy(generator.poisson(clean.numpy()).astype(np.float32))
    gains = {noise: psnr(run("fasthyde", counts, noise=noise), clean) for noise in ("poisson", "iid")}
    assert gains["poisson"] > psnr(counts, clean) + 10
    assert gains["poisson"] > gains["iid"] - 0.5
    scaled = run("fasthyde", counts / 50, noise="poisson", gain=1 / 50) * 50
    assert psnr(scaled, clean) > gains["poisson"] - 0.5


def test_fasthyde_refuses_unknown_noise():
    with pytest.raises(UserError, match="did you mean 'poisson'"):
        run("fasthyde", torch.rand(1, 3, 16, 16), noise="poison")


def test_the_oracle_takes_the_best_rank_and_needs_a_truth_that_fits():
    clean = mixture()
    noisy = with_noise(clean, 0.3)
    best = psnr(run("oracle", noisy, truth=clean), clean)
    each = [psnr(run("oracle", noisy, truth=clean, rank=rank), clean) for rank in range(1, 8)]
    assert best == pytest.approx(max(each), abs=1e-4)
    with pytest.raises(UserError, match="shape"):
        run("oracle", noisy, truth=clean[:, :3])


def test_the_controls_do_not_import_torch():
    import subprocess
    import sys

    code = (
        "import sys, hsipipe.tasks.denoising.methods.noisy.model, hsipipe.tasks.denoising.methods.constant.model;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
