"""The PSF estimated from a pair: kernels of several kinds, shifts, and nothing to learn from."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hsipipe.degrade.blur import Blur
from hsipipe.degrade.psf import make_psf, psf_width
from hsipipe.tasks.fusion.shared.estimate_psf import estimate_psf


@pytest.fixture(scope="module")
def msi():
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((3, 120, 112))
    scene = sum(weight * gaussian_filter(noise, (0, s, s)) * s for s, weight in ((0.7, 1), (2, 1), (6, 2)))
    return (0.4 + 0.1 * scene).astype(np.float32)


def view_of(msi, psf, ratio=4, noise=1e-3, edge="reflect"):
    low = Blur(psf, ratio, msi.shape[1:], edge=edge).forward(msi)
    return low + noise * np.random.default_rng(1).standard_normal(low.shape).astype(np.float32)


@pytest.mark.parametrize("name", ["gaussian", "airy_peer", "hermite_peer", "moffat"])
def test_blurs_like_the_true_kernel(msi, name):
    psf = make_psf(name)
    low = view_of(msi, psf)
    estimate = estimate_psf([(low, msi)], ratio=4)
    seen = Blur(estimate.kernel, 4, msi.shape[1:]).forward(msi)
    true = Blur(psf, 4, msi.shape[1:]).forward(msi)
    assert estimate.kernel.sum() == pytest.approx(1)
    assert np.sqrt(np.mean((seen - true)[:, 4:-4, 4:-4] ** 2)) < 1.5e-3


def test_a_ring_is_no_gaussian(msi):
    estimate = estimate_psf([(view_of(msi, make_psf("hermite_peer")), msi)], ratio=4)
    half = len(estimate.kernel) // 2
    assert estimate.kind == "free"
    assert estimate.kernel[half, half] < 0.5 * estimate.kernel.max()


def test_no_blur_is_found_as_none(msi):
    estimate = estimate_psf([(view_of(msi, None), msi)], ratio=4)
    assert max(psf_width(estimate.kernel).rms_rows, psf_width(estimate.kernel).rms_cols) < 0.6


def test_a_shift_of_a_pixel(msi):
    psf = np.roll(make_psf("gaussian:sigma=2,size=15"), (1, -2), axis=(0, 1))
    estimate = estimate_psf([(view_of(msi, psf), msi)], ratio=4)
    assert estimate.shift == pytest.approx((1, -2), abs=0.15)
    assert estimate.sigma == pytest.approx((2, 2), abs=0.15)


def test_gain_and_offset_do_not_matter(msi):
    low = view_of(msi, make_psf("gaussian:sigma=2,size=15"))
    estimate = estimate_psf([(1.1 * low + 0.05, msi)], ratio=4)
    assert estimate.sigma == pytest.approx((2, 2), abs=0.15)


def test_windows_beside_cuts(msi):
    low = view_of(msi, make_psf("gaussian:sigma=2,size=15"))
    windows = [(low[:, :15], msi[:, :60]), (low[:, 15:], msi[:, 60:])]
    assert estimate_psf(windows, ratio=4, whole=False).sigma == pytest.approx((2, 2), abs=0.2)


def test_a_constant_image_tells_nothing():
    estimate = estimate_psf([(np.ones((2, 5, 5)), np.ones((2, 20, 20)))], ratio=4)
    assert estimate.kind == "delta"
    assert estimate.kernel.shape == (1, 1)


def test_a_free_kernel_is_not_believed_where_the_images_differ_in_more_than_blur(msi):
    sharp, wide = (Blur(make_psf(f"gaussian:sigma={s},size=25"), 4, msi.shape[1:]).forward(msi) for s in (1.5, 6))
    low = 1.8 * sharp - 0.8 * wide  # no blur: what is around a pixel darkens it
    agreeing = estimate_psf([(low, msi)], ratio=4)
    assert agreeing.kind == "free"
    assert agreeing.kernel.min() < -0.05 * agreeing.kernel.max()
    noise = 0.3 * low.std() * np.random.default_rng(2).standard_normal(low.shape).astype(np.float32)
    differing = estimate_psf([(low + noise, msi)], ratio=4)
    assert differing.kernel.min() >= 0
