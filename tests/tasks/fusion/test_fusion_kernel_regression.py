"""The regression through the blur: it learns functions of single pixels from mixtures, and falls back when it must."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hsipipe.degrade.blur import Blur
from hsipipe.degrade.psf import make_psf
from hsipipe.tasks.fusion.shared.kernel_candidates import Sample, radial_spectrum
from hsipipe.tasks.fusion.shared.kernel_regression import choose_centres, fit_regression, matern


@pytest.fixture(scope="module")
def guide():
    generator = np.random.default_rng(0)
    return (gaussian_filter(generator.standard_normal((2, 96, 96)), (0, 1, 1)) * 3).astype(np.float32)


def curved(guide):
    return np.stack([np.sin(2 * guide[0]), guide[1] ** 2 + guide[0]]).astype(np.float32) * 50


def test_matern_values():
    assert matern(np.array([0.0, 1.0]), 1.0) == pytest.approx([1, (1 + np.sqrt(3)) * np.exp(-np.sqrt(3))])


def test_learns_a_curve_through_the_blur(guide):
    blur = Blur(make_psf("gaussian:sigma=2,size=9"), 4, guide.shape[1:])
    truth = curved(guide)
    targets = blur.forward(truth) + np.random.default_rng(1).standard_normal((2, 24, 24)).astype(np.float32)
    gains = np.ones(2)
    through = fit_regression([Sample(targets, guide, blur)], gains, bands=2, whiten=True)
    beside = fit_regression([Sample(targets, blur.forward(guide), None)], gains, bands=2, whiten=False)
    error = [np.sqrt(np.mean((fitted(guide) - truth) ** 2)) for fitted in (through, beside)]
    assert error[0] < 0.35 * error[1]
    assert error[0] < 0.25 * truth.std()
    assert through.residuals[0].shape == (2, 24, 24)


def test_a_line_is_found_as_a_line(guide):
    blur = Blur(None, 4, guide.shape[1:])
    truth = np.tensordot([[30.0, -10.0]], guide, 1).astype(np.float32)
    targets = blur.forward(truth) + 0.5 * np.random.default_rng(1).standard_normal((1, 24, 24)).astype(np.float32)
    fitted = fit_regression([Sample(targets, guide, blur)], np.ones(1), bands=1, whiten=True)
    assert np.sqrt(np.mean((fitted(guide) - truth) ** 2)) < 0.02 * truth.std()


def test_two_windows_are_as_good_as_one(guide):
    truth = curved(guide)
    blur = Blur(None, 4, (48, 96))
    samples = [Sample(blur.forward(truth[:, rows]), guide[:, rows], blur) for rows in (slice(0, 48), slice(48, 96))]
    fitted = fit_regression(samples, np.ones(2), bands=2, whiten=True)
    assert np.sqrt(np.mean((fitted(guide) - truth) ** 2)) < 0.2 * truth.std()
    assert len(fitted.residuals) == 2


def test_too_few_pixels_for_anything_but_the_mean():
    targets = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    guide = np.random.default_rng(0).random((3, 2, 2)).astype(np.float32)
    fitted = fit_regression([Sample(targets, guide, None)], np.ones(2), bands=2, whiten=False)
    assert fitted.name == "constant"
    assert fitted(guide)[:, 0, 0] == pytest.approx([1.5, 5.5])


def test_centres_are_pixels_and_differ():
    pixels = np.random.default_rng(0).standard_normal((3, 500)).astype(np.float32)
    for spread in (True, False):
        centres = choose_centres(pixels, 40, spread=spread)
        assert centres.shape == (40, 3)
        assert len(np.unique(centres, axis=0)) == 40
        assert all(np.abs(pixels.T - centre).sum(1).min() < 1e-6 for centre in centres)
    assert len(choose_centres(np.ones((3, 50), np.float32), 10, spread=True)) == 1


def test_spectrum_of_white_noise_is_flat():
    noise = np.random.default_rng(0).standard_normal((5, 60, 60))
    spectrum = radial_spectrum([noise], np.ones(5))
    assert spectrum.max() == 1
    assert spectrum[1:-1].min() > 0.85
