import numpy as np
import pytest

from hsipipe.degrade.blur import block_mean
from hsipipe.tasks.fusion.shared.upsample import bicubic


@pytest.mark.parametrize("ratio", [2, 3, 4, 7, 8, 32])
def test_block_means_of_a_plane_give_the_plane_back(ratio):
    rows, cols = np.mgrid[: 8 * ratio, : 9 * ratio]
    plane = (0.2 + 0.7 * rows / ratio - 0.3 * cols / ratio)[None].astype(np.float32)
    fine = bicubic(block_mean(plane, ratio), ratio)
    inside = (0, slice(2 * ratio, -2 * ratio), slice(2 * ratio, -2 * ratio))
    np.testing.assert_allclose(fine[inside], plane[inside], atol=2e-5)


def test_samples_of_a_parabola_are_met_exactly():
    # Keys' kernel with a = -1/2 restores polynomials up to degree 2 from their samples at pixel centres.
    centres = np.arange(8.0)
    fine = (np.arange(32) + 0.5) / 4 - 0.5
    image = np.broadcast_to(centres**2, (3, 8)).astype(np.float32)
    np.testing.assert_allclose(bicubic(image, 4)[5, 8:-8], (fine**2)[8:-8], atol=1e-4)


def test_the_weights_at_ratio_two_are_those_of_the_closed_form():
    # Positions 1/4 and 3/4: (-9, 111, 29, -3) / 128 by Keys' kernel.
    impulse = np.zeros((9, 9), dtype=np.float32)
    impulse[4, 4] = 1
    profile = bicubic(impulse, 2).sum(0)
    np.testing.assert_allclose(profile[5:13], 2 * np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 128, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 3), (3, 3)])
def test_images_of_few_pixels_and_constants_stay_what_they_are(shape):
    fine = bicubic(np.full((2, *shape), 0.4, dtype=np.float32), 8)
    assert fine.shape == (2, shape[0] * 8, shape[1] * 8)
    assert fine.dtype == np.float32
    np.testing.assert_allclose(fine, 0.4, atol=1e-6)


def test_mirrored_input_gives_the_mirrored_output():
    image = np.random.default_rng(0).random((2, 5, 6)).astype(np.float32)
    np.testing.assert_allclose(bicubic(image[:, ::-1], 4), bicubic(image, 4)[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(bicubic(image[..., ::-1], 4), bicubic(image, 4)[..., ::-1], atol=1e-6)
