"""Subspace MAP as a whole: better than its start, blind to what it must not see, and never NaN."""

import numpy as np
import pytest

from hsipipe.degrade.pair import degrade_pair, peer_normalise
from hsipipe.degrade.psf import make_psf
from hsipipe.degrade.response import make_srf
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.tasks.fusion.methods.subspace_map import model as method


def make_truth(bands=24, rows=72, cols=64, seed=0):
    """Patches of five materials with soft borders and an illumination that varies."""
    generator = np.random.default_rng(seed)
    smooth = np.fft.rfft2(generator.standard_normal((5, rows, cols)))
    frequency = np.hypot.outer(np.fft.fftfreq(rows), np.fft.rfftfreq(cols))
    fields = np.fft.irfft2(smooth / (0.02 + frequency) ** 1.3, s=(rows, cols))
    fields = np.exp(4 * fields / fields.std())
    shares = fields / fields.sum(0)
    spectra = np.cumsum(generator.standard_normal((5, bands)), axis=1)
    spectra = 0.1 + 0.8 * (spectra - spectra.min()) / np.ptp(spectra)
    return np.tensordot(spectra.T, shares, 1).astype(np.float32)


@pytest.fixture(scope="module")
def pair():
    truth = make_truth()
    psf = make_psf("gaussian:sigma=2,size=9")
    srf = make_srf(4, wavelength_nm=None, bands=len(truth), axis="stretched").matrix
    low, high = degrade_pair(truth, psf=psf, srf=srf, ratio=4, snr_hsi_db=35, snr_msi_db=40, seed=("test",))
    return truth, low, high, psf, srf


def rmse(cube, truth):
    return float(np.sqrt(np.mean((cube - truth) ** 2)))


def test_refinement_and_blur_pay(pair):
    truth, low, high, psf, srf = pair
    known = method.fuse(low, high, psf=psf, srf=srf, psf_source="known")
    start = method.fuse(low, high, psf=psf, srf=srf, psf_source="known", refine=False)
    pixelwise = method.fuse(low, high, srf=srf, psf_source="none")
    assert known.cube.shape == truth.shape
    assert known.cube.dtype == np.float32
    assert rmse(known.cube, truth) < 0.97 * rmse(start.cube, truth)
    assert rmse(start.cube, truth) < rmse(pixelwise.cube, truth)
    assert np.array_equal(known.psf, psf / psf.sum())
    assert known.found["iterations"] > 0
    assert "iterations" not in start.found
    assert pixelwise.psf is None
    assert pixelwise.found["psf_source"] == "none"


def test_the_estimated_psf_serves_as_well(pair):
    truth, low, high, psf, srf = pair
    known = rmse(method.fuse(low, high, psf=psf, srf=srf, psf_source="known").cube, truth)
    estimated = method.fuse(low, high, srf=srf)
    assert rmse(estimated.cube, truth) < 1.035 * known  # 0.3 dB
    assert estimated.found["psf_rms"] == pytest.approx([1.96, 1.96], abs=0.25)


def test_estimated_and_none_do_not_look_at_the_psf(pair):
    _, low, high, _, srf = pair
    wrong = make_psf("delta")
    for source in ("estimated", "none"):
        given, missing = (
            method.fuse(low, high, psf=kernel, srf=srf, psf_source=source).cube for kernel in (wrong, None)
        )
        assert np.array_equal(given, missing)


def test_same_input_same_output(pair):
    _, low, high, _, srf = pair
    assert np.array_equal(method.fuse(low, high, srf=srf).cube, method.fuse(low, high, srf=srf).cube)


def test_the_unit_of_the_data_does_not_matter(pair):
    _, low, high, _, srf = pair
    one, many = method.fuse(low, high, srf=srf), method.fuse(low * 5000, high * 5000, srf=srf)
    assert one.found["rank"] == many.found["rank"]
    assert np.abs(many.cube / 5000 - one.cube).max() < 2e-3


def test_without_a_response_it_is_estimated(pair):
    truth, low, high, _, srf = pair
    blind = method.fuse(low, high)
    assert blind.found["srf"] == "estimated"
    assert rmse(blind.cube, truth) < 1.5 * rmse(method.fuse(low, high, srf=srf).cube, truth)


def test_blocks_agree_with_the_whole(pair):
    _, low, high, _, srf = pair
    low, high = (np.concatenate([image, image[:, ::-1]], axis=1) for image in (low, high))
    learnt = method.fit([(low, high)], srf=srf)
    whole, halo = method.apply(learnt, low, high), method.halo(learnt)
    rows = low.shape[1] // 2
    top = method.apply(learnt, low[:, : rows + halo], high[:, : 4 * (rows + halo)])[:, : 4 * rows]
    bottom = method.apply(learnt, low[:, rows - halo :], high[:, 4 * (rows - halo) :])[:, 4 * halo :]
    assert np.abs(np.concatenate([top, bottom], axis=1) - whole).max() < 1e-3


