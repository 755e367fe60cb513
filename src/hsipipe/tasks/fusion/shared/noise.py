"""Noise levels of a pair from the images themselves, and a local Wiener filter for the MSI that guides the fusion.

Sources: Bioucas-Dias and Nascimento, "Hyperspectral subspace identification", IEEE TGRS 46(8), 2008,
doi:10.1109/TGRS.2008.918089 (bands regressed on bands); Immerkaer, "Fast noise variance estimation", CVIU 64(2),
1996, doi:10.1006/cviu.1996.0060 (a mask that is blind to planes); Lee, "Digital image enhancement and noise filtering
by use of local statistics", IEEE TPAMI 2(2), 1980, doi:10.1109/TPAMI.1980.4766994, and He, Sun and Tang, "Guided
image filtering", IEEE TPAMI 35(6), 2013, doi:10.1109/TPAMI.2012.213 (estimates of overlapping windows averaged).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.signal import convolve2d

SMALLEST_LEVEL = 1e-6  # of a band's root mean square: what rounding leaves of a noise-free band
NEIGHBOURS = 4  # bands that a band is regressed on where there are too few pixels for all
PLANE_BLIND = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]) / 6.0  # white noise keeps its variance
FLAT_SHARE = 0.05  # of the blocks: where an image has least detail of its own, noise is what is left
BLOCK = 8  # pixels a side of the blocks, at least
PIXELS_PER_BAND = 16  # of a block: with fewer, bands explain one another's noise
# Side of the Wiener filter's windows and the step between them, in pixels, for up to eight bands and for more: a
# window must have more pixels than there are bands, and eigenvectors of many bands take long.
FEW_BANDS, WINDOW, STRIDE = 8, 5, 2
WIDE_WINDOW, WIDE_STRIDE = 7, 3
CAUTION = 1.2  # variance taken for noise, over the estimated one: a window's own variance scatters about it


def band_noise(lr_hsi: np.ndarray) -> np.ndarray:
    """Noise level of each band: what the other bands do not predict of it.

    The residual variance of band b after regression on all others is 1 / (M^-1)_bb, with M the covariance between
    bands; n / (n - C) makes up for the fitted weights. With fewer than 2 C pixels, the nearest bands stand for all.

    Args:
        lr_hsi: (C, h, w) or (C, n), finite.

    Returns:
        (C,) float64, above 0.
    """
    spectra = lr_hsi.reshape(len(lr_hsi), -1).astype(np.float64)
    count = spectra.shape[1]
    floor = SMALLEST_LEVEL * max(float(np.sqrt(np.mean(spectra**2))), 1e-12)
    level = SMALLEST_LEVEL * np.sqrt(np.mean(spectra**2, axis=1)) + floor
    spectra -= spectra.mean(1, keepdims=True)
    live = np.flatnonzero(spectra.std(1) > level)
    if len(live) < 2 or count < 4:
        return np.maximum(level, 1e-2 * spectra.std(1))
    spectra = spectra[live]
    if count >= 2 * len(live) + 2:
        moments = spectra @ spectra.T / (count - 1)
        scale = np.sqrt(np.diag(moments))
        correlation = moments / np.outer(scale, scale) + 1e-10 * np.eye(len(live))
        variance = scale**2 / np.diag(np.linalg.inv(correlation)) * count / max(count - len(live), 1)
    else:
        variance = np.array([_unpredicted(spectra, band) for band in range(len(live))])
    level[live] = np.maximum(level[live], np.sqrt(np.maximum(variance, 0)))
    return level


def _unpredicted(spectra: np.ndarray, band: int) -> float:
    """Residual variance of a band regressed on those beside it, as many as the pixels allow."""
    bands, count = spectra.shape
    order = np.argsort(np.abs(np.arange(bands) - band), kind="stable")[1:]
    near = order[: max(1, min(NEIGHBOURS, count // 2 - 1))]
    weights = np.linalg.lstsq(spectra[near].T, spectra[band], rcond=1e-6)[0]
    residual = spectra[band] - weights @ spectra[near]
    return float(residual @ residual) / max(count - len(near) - 1, 1)


def image_noise(images: np.ndarray) -> np.ndarray:
    """Noise level of each band of an image of few bands: fine detail that the other bands do not share.

    A 3 x 3 mask that is blind to planes leaves noise and edges. Edges show in all bands, noise in one: in each block
    (8 x 8 pixels, more with many bands) a band's detail is regressed on that of the others, and the level is the
    residual's where there is least of it.

    Args:
        images: (m, H, W), finite.

    Returns:
        (m,) float64, above 0; too large where no part of the image is flat or alike in all bands.
    """
    bands, rows, cols = images.shape
    power = np.sqrt(np.mean(images.astype(np.float64) ** 2, axis=(1, 2)))
    floor = SMALLEST_LEVEL * (power + max(float(power.max()), 1e-12))
    if min(rows, cols) < 5:
        return floor
    detail = np.stack([convolve2d(image, PLANE_BLIND, mode="valid") for image in images.astype(np.float64)])
    rows, cols = detail.shape[1:]
    side = max(BLOCK, int(np.ceil(np.sqrt(PIXELS_PER_BAND * bands))))
    side_rows, side_cols = min(side, rows), min(side, cols)
    detail = detail[:, : rows // side_rows * side_rows, : cols // side_cols * side_cols]
    blocks = detail.reshape(bands, rows // side_rows, side_rows, -1, side_cols).transpose(1, 3, 0, 2, 4)
    blocks = blocks.reshape(-1, bands, side_rows * side_cols)
    count = blocks.shape[2]
    scale = np.sqrt(np.mean(blocks**2, axis=(0, 2))) + floor
    blocks = blocks / scale[:, None]
    moments = blocks @ np.swapaxes(blocks, 1, 2) / count + 1e-10 * np.eye(bands)
    alone = 1 / np.diagonal(np.linalg.inv(moments), axis1=1, axis2=2)
    variance = np.quantile(alone, FLAT_SHARE, axis=0) * count / max(count - bands + 1, 1)
    return np.maximum(np.sqrt(variance) * scale, floor)


def local_wiener(images: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Remove white noise of a known level from an image of few bands, keeping what rises above it.

    In each window the bands jointly are Gaussian about their mean; the part of their covariance that exceeds the noise
    is signal. Every window estimates all of its pixels, and a pixel gets the mean of the estimates.

    Args:
        images: (m, H, W), m up to a few dozen.
        level: (m,) noise level per band, above 0.

    Returns:
        (m, H, W) float32.
    """
    bands = len(images)
    scale = np.asarray(level, np.float32)[:, None, None]
    offset = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    scaled = (images - offset) / scale
    # Windows around some pixels overlap enough; their eigenvectors are what costs.
    window, stride = (WINDOW, STRIDE) if bands <= FEW_BANDS else (WIDE_WINDOW, WIDE_STRIDE)
    thin = (slice(None, None, stride),) * 2
    mean = np.stack([_window_mean(band, window) for band in scaled])
    pixels = np.moveaxis(mean[(..., *thin)], 0, -1)
    covariance = np.empty((*pixels.shape[:2], bands, bands), np.float32)
    for first in range(bands):
        for second in range(first, bands):
            product = _window_mean(scaled[first] * scaled[second], window) - mean[first] * mean[second]
            covariance[..., first, second] = covariance[..., second, first] = product[thin]
    values, vectors = np.linalg.eigh(covariance)
    kept = np.maximum(0, 1 - CAUTION / np.maximum(values, 1e-6))
    gain = (vectors * kept[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    rest = pixels - (gain @ pixels[..., None])[..., 0]
    spread = np.zeros(images.shape[1:], np.float32)

    def over_windows(values: np.ndarray) -> np.ndarray:
        spread[thin] = values
        return _window_mean(spread, window)

    weight = over_windows(np.ones(pixels.shape[:2], np.float32))
    result = np.stack([over_windows(rest[..., band]) for band in range(bands)])
    for first in range(bands):
        for second in range(bands):
            result[first] += over_windows(gain[..., first, second]) * scaled[second]
    return result / weight * scale + offset


def _window_mean(image: np.ndarray, side: int) -> np.ndarray:
    return uniform_filter(image, size=side, mode="reflect")
