import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from hsipipe.tasks.segmentation.shared.probability_smoothing import STEPS, neighbourhood, smooth_probabilities


@pytest.fixture
def image():
    generator = np.random.default_rng(0)
    cube = generator.random((4, 12, 15)) * 0.2
    cube[:, :, 8:] += 3
    valid = np.ones((12, 15), bool)
    valid[4, 2:5] = False
    probabilities = generator.dirichlet([1, 1, 1], (12, 15)).transpose(2, 0, 1)
    return cube, valid, probabilities * valid


def laplacian(neighbours, shape):
    size = shape[0] * shape[1]
    matrix = sparse.lil_matrix((size, size))
    for weight, (down, right) in zip(neighbours.weights, STEPS, strict=True):
        for row in range(shape[0]):
            for col in range(shape[1]):
                if 0 <= row + down < shape[0] and 0 <= col + right < shape[1]:
                    here, there = row * shape[1] + col, (row + down) * shape[1] + col + right
                    matrix[here, there] = matrix[there, here] = -weight[row, col]
    return (matrix + sparse.diags(-np.asarray(matrix.sum(1)).ravel())).tocsc()


@pytest.mark.parametrize("strength", [0.5, 10])
def test_solves_the_linear_system(image, strength):
    cube, valid, given = image
    neighbours = neighbourhood(cube, valid)
    system = sparse.eye(12 * 15, format="csc") + strength * laplacian(neighbours, valid.shape)
    expected = np.stack([spsolve(system, values.ravel()).reshape(12, 15) for values in given])
    assert smooth_probabilities(given, neighbours, strength=strength) == pytest.approx(expected, abs=1e-3)


def test_probabilities_stay_probabilities(image):
    cube, valid, given = image
    found = smooth_probabilities(given, neighbourhood(cube, valid), strength=20)
    assert found.min() >= 0
    assert found.sum(0)[valid] == pytest.approx(1, abs=1e-3)
    assert (found[:, ~valid] == 0).all()


def test_edges_stop_the_smoothing_and_noise_goes(image):
    cube, valid, _ = image
    given = np.full((2, 12, 15), 0.3)
    given[0, :, :8], given[1, :, 8:] = 0.7, 0.7
    noisy = np.clip(given + np.random.default_rng(1).normal(0, 0.1, given.shape), 0, 1) * valid
    found = smooth_probabilities(noisy, neighbourhood(cube, valid), strength=10)
    assert np.abs(found - given)[:, valid].mean() < 0.5 * np.abs(noisy - given)[:, valid].mean()
    weights = neighbourhood(cube, valid).weights[0]
    assert weights[:, 7].max() < 1e-6
    assert np.median(weights[:, :7][weights[:, :7] > 0]) > 0.3


def test_strength_zero_changes_nothing_and_units_do_not_matter(image):
    cube, valid, given = image
    assert smooth_probabilities(given, neighbourhood(cube, valid), strength=0) == pytest.approx(given, abs=1e-7)
    for own, other in zip(
        neighbourhood(cube, valid).weights, neighbourhood(5000 * cube + 70, valid).weights, strict=True
    ):
        assert own == pytest.approx(other, abs=1e-5)


def test_constant_and_empty_images(image):
    _, valid, given = image
    constant = neighbourhood(np.ones((4, 12, 15)), valid)
    assert np.isfinite(smooth_probabilities(given, constant, strength=5)).all()
    nothing = np.zeros(valid.shape, bool)
    assert (smooth_probabilities(given * 0, neighbourhood(np.ones((4, 12, 15)), nothing), strength=5) == 0).all()
