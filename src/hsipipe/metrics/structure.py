"""Structural similarity of image cubes: SSIM (Gaussian window) and the universal quality index (UQI)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d, uniform_filter1d

from hsipipe.metrics.spatial import check_shapes

_RADIUS = 5
_SIGMA = 1.5


def _gaussian() -> np.ndarray:
    weights = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    return weights / weights.sum()


def ssim(
    truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None, *, data_range: float = 1.0
) -> float:
    """Mean over the bands of the structural similarity index (Wang et al., IEEE TIP 13(4), 2004).

    Window: 11 x 11 Gaussian of sigma 1.5; population covariance; constants (0.01 L)^2 and (0.03 L)^2. The index is
    averaged where the window lies within the image (an image with a side below 11 is reflected at its edges instead).
    With a mask, local statistics are weighted means over the valid pixels of the window, and only valid pixels count.

    Args:
        truth, prediction: (C, H, W).
        valid: (H, W) bool or None.
        data_range: L, 1 for cubes scaled to [0, 1].
    """
    mask = check_shapes(truth, prediction, valid)
    rows, cols = truth.shape[1:]
    inside = (slice(_RADIUS, -_RADIUS),) * 2 if min(rows, cols) > 2 * _RADIUS else (slice(None),) * 2
    if mask is not None and not mask[inside].any():
        return float("nan")
    weights = None if mask is None else _smooth(mask.astype(np.float32)[None])[0]
    first, second = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    stack = np.empty((4, rows, cols), np.float32)
    total = 0.0
    for expected, found in zip(truth, prediction, strict=True):
        # Variances are small differences of large squares: taken about the band's mean, so that float32 suffices.
        centre = float(expected.mean() if mask is None else expected[mask].mean())
        x, y, squares, product = stack
        np.subtract(expected, centre, out=x, casting="unsafe")
        np.subtract(found, centre, out=y, casting="unsafe")
        if mask is not None:
            x[~mask] = 0
            y[~mask] = 0
        np.multiply(x, y, out=product)
        np.multiply(x, x, out=squares)
        squares += y * y
        smooth = _smooth(stack)
        if weights is not None:
            smooth = smooth / np.maximum(weights, 1e-12)
        mean_x, mean_y, squares, product = smooth[(slice(None), *inside)]
        cross = mean_x * mean_y
        spread = squares - mean_x * mean_x - mean_y * mean_y
        product = 2 * (product - cross) + second
        # Means about zero: (m + centre)(n + centre) and the like.
        mean_x = mean_x + centre
        mean_y = mean_y + centre
        index = (2 * mean_x * mean_y + first) * product
        index /= (mean_x * mean_x + mean_y * mean_y + first) * (spread + second)
        total += float(index.mean(dtype=np.float64) if mask is None else index[mask[inside]].mean(dtype=np.float64))
    return total / len(truth)


def _smooth(images: np.ndarray) -> np.ndarray:
    """Gaussian smoothing of (n, H, W) along both axes, edges reflected."""
    weights = _gaussian()
    return correlate1d(correlate1d(images, weights, axis=1), weights, axis=2)


def uqi(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None, *, window: int = 8) -> float:
    """Mean over the bands of the universal image quality index (Wang and Bovik, IEEE SPL 9(3), 2002), in [-1, 1].

    Q = 4 cov(x, y) mean(x) mean(y) / ((var(x) + var(y)) (mean(x)^2 + mean(y)^2)) in every `window` x `window` block of
    valid pixels. A block where both images are constant is judged by its means alone,
    2 mean(x) mean(y) / (mean(x)^2 + mean(y)^2); where both are 0 as well, Q is 1.
    """
    mask = check_shapes(truth, prediction, valid)
    if min(truth.shape[1:]) < window:
        raise ValueError(f"an image of {truth.shape[1:]} has no {window} x {window} block")
    whole = None
    if mask is not None:
        whole = block_means(mask.astype(np.float64), window) > 1 - 0.5 / window**2
        if not whole.any():
            return float("nan")
    stack = np.empty((4, *truth.shape[1:]))
    total = 0.0
    for expected, found in zip(truth, prediction, strict=True):
        x, y, squares, product = stack
        x[...], y[...] = expected, found
        if mask is not None:
            x[~mask] = 0
            y[~mask] = 0
        np.multiply(x, y, out=product)
        np.multiply(x, x, out=squares)
        squares += y * y
        mean_x, mean_y, squares, product = block_means(stack, window)
        cross, power = mean_x * mean_y, mean_x**2 + mean_y**2
        covariance, spread = product - cross, squares - power
        flat = spread <= 1e-12 * power  # rounding of the running sums
        with np.errstate(divide="ignore", invalid="ignore"):
            quality = np.where(flat, 1.0, 2 * covariance / spread) * np.where(power > 0, 2 * cross / power, 1.0)
        total += float(quality.mean() if whole is None else quality[whole].mean())
    return total / len(truth)


def block_means(images: np.ndarray, window: int) -> np.ndarray:
    """Means of all window x window blocks of (..., H, W), by running sums: (..., H - window + 1, W - window + 1)."""
    before = window // 2
    for axis in (-2, -1):
        count = images.shape[axis] - window + 1
        images = uniform_filter1d(images, window, axis=axis, mode="nearest")
        images = np.moveaxis(np.moveaxis(images, axis, 0)[before : before + count], 0, axis)
    return images
