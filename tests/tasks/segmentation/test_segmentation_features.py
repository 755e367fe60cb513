import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.preparation import (
    Preparation,
    check_clusters,
    coordinates,
    fit_preparation,
    member_latents,
)
from hsipipe.tasks.segmentation.shared.scaling import SCALINGS, fit_scaler, moments
from hsipipe.tasks.segmentation.shared.smoothing import smooth, smooth_within_edges
from hsipipe.tasks.segmentation.shared.spectra import member_means, member_medoids


@pytest.fixture
def latents():
    """(5000, 3) of standard deviations 4, 2 and 0.5 along axes that are turned, far from the origin."""
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    return (random.normal(size=(5000, 3)) * [4, 2, 0.5] @ turn + [10, -20, 5]).astype(np.float32)


def deviations(name, latents):
    return np.sqrt(np.linalg.eigvalsh(np.cov(fit_scaler(name, latents).apply(latents).T, ddof=0))[::-1])


def test_deviations_after_scaling(latents):
    raw = np.sqrt(np.linalg.eigvalsh(np.cov(latents.T, ddof=0))[::-1])
    assert deviations("none", latents) == pytest.approx(raw, rel=1e-4)
    assert deviations("common", latents) == pytest.approx(raw / raw[0], rel=1e-4)
    assert deviations("half", latents) == pytest.approx(np.sqrt(raw / raw[0]), rel=1e-4)
    assert deviations("whiten", latents) == pytest.approx([1, 1, 1], rel=1e-4)
    standard = fit_scaler("standard", latents).apply(latents)
    assert standard.std(0) == pytest.approx([1, 1, 1], rel=1e-4)
    assert np.abs(standard.mean(0)).max() < 1e-4


def test_distances_after_scaling_do_not_depend_on_a_rotation(latents):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].astype(np.float32)
    for name in ("common", "half", "whiten"):
        given, turned = (fit_scaler(name, x).apply(x)[:50] for x in (latents, latents @ turn))
        apart = [np.linalg.norm(x[:, None] - x[None], axis=2) for x in (given, turned)]
        assert np.allclose(*apart, atol=1e-3)


def test_directions_without_variance_are_left_out_and_constants_stay_finite(latents):
    flat = np.concatenate([latents, np.ones((len(latents), 1), np.float32)], axis=1)
    assert fit_scaler("whiten", flat).apply(flat).shape == (5000, 3)
    for name in SCALINGS:
        assert np.isfinite(fit_scaler(name, np.full((4, 2), 3.0)).apply(np.full((4, 2), 3.0))).all()


def test_moments_are_those_of_numpy(latents):
    mean, covariance = moments(np.tile(latents, (30, 1)))
    assert mean == pytest.approx(latents.mean(0, dtype=float), rel=1e-6)
    assert covariance == pytest.approx(np.cov(latents.T.astype(float), ddof=0), rel=1e-6)


def test_unknown_scaling_and_smoothing(latents):
    with pytest.raises(UserError, match="did you mean 'whiten'"):
        fit_scaler("whitened", latents)
    with pytest.raises(UserError, match="did you mean 'gaussian'"):
        smooth(np.zeros((1, 2, 2)), np.ones((2, 2), bool), "gausian")


def two_halves(noise=0.1):
    random = np.random.default_rng(0)
    truth = np.zeros((2, 24, 30), np.float32)
    truth[0, :, 15:], truth[1, :, 15:] = 3, -2
    return truth, truth + random.normal(0, noise, truth.shape).astype(np.float32)


def test_smoothing_within_edges_removes_noise_and_keeps_the_edge():
    truth, noisy = two_halves()
    valid = np.ones(truth.shape[1:], bool)
    smoothed = smooth_within_edges(noisy, valid)
    assert np.std(smoothed - truth) < 0.4 * np.std(noisy - truth)
    assert np.abs(smoothed - truth)[:, :, 13:17].max() < 0.3
    blurred = smooth(noisy, valid, "gaussian", sigma=1.0)
    assert np.abs(blurred - truth)[:, :, 13:17].max() > 0.8


def test_smoothing_has_no_unit_and_no_orientation():
    noisy = two_halves()[1]
    valid = np.ones(noisy.shape[1:], bool)
    expected = smooth_within_edges(noisy, valid)
    assert np.allclose(smooth_within_edges(1000 * noisy, valid), 1000 * expected, rtol=1e-3, atol=0.1)
    turned = smooth_within_edges(noisy[:, ::-1].transpose(0, 2, 1), valid[::-1].T)
    assert np.allclose(turned.transpose(0, 2, 1)[:, ::-1], expected, atol=1e-4)


