import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.metrics.reconstruction import RECONSTRUCTION_METRICS, score_spectra, spectral_angles_of
from hsipipe.metrics.registry import METRICS
from hsipipe.metrics.spectral import spectral_angles


def scores_of(truth, reconstruction, **settings):
    rows = score_spectra(np.array(truth, float), np.array(reconstruction, float), **settings)
    return {name: value for name, value, _ in rows}


def test_by_hand():
    # angles 45, 0 and 90 degrees; squared errors 1, 4 and 2
    scores = scores_of([[1, 0], [2, 0], [1, 0]], [[1, 1], [4, 0], [0, 1]])
    assert scores["reconstruction_mse"] == pytest.approx(7 / 6)
    assert scores["reconstruction_psnr"] == pytest.approx(10 * np.log10(4 / (7 / 6)))
    assert scores["sam"] == pytest.approx(45)
    assert scores["sam_median"] == pytest.approx(45)


def test_range_is_the_truths_or_as_given():
    truth, found = [[0, 4], [1, 2]], [[0, 3], [1, 2]]
    assert scores_of(truth, found)["reconstruction_psnr"] == pytest.approx(10 * np.log10(16 / 0.25))
    assert scores_of(truth, found, data_range=1)["reconstruction_psnr"] == pytest.approx(10 * np.log10(1 / 0.25))


def test_zero_spectra_have_no_angle_and_zero_reconstructions_are_orthogonal():
    angles = spectral_angles_of(np.array([[0.0, 0], [1, 2]]), np.array([[1.0, 1], [0, 0]]))
    assert np.isnan(angles[0])
    assert angles[1] == 90
    assert scores_of([[0, 0], [1, 0]], [[1, 1], [2, 0]])["sam"] == 0
    assert np.isnan(scores_of([[0, 0]], [[1, 1]])["sam"])


def test_small_angles_keep_their_digits():
    angle = 1e-6
    found = spectral_angles_of(np.array([[1.0, 0]]), np.array([[np.cos(np.radians(angle)), np.sin(np.radians(angle))]]))
    assert found[0] == pytest.approx(angle, rel=1e-6)


def test_angles_are_those_of_the_cube_metric():
    generator = np.random.default_rng(0)
    truth, found = generator.random((2, 30, 7)).astype(np.float32)
    cubes = truth.T.reshape(7, 5, 6), found.T.reshape(7, 5, 6)
    assert spectral_angles_of(truth, found) == pytest.approx(spectral_angles(*cubes).ravel(), abs=1e-6)


def test_many_spectra_are_scored_in_pieces():
    generator = np.random.default_rng(1)
    truth, found = generator.random((2, 40000, 3))
    scores = scores_of(truth, found)
    assert scores["reconstruction_mse"] == pytest.approx(((truth - found) ** 2).mean())
    assert scores["sam_median"] == pytest.approx(np.median(spectral_angles_of(truth, found)))


def test_what_is_not_finite_has_no_score():
    scores = scores_of([[1, 2], [3, 4]], [[1, 2], [np.nan, 4]])
    assert all(np.isnan(value) for value in scores.values())


def test_names_units_and_errors():
    rows = score_spectra(np.ones((2, 3)), np.ones((2, 3)))
    assert [(name, unit) for name, _, unit in rows] == [(name, METRICS[name].unit) for name in RECONSTRUCTION_METRICS]
    with pytest.raises(UserError, match="do not fit"):
        score_spectra(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(UserError, match="above 0"):
        score_spectra(np.ones((2, 3)), np.ones((2, 3)), data_range=0)
