import numpy as np
import pytest

from hsipipe.degrade.blur import Blur
from hsipipe.errors import UserError
from hsipipe.tasks.fusion.methods.hysure.model import _filter, _transfers, fuse
from hsipipe.tasks.fusion.methods.hysure.responses import BlurProblem, estimate_both, estimate_response


def lopsided_psf():
    rows, cols = np.mgrid[-3:4, -3:4]
    kernel = np.exp(-((rows - 0.6) ** 2) / 4 - (cols + 0.4) ** 2 / 2.5)
    return kernel / kernel.sum()


def textured(bands=3, rows=96, cols=84, seed=0):
    generator = np.random.default_rng(seed)
    image = generator.random((bands, rows, cols))
    return (0.5 * image + 0.5 * np.repeat(np.repeat(image[:, ::4, ::4], 4, 1), 4, 2)).astype(np.float32)


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_the_periodic_blur_is_that_of_the_operator_away_from_the_edges(ratio):
    images = textured(2, 48, 60)
    blur = _transfers(lopsided_psf(), ratio, images.shape[1:])[0]
    expected = Blur(lopsided_psf(), ratio, images.shape[1:]).forward(images)
    inside = (slice(None), slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(_filter(images, blur)[:, ::ratio, ::ratio][inside], expected[inside], atol=1e-5)


def test_the_difference_transfers_are_forward_differences():
    images = textured(1, 8, 12)
    _, down, right = _transfers(np.ones((1, 1)), 2, (8, 12))
    np.testing.assert_allclose(_filter(images, down), np.roll(images, -1, 1) - images, atol=1e-5)
    np.testing.assert_allclose(_filter(images, right), np.roll(images, -1, 2) - images, atol=1e-5)


@pytest.mark.parametrize("edge", ["reflect", "zero"])
@pytest.mark.parametrize("ratio", [3, 4])
def test_the_psf_is_found_with_its_orientation(edge, ratio):
    msi = textured()
    coarse = Blur(lopsided_psf(), ratio, msi.shape[1:], edge=edge).forward(msi)
    problem = BlurProblem(msi, ratio=ratio, edge=edge, half=4, smoothness=1e-7)
    expected = np.pad(lopsided_psf(), 1)
    np.testing.assert_allclose(problem.solve(coarse), expected, atol=0.002)


def test_images_without_structure_give_no_blur():
    problem = BlurProblem(np.zeros((2, 24, 24)), ratio=4, edge="reflect", half=2, smoothness=0.01)
    kernel = problem.solve(np.zeros((2, 6, 6)))
    assert kernel[2, 2] == kernel.sum() == 1


def test_the_response_is_that_of_the_normal_equations():
    generator = np.random.default_rng(0)
    hsi, response = generator.random((6, 20, 20)), generator.dirichlet(np.ones(6), 3)
    msi = np.tensordot(response, hsi, 1)
    np.testing.assert_allclose(estimate_response(hsi, msi, smoothness=1e-9), response, atol=1e-5)


def test_both_are_found_together():
    generator = np.random.default_rng(1)
    truth = np.tensordot(generator.random((8, 3)), textured(3, 128, 128), 1).astype(np.float32)
    centres = np.array([1.0, 4.0, 6.5])[:, None]
    response = np.exp(-0.5 * (np.arange(8) - centres) ** 2)
    response /= response.sum(1, keepdims=True)
    msi = np.tensordot(response, truth, 1).astype(np.float32)
    hsi = Blur(lopsided_psf(), 4, (128, 128)).forward(truth)
    psf, found = estimate_both(
        hsi,
        msi,
        psf=None,
        srf=None,
        ratio=4,
        edge="reflect",
        half=4,
        response_smoothness=1e-3,
        blur_smoothness=1e-4,
        rounds=10,
    )
    assert np.abs(psf - np.pad(lopsided_psf(), 1)).max() < 0.02
    # The response itself is not unique in a scene of rank 3; what it makes of the scene is.
    assert (np.tensordot(found, truth, 1) - msi).std() < 0.05 * msi.std()


def test_more_iterations_do_not_move_a_converged_answer():
    msi = textured(2, 32, 32)
    truth = np.concatenate([msi, msi.mean(0, keepdims=True)])
    hsi = Blur(lopsided_psf(), 2, (32, 32)).forward(truth)
    settings = {"psf": lopsided_psf(), "srf": np.eye(3)[:2], "rank": 2}
    far, further = (fuse(hsi, msi, iterations=count, **settings).cube for count in (600, 1200))
    np.testing.assert_allclose(far, further, atol=2e-3)
    np.testing.assert_allclose(far, truth, atol=0.02)


def test_an_unknown_basis_is_refused():
    with pytest.raises(UserError, match="did you mean 'svd'"):
        fuse(np.ones((3, 4, 4), np.float32), np.ones((1, 8, 8), np.float32), basis="svdd")