def test_one_pass_by_hand():
    # three pixels in a row: the squared differences are 1 and 9, their median 5
    line = np.array([[[0.0, 1.0, 4.0]]], np.float32)
    result = smooth_within_edges(line, np.ones((1, 3), bool), edge=1.0, passes=1)
    near, far = np.exp(-1 / 10), np.exp(-9 / 10)
    expected = [near / (1 + near), (1 + 4 * far) / (1 + near + far), (4 + far) / (1 + far)]
    assert result[0, 0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("how", ["edges", "gaussian"])
def test_pixels_without_data_give_nothing(how):
    noisy = two_halves()[1]
    valid = np.ones(noisy.shape[1:], bool)
    valid[5:9, 3:20] = False
    polluted = noisy.copy()
    polluted[:, ~valid] = 1e6
    clean, dirty = (smooth(maps, valid, how) for maps in (noisy, polluted))
    assert np.allclose(clean[:, valid], dirty[:, valid], atol=1e-4)
    assert (dirty[:, ~valid] == 1e6).all()


def test_images_that_cannot_be_smoothed_are_left_as_they_are():
    for shape in ((1, 1), (1, 5), (6, 1), (4, 4)):
        flat = np.full((2, *shape), 7, np.float32)
        assert np.array_equal(smooth_within_edges(flat, np.ones(shape, bool)), flat)
        assert np.array_equal(smooth_within_edges(flat, np.zeros(shape, bool)), flat)


def test_a_preparation_survives_its_state():
    cube = np.random.default_rng(0).normal(size=(4, 12, 9)).astype(np.float32)
    valid = np.ones((12, 9), bool)
    given = fit_preparation(cube, valid, scaling="half", smoothing="edges", edge=1.5, passes=3, sigma=1.0)
    state = given.to_state()
    assert all(isinstance(value, np.ndarray) and value.dtype.kind == "f" for value in state.values())
    assert np.array_equal(Preparation.from_state(state).maps(cube, valid), given.maps(cube, valid))
    with pytest.raises(UserError, match="found in 4 latents, this image has 3"):
        given.maps(cube[:3], valid)


def test_latents_and_numbers_that_cannot_be_clustered():
    cube, valid = np.zeros((2, 3, 3), np.float32), np.ones((3, 3), bool)
    options = {"scaling": "none", "smoothing": "none", "edge": 1.0, "passes": 1, "sigma": 1.0}
    with pytest.raises(UserError, match="do not fit"):
        fit_preparation(cube, valid[:2], **options)
    with pytest.raises(UserError, match="no valid pixel"):
        fit_preparation(cube, ~valid, **options)
    cube[1, 2, 2] = np.nan
    with pytest.raises(UserError, match="found 1 pixels that are not"):
        fit_preparation(cube, valid, **options)
    with pytest.raises(UserError, match="clusters: must be at least 1"):
        check_clusters(0, 9)
    with pytest.raises(UserError, match="9 valid pixels cannot make 10 clusters"):
        check_clusters(10, 9)


def test_coordinates_have_zero_mean_and_unit_variance():
    places = coordinates(np.ones((20, 30), bool))
    assert np.abs(places.mean(0)).max() < 1e-5
    assert places.std(0) == pytest.approx([1, 1], rel=1e-4)
    assert (np.diff(places.reshape(20, 30, 2)[0, :, 0]) > 0).all()


def test_means_and_medoids_of_members():
    labels = np.array([[1, 1, 1], [3, 3, 0]])
    cube = np.array([[[0, 1, 5], [2, 4, 99]], [[0, 0, 0], [2, 2, 99]]], np.float32)
    means = member_means(cube, labels)
    assert means[[0, 2]].tolist() == [[2, 0], [3, 2]]
    assert np.isnan(means[1]).all()
    assert np.array_equal(means, member_latents(cube, labels), equal_nan=True)
    medoids, places = member_medoids(cube, labels)
    # of 0, 1 and 5, the sums of squared distances are 26, 17 and 41
    assert medoids[0].tolist() == [1, 0]
    assert places.tolist() == [[0, 1], [-1, -1], [1, 0]]
    assert np.isnan(medoids[1]).all()
