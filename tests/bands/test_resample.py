import numpy as np
import pytest

from hsipipe.bands.resample import interpolation


def test_values_by_hand():
    matrix = interpolation(np.array([400.0, 500.0, 700.0]), np.array([450.0, 500.0, 550.0]))
    np.testing.assert_allclose(matrix, [[0.5, 0.5, 0], [0, 1, 0], [0, 0.75, 0.25]])


def test_a_straight_line_is_kept_and_the_ends_are_carried_on():
    source, target = np.linspace(400, 1000, 7), np.array([380.0, 400.0, 433.0, 999.0, 1500.0])
    np.testing.assert_allclose(interpolation(source, target) @ (2 * source - 5), 2 * target.clip(400, 1000) - 5)


def test_bands_in_any_order():
    """Sensors of two spectrometers, such as EnMAP, list the bands of their overlap alternately."""
    generator = np.random.default_rng(0)
    source, target = (
        generator.permutation(np.linspace(420, 2450, 30)),
        generator.permutation(np.linspace(430, 2400, 17)),
    )
    matrix = interpolation(source, target)
    order, wanted = np.argsort(source), np.argsort(target)
    np.testing.assert_allclose(matrix[wanted][:, order], interpolation(source[order], target[wanted]))
    spectrum = np.sin(source / 300)
    np.testing.assert_allclose(matrix @ spectrum, np.interp(target, source[order], spectrum[order]))


@pytest.mark.parametrize("source", [[500.0], [500.0, 500.0, 600.0], [900.0, 400.0]])
def test_weights_are_shares(source):
    matrix = interpolation(np.array(source), np.array([300.0, 500.0, 555.0, 600.0, 950.0]))
    assert matrix.shape == (5, len(source))
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(1), 1)


def test_the_same_bands_come_back():
    centres = np.array([700.0, 400.0, 500.0])
    np.testing.assert_array_equal(interpolation(centres, centres), np.eye(3))
