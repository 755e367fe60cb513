import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.window_means import window_means


def slow_means(cube, valid, side):
    reach, result = side // 2, np.zeros(cube.shape)
    for row in range(cube.shape[1]):
        for col in range(cube.shape[2]):
            place = (slice(max(row - reach, 0), row + reach + 1), slice(max(col - reach, 0), col + reach + 1))
            known = valid[place]
            if known.any():
                result[:, row, col] = cube[:, *place][:, known].mean(1)
    return result


def test_means_are_of_valid_pixels_within_the_image():
    generator = np.random.default_rng(0)
    cube = generator.random((3, 9, 11)).astype(np.float32) * 4000
    valid = generator.random((9, 11)) < 0.6
    valid[:5, :5] = False
    cube[:, ~valid] = np.nan
    means = window_means(cube, valid, windows=[1, 3, 7])
    assert means.shape == (9, 9, 11)
    assert means.dtype == np.float32
    assert (means[:3] == np.where(valid, cube, 0)).all()
    assert means[3:6] == pytest.approx(slow_means(cube, valid, 3), rel=1e-5)
    assert means[6:] == pytest.approx(slow_means(cube, valid, 7), rel=1e-5)
    assert (means[3:6, 2, 2] == 0).all()


def test_invalid_values_do_not_matter():
    cube = np.arange(75, dtype=np.float32).reshape(3, 5, 5)
    valid = np.ones((5, 5), bool)
    valid[2, 2] = False
    spoilt = cube.copy()
    spoilt[:, 2, 2] = -32768
    assert (window_means(cube, valid, windows=[5]) == window_means(spoilt, valid, windows=[5])).all()


@pytest.mark.parametrize("windows", [[], [2], [0], [-1], [1.5], [3, 4]])
def test_windows_must_be_odd(windows):
    with pytest.raises(UserError, match="odd"):
        window_means(np.zeros((1, 4, 4)), np.ones((4, 4), bool), windows=windows)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(UserError, match="does not fit"):
        window_means(np.zeros((1, 4, 4)), np.ones((4, 5), bool), windows=[3])
