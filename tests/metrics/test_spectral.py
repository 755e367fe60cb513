import numpy as np
import pytest

from hsipipe.metrics.spectral import sam_degrees, spectral_angles


def image(*spectra):
    return np.array(spectra, np.float32).T[:, None, :]


def test_known_angles():
    truth = image([1, 0], [1, 0], [1, 0], [1, 1])
    prediction = image([2, 0], [1, 1], [0, 3], [-1, -1])
    np.testing.assert_allclose(spectral_angles(truth, prediction), [[0, 45, 90, 180]], atol=1e-5)
    assert sam_degrees(truth, prediction) == pytest.approx(315 / 4)


def test_scale_does_not_matter_and_rounding_gives_no_nan():
    truth = np.random.default_rng(0).random((150, 30, 30)).astype(np.float32)
    assert sam_degrees(truth, 3 * truth) < 1e-4  # a float32 cosine may exceed 1, or be off by 0.03 degrees
    assert np.isfinite(spectral_angles(truth, truth)).all()


def test_against_the_formula_with_a_mask():
    random = np.random.default_rng(0)
    truth, prediction = random.random((2, 40, 6, 7)).astype(np.float32)
    valid = random.random((6, 7)) > 0.4
    angles = [
        np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
        for a, b in zip(truth[:, valid].T.astype(float), prediction[:, valid].T.astype(float), strict=True)
    ]
    truth[:, ~valid] = np.nan
    assert sam_degrees(truth, prediction, valid) == pytest.approx(np.mean(angles), rel=1e-6)
    assert np.isnan(sam_degrees(truth, prediction, np.zeros_like(valid)))


def test_zero_spectra():
    truth, prediction = image([0, 0], [0, 0], [1, 0], [1, 0]), image([1, 0], [0, 0], [0, 0], [1, 0])
    np.testing.assert_array_equal(spectral_angles(truth, prediction), [[np.nan, np.nan, 90, 0]])
    assert sam_degrees(truth, prediction) == pytest.approx(45)
    assert np.isnan(sam_degrees(0 * truth, prediction))


def test_prediction_that_is_not_finite_has_no_score():
    truth, prediction = image([1, 0], [0, 1]), image([1, np.nan], [0, 1])
    assert np.isnan(sam_degrees(truth, prediction))
    assert sam_degrees(truth, prediction, np.array([[False, True]])) == pytest.approx(0)


def test_original_units():
    low, span = np.array([100.0, 50]), np.array([10.0, 300])
    truth, prediction = image([0.2, 0.4]), image([0.9, 0.1])
    a, b = (np.array(spectrum) * span + low for spectrum in ([0.2, 0.4], [0.9, 0.1]))
    expected = np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    assert sam_degrees(truth, prediction, low=low, span=span) == pytest.approx(expected, rel=1e-5)
