"""Pixel-wise and structural quality of an image cube: MSE, PSNR, SSIM, UQI, ERGAS.

All take (bands, rows, cols) arrays of one shape and a (rows, cols) validity mask or None, work band by band (no second
cube in memory), and return a float: NaN if no pixel is valid or the prediction is not finite there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PSNR_CEILING_DB = 150.0
"""PSNR of an exact band. An error of 3e-8 of the range is below float32's own resolution, and a table needs numbers."""


def check_shapes(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None) -> np.ndarray | None:
    """Raise ValueError unless the shapes fit; the mask as bool, None if every pixel is valid."""
    if truth.ndim != 3 or truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} must be (C, H, W) of one shape")
    if valid is None:
        return None
    mask = np.asarray(valid, bool)
    if mask.shape != truth.shape[1:]:
        raise ValueError(f"mask {mask.shape} does not fit an image of {truth.shape[1:]}")
    return None if mask.all() else mask


def band_mse(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Mean squared error of every band over the valid pixels: (C,) float64."""
    mask = check_shapes(truth, prediction, valid)
    errors = np.full(len(truth), np.nan)
    if mask is not None and not mask.any():
        return errors
    for band, (expected, found) in enumerate(zip(truth, prediction, strict=True)):
        difference = np.subtract(expected, found, dtype=np.float64)
        difference = difference.ravel() if mask is None else difference[mask]
        errors[band] = difference @ difference / difference.size
    return errors


def mse(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Mean squared error over all bands and valid pixels, in squared units of the cube."""
    return float(band_mse(truth, prediction, valid).mean())


def rmse(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Root of the mean squared error, in units of the cube."""
    return float(np.sqrt(mse(truth, prediction, valid)))


def decibel(error: np.ndarray | float, data_range: float = 1.0) -> np.ndarray:
    """10 log10(data_range^2 / error), at most PSNR_CEILING_DB."""
    with np.errstate(divide="ignore"):
        return np.minimum(10 * np.log10(data_range**2 / np.asarray(error, np.float64)), PSNR_CEILING_DB)


def psnr(
    truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None, *, data_range: float = 1.0
) -> float:
    """Peak signal-to-noise ratio in dB of the global MSE (all bands together)."""
    return float(decibel(mse(truth, prediction, valid), data_range))


def mpsnr(
    truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None, *, data_range: float = 1.0
) -> float:
    """Mean over the bands of each band's PSNR in dB, the field's usual PSNR; never below `psnr` (Jensen)."""
    return float(decibel(band_mse(truth, prediction, valid), data_range).mean())


def peer_psnr(errors: Sequence[float] | np.ndarray, batch: int = 8, *, data_range: float = 1.0) -> float:
    """PSNR in dB as averaged by the paper `denoising-peft`: of the MSE of each batch, then the mean over batches.

    It depends on the batch size and on the order of the items, so it serves for comparison with the paper only.

    Args:
        errors: MSE of each item, in the order of evaluation; items of equal size.
        batch: items per batch; the last batch may be smaller and counts as much as the others.
    """
    values = np.asarray(errors, np.float64)
    if values.ndim != 1 or not len(values) or batch < 1:
        raise ValueError("needs one MSE per item, at least one, and a batch of at least one")
    means = [values[start : start + batch].mean() for start in range(0, len(values), batch)]
    return float(decibel(np.array(means), data_range).mean())


def ergas(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None, *, ratio: float = 1.0) -> float:
    """ERGAS: 100 / ratio * sqrt(mean over bands of MSE_b / mean_b^2), 0 at best (Wald, 2000).

    Args:
        ratio: how many fine pixels span a coarse one in fusion; 1 for denoising.

    Bands whose true mean is 0 have no relative error and are left out.
    """
    mask = check_shapes(truth, prediction, valid)
    if mask is not None and not mask.any():
        return float("nan")
    errors = band_mse(truth, prediction, mask)
    means = np.array([(band if mask is None else band[mask]).mean(dtype=np.float64) for band in truth])
    usable = means != 0
    if not usable.any():
        return float("nan")
    return float(100 / ratio * np.sqrt(np.mean(errors[usable] / means[usable] ** 2)))
