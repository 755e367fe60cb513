import numpy as np
import pytest
from scipy.ndimage import convolve

from hsipipe.degrade.blur import Blur, block_mean, separable_terms
from hsipipe.degrade.psf import make_psf
from hsipipe.errors import UserError

MODES = {"reflect": "reflect", "zero": "constant"}


def reference(images, kernel, ratio, edge):
    """SciPy's direct convolution, then the mean of blocks."""
    blurred = np.stack([convolve(image, kernel, mode=MODES[edge]) for image in images.astype(np.float64)])
    n, rows, cols = images.shape
    return blurred.reshape(n, rows // ratio, ratio, cols // ratio, ratio).mean(axis=(2, 4))


def uneven_kernel(size, seed=0):
    kernel = np.random.default_rng(seed).random((size, size)) ** 2
    return kernel / kernel.sum()


@pytest.mark.parametrize("edge", ["reflect", "zero"])
@pytest.mark.parametrize(
    ("size", "shape", "ratio"),
    [
        (7, (28, 36), 4),
        (5, (120, 204), 4),  # several blocks
        (15, (16, 20), 4),  # about as large as the image
        (19, (20, 20), 2),
        (3, (64, 96), 32),
        (3, (4, 4), 4),  # a single low-resolution pixel
        (9, (21, 18), 3),
        (5, (12, 10), 1),
        (1, (8, 6), 2),
    ],
)
def test_agrees_with_direct_convolution(size, shape, ratio, edge):
    images = np.random.default_rng(1).random((2, *shape)).astype(np.float32)
    kernel = uneven_kernel(size)
    blur = Blur(kernel, ratio, shape, edge=edge)
    found = blur.forward(images)
    assert found.dtype == np.float32
    assert np.abs(found - reference(images, kernel, ratio, edge)).max() < 1e-6


@pytest.mark.parametrize("name", ["gaussian", "kolmogorov", "airy", "sinc", "gabor:theta=0.5", "hermite_peer", "delta"])
def test_agrees_for_families(name):
    images = np.random.default_rng(2).random((1, 40, 52)).astype(np.float32)
    kernel = make_psf(name)
    assert np.abs(Blur(kernel, 4, (40, 52)).forward(images) - reference(images, kernel, 4, "reflect")).max() < 1e-6


def test_a_point_shows_the_kernel_unflipped():
    """The image of a point is the kernel itself: true convolution."""
    kernel = uneven_kernel(5)
    point = np.zeros((1, 11, 11))
    point[0, 5, 5] = 1
    assert np.allclose(Blur(kernel, 1, (11, 11)).forward(point)[0, 3:8, 3:8], kernel)


@pytest.mark.parametrize("edge", ["reflect", "zero"])
@pytest.mark.parametrize(("size", "shape", "ratio"), [(7, (28, 36), 4), (9, (120, 204), 4), (19, (20, 20), 2)])
def test_adjoint_is_the_transpose(size, shape, ratio, edge):
    generator = np.random.default_rng(3)
    blur = Blur(uneven_kernel(size), ratio, shape, edge=edge)
    images, low = generator.random((3, *shape)), generator.random((3, *blur.low_shape))
    left, right = (blur.forward(images) * low).sum(), (images * blur.adjoint(low)).sum()
    assert left == pytest.approx(right, rel=1e-12)
    assert blur.adjoint(low.astype(np.float32)).dtype == np.float32
    assert np.allclose(blur.adjoint(low.astype(np.float32)), blur.adjoint(low), atol=1e-6)


@pytest.mark.parametrize("edge", ["reflect", "zero"])
@pytest.mark.parametrize(("size", "ratio"), [(7, 4), (5, 2), (1, 4)])
def test_normal_diagonal_is_exact(size, ratio, edge):
    shape = (16, 20)
    blur = Blur(uneven_kernel(size), ratio, shape, edge=edge)
    columns = blur.forward(np.eye(16 * 20).reshape(-1, *shape)).reshape(16 * 20, -1)
    assert np.allclose((columns**2).sum(axis=1).reshape(shape), blur.normal_diagonal, rtol=1e-6)


def test_a_constant_stays_inside_and_darkens_at_zero_edges():
    ones = np.ones((1, 40, 40), np.float32)
    kernel = make_psf("gaussian")
    assert np.allclose(Blur(kernel, 4, (40, 40)).forward(ones), 1.0, atol=1e-6)
    dark = Blur(kernel, 4, (40, 40), edge="zero").forward(ones)[0]
    # By hand: the share of the kernel's marginal that lies inside, averaged over the four rows of the block.
    marginal = kernel.sum(axis=1)
    share = np.mean([marginal[: 8 + row].sum() for row in range(4)])
    assert dark[0, 5] == pytest.approx(share, rel=1e-5)
    assert dark[0, 0] == pytest.approx(share**2, rel=1e-5)
    assert dark[5, 5] == pytest.approx(1.0, rel=1e-6)


def test_without_a_psf_it_is_the_block_mean():
    images = np.random.default_rng(4).random((2, 3, 12, 20)).astype(np.float32)
    blur = Blur(None, 4, (12, 20))
    assert blur.psf is None
    assert blur.low_shape == (3, 5)
    assert blur.forward(images).shape == (2, 3, 3, 5)
    assert np.allclose(blur.forward(images), block_mean(images, 4), atol=1e-6)
    assert np.allclose(block_mean(images, 4)[1, 2, 0, 1], images[1, 2, :4, 4:8].mean())
    assert blur.forward(images[0, 0]).shape == (3, 5)
    assert blur.adjoint(blur.forward(images)).shape == images.shape
    assert np.allclose(blur.normal_diagonal, 1 / 256)


def test_other_types_become_float32_and_repeat():
    images = np.random.default_rng(5).integers(0, 100, (2, 16, 16))
    blur = Blur(make_psf("moffat:size=5"), 4, (16, 16))
    assert blur.forward(images).dtype == np.float32
    assert np.array_equal(blur.forward(images), blur.forward(images.astype(np.float32)))


def test_chunks_of_bands_make_no_difference(monkeypatch):
    images = np.random.default_rng(6).random((9, 96, 64)).astype(np.float32)
    blur = Blur(uneven_kernel(9), 4, (96, 64))
    whole, back = blur.forward(images), blur.adjoint(blur.forward(images))
    monkeypatch.setattr("hsipipe.degrade.blur.CHUNK_BYTES", 1)
    assert np.allclose(blur.forward(images), whole, atol=1e-7)
    assert np.allclose(blur.adjoint(whole), back, atol=1e-7)


def test_rank_of_kernels():
    assert Blur(make_psf("gaussian"), 4, (16, 16)).rank == 1
    assert Blur(make_psf("lorentzian2"), 4, (16, 16)).rank == 8  # mirror symmetry leaves half of 15
    down, along = separable_terms(uneven_kernel(5))
    assert np.allclose(np.einsum("ki,kj->ij", down, along), uneven_kernel(5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((5, 5)), 4, (18, 16)), "18 x 16 pixels are no multiple of the ratio .found 4.; crop to 16 x 16"),
        ((np.ones((17, 17)), 4, (16, 24)), "17 x 17 is larger than the image"),
        ((np.ones((4, 4)), 4, (16, 16)), "odd side"),
        ((None, 0, (16, 16)), "at least 1"),
        ((None, 2.5, (20, 20)), "whole number"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message):
        Blur(*arguments)


def test_unknown_edge_and_wrong_size():
    with pytest.raises(UserError, match="did you mean 'reflect'"):
        Blur(None, 4, (16, 16), edge="reflet")
    with pytest.raises(UserError, match=r"operator made for \(16, 16\)"):
        Blur(None, 4, (16, 16)).forward(np.ones((2, 16, 20), np.float32))
    with pytest.raises(UserError, match="no multiple"):
        block_mean(np.ones((10, 8)), 4)