def test_a_model_of_windows_serves_the_whole(pair):
    truth, low, high, _, srf = pair
    halves = [(low[:, :, :8], high[:, :, :32]), (low[:, :, 8:], high[:, :, 32:])]
    learnt = method.fit(halves, srf=srf)
    whole = method.fuse(low, high, srf=srf).cube
    assert rmse(method.apply(learnt, low, high), truth) < 1.5 * rmse(whole, truth)


def test_only_a_signal_without_negatives_is_clipped(pair):
    _, low, high, _, srf = pair
    assert method.fuse(low, high, srf=srf).cube.min() >= 0
    shifted = method.fuse(low - 0.5, high - 0.5, srf=srf).cube
    assert shifted.min() < -0.1


@pytest.mark.parametrize(
    ("bands", "channels", "size", "ratio"),
    [(60, 4, (3, 3), 32), (3, 16, (4, 5), 4), (120, 1, (6, 4), 2), (5, 3, (2, 2), 3)],
)
def test_tiny_images(bands, channels, size, ratio):
    truth = make_truth(bands, size[0] * ratio, size[1] * ratio)
    srf = np.random.default_rng(1).dirichlet(np.ones(bands), channels)
    low, high = degrade_pair(truth, psf=None, srf=srf, ratio=ratio, snr_hsi_db=35, snr_msi_db=40, seed=("tiny",))
    for source in method.SOURCES:
        fused = method.fuse(low, high, psf=np.ones((3, 3)), srf=srf, psf_source=source)
        assert fused.cube.shape == (bands, size[0] * ratio, size[1] * ratio)
        assert np.abs(fused.cube - truth).max() < 1


def test_constant_and_zero_bands(pair):
    _, low, high, _, srf = pair
    low = low.copy()
    low[3], low[7] = 0, 0.5
    cube = method.fuse(low, high, srf=srf).cube
    assert np.abs(cube[3]).max() < 1e-3
    assert np.abs(cube[7] - 0.5).max() < 1e-3
    flat = method.fuse(np.full_like(low, 0.3), np.full_like(high, 0.3), srf=srf).cube
    assert np.abs(flat - 0.3).max() < 1e-4


def test_mistakes_are_told(pair):
    _, low, high, _, srf = pair
    for settings, part in (
        ({"psf_source": "known"}, "psf: the PSF is to be known"),
        ({"rank": len(low) + 1}, "rank: must be"),
        ({"psf_source": "guessed"}, "unknown psf_source"),
        ({"psf": np.ones((201, 201)), "psf_source": "known"}, "larger than the image"),
    ):
        with pytest.raises(UserError) as told:
            method.fuse(low, high, srf=srf, **settings)
        assert part in str(told.value)


def test_a_given_rank_is_used(pair):
    _, low, high, _, srf = pair
    assert method.fuse(low, high, srf=srf, rank=3).found["rank"] == 3


def test_the_method_is_described():
    described = find_method("fusion", "subspace_map")
    assert described.backend == "numpy"
    assert described.complete({})["psf_source"] == "estimated"


def psnr_of_bytes(cube, truth):
    """As SpectraMorph's scores: truncated to bytes, one mean square over all."""
    left, right = (np.clip(image * 255, 0, 255).astype(np.uint8).astype(float) for image in (cube, truth))
    return 10 * np.log10(255**2 / np.mean((left - right) ** 2))


# PSNR of SpectraMorph's own run on the same degradation, plus what is asked for with the PSF known.
PUBLISHED = {
    "abu/abu-urban-1.mat": (37.40, 1.0),
    "abu/abu-beach-1.mat": (41.62, 1.0),
    "pavia_centre/abu-beach-4.mat": (29.36, 0.3),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_better_than_spectramorph(real_data, name):
    from hsipipe.scenes.readers import read_image

    if not (real_data / name).is_file():
        pytest.skip("this scene is not on this machine")
    cube = np.asarray(read_image(real_data / name, key="data").cube, np.float32)
    cube = peer_normalise(cube[:, : cube.shape[1] // 4 * 4, : cube.shape[2] // 4 * 4])[0]
    psf = make_psf("gaussian:sigma=3.4,size=15")
    srf = make_srf(4, wavelength_nm=None, bands=len(cube), axis="stretched", fwhm_factor=4.2).matrix
    low, high = degrade_pair(
        cube, psf=psf, srf=srf, ratio=4, snr_hsi_db=35, snr_msi_db=40, edge="zero", seed=("peer", name)
    )
    scores = {
        source: psnr_of_bytes(method.fuse(low, high, psf=psf, srf=srf, edge="zero", psf_source=source).cube, cube)
        for source in method.SOURCES
    }
    theirs, gain = PUBLISHED[name]
    assert scores["none"] > theirs
    assert scores["known"] > theirs + gain
    assert scores["estimated"] > scores["known"] - 0.3
