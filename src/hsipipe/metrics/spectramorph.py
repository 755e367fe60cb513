"""The scores of SpectraMorph (arXiv 2510.20814) as its authors compute them, so that its tables can be compared.

They differ from the textbook: PSNR and SSIM see both cubes cut to 8 bits; UIQI puts the means of a window where its
formula has sums, so that energy swamps variance and values lie near 1; ERGAS has the factor 1/4 at every ratio.
"""

from __future__ import annotations

import logging

import numpy as np
from scipy.ndimage import uniform_filter

from hsipipe.metrics.registry import METRICS
from hsipipe.metrics.spatial import band_mse, check_shapes, decibel
from hsipipe.metrics.structure import block_means

log = logging.getLogger(__name__)

SPECTRAMORPH_METRICS = tuple(f"spectramorph_{name}" for name in ("rmse", "psnr", "ssim", "uiqi", "ergas", "sam"))

_SSIM_WINDOW = 11
_UIQI_WINDOW = 8
_SAM_ROWS = 64


def score_as_published(truth: np.ndarray, prediction: np.ndarray, *, ratio: float) -> list[tuple[str, float, str]]:
    """The six scores of the paper's tables, by its own definitions.

    Args:
        truth, prediction: (C, H, W) in [0, 1]; taken as float32. The paper scales the truth by the 1st and 99th
            percentile of the whole cube and cuts it there. What lies outside is cut for PSNR and SSIM alone.
        ratio: how many fine pixels span a coarse one; it has no influence (see ERGAS).

    Returns:
        (metric, value, unit) in the order of `SPECTRAMORPH_METRICS`:

        - `rmse`: over all pixels and bands.
        - `psnr`: 10 log10(255^2 / MSE), one MSE for the whole cube, values truncated to 0..255.
        - `ssim`: of the truncated values; uniform window of 11 x 11 wholly within the image, K1 = 0.01, K2 = 0.03,
          population statistics; mean of bands. NaN if a side is below 11.
        - `uiqi`: mean of bands; see `_uiqi_map`. NaN if a side is below 9.
        - `ergas`: 25 * sqrt(mean over bands of MSE_b / mean_b^2), whatever the ratio; infinite or NaN if the mean of a
          band is 0.
        - `sam`: degrees; mean over pixels of arccos(min(<x, y> / (|x| |y| + 1e-8), 1 - 1e-9)) in float32, where the
          upper limit rounds to 1. A pixel of zeros counts as 90 degrees.

        All are NaN if a value is not finite.

    Raises:
        ValueError: shapes that differ.
    """
    check_shapes(truth, prediction, None)
    del ratio  # the published ERGAS is that of ratio 4 at all ratios
    x, y = (np.asarray(cube, np.float32) for cube in (truth, prediction))
    errors = band_mse(x, y)
    if not np.isfinite(errors).all():
        log.warning("the cubes are not finite: they have no scores")
        return [(name, float("nan"), METRICS[name].unit) for name in SPECTRAMORPH_METRICS]
    squared, structure, quality = np.mean([_band_scores(*pair) for pair in zip(x, y, strict=True)], axis=0)
    means = np.array([band.mean(dtype=np.float64) for band in x])
    with np.errstate(divide="ignore", invalid="ignore"):
        ergas = 25 * np.sqrt(np.mean(errors / means**2))
    if not np.isfinite(ergas):
        log.warning("the paper's ERGAS is not finite: a band has the mean 0")
    # Deviation: an exact prediction has PSNR_CEILING_DB instead of infinity, as everywhere in this project.
    values = (np.sqrt(errors.mean()), decibel(squared, 255), structure, quality, ergas, _sam(x, y))
    scores = zip(SPECTRAMORPH_METRICS, map(float, values), strict=True)
    return [(name, value, METRICS[name].unit) for name, value in scores]


def _band_scores(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """MSE and SSIM of the 8-bit values, and UIQI, of one band."""
    first, second = _eight_bits(x), _eight_bits(y)
    difference = (first - second).ravel()
    squared = difference @ difference / difference.size
    whole_ssim = min(x.shape) >= _SSIM_WINDOW
    whole_uiqi = min(x.shape) > _UIQI_WINDOW
    return (
        squared,
        _ssim(first, second) if whole_ssim else float("nan"),
        float(_uiqi_map(x.astype(np.float64), y.astype(np.float64)).mean()) if whole_uiqi else float("nan"),
    )


def _eight_bits(image: np.ndarray) -> np.ndarray:
    """Whole numbers 0..255 as float64, truncated, not rounded; the product is float32, which decides some of them."""
    return np.clip(image * np.float32(255), 0, 255).astype(np.uint8).astype(np.float64)


def _ssim(x: np.ndarray, y: np.ndarray) -> float:
    mean_x, mean_y, squares, product = block_means(np.stack([x, y, x * x + y * y, x * y]), _SSIM_WINDOW)
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    cross, power = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    index = (2 * cross + first) * (2 * (product - cross) + second)
    index /= (power + first) * (squares - power + second)
    return float(index.mean())


def _uiqi_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The paper's UIQI of every window of 8 x 8 but those that end at the last row or column: (H - 8, W - 8).

    With means E over the window and N = 64 it is 4 (N E[xy] - E[x]E[y]) E[x]E[y] /
    ((N (E[x^2] + E[y^2]) - E[x]^2 - E[y]^2) (E[x]^2 + E[y]^2)). The universal quality index has sums there, or no N.
    Where the denominator is 0 (two windows of zeros) it is 1.
    """
    # The filter's own running sums, edges included: what rounding leaves in windows of zeros decides their value.
    stack = np.stack([x, y, x * x, y * y, x * y])
    mean_x, mean_y, square_x, square_y, product = uniform_filter(stack, (1, _UIQI_WINDOW, _UIQI_WINDOW))
    count = _UIQI_WINDOW**2
    cross, power = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    spread = count * (square_x + square_y) - power
    denominator = spread * power
    with np.errstate(divide="ignore", invalid="ignore"):
        index = np.where(denominator != 0, 4 * (count * product - cross) * cross / denominator, 1.0)
        index = np.where((spread == 0) & (power != 0), 2 * cross / power, index)
    edge = _UIQI_WINDOW // 2
    return index[edge:-edge, edge:-edge]


def _sam(x: np.ndarray, y: np.ndarray) -> float:
    """Degrees. Spectra are laid out one after another, which fixes the order of float32's sums over bands."""
    angles = np.empty(x.shape[1:], np.float32)
    for start in range(0, x.shape[1], _SAM_ROWS):
        rows = slice(start, start + _SAM_ROWS)
        a, b = (np.ascontiguousarray(np.moveaxis(cube[:, rows], 0, -1)) for cube in (x, y))
        lengths = np.sqrt((a * a).sum(-1)) * np.sqrt((b * b).sum(-1))
        cosine = (a * b).sum(-1) / (lengths + np.float32(1e-8))
        angles[rows] = np.arccos(np.minimum(cosine, np.float32(1 - 1e-9)))
    return float(np.float32(180 / np.pi) * angles.mean())
