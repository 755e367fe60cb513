"""The scores of one denoised cube, or of one band of it, as rows for the tidy table."""

from __future__ import annotations

import numpy as np

from hsipipe.metrics.registry import METRICS
from hsipipe.metrics.spatial import band_mse, check_shapes, decibel, ergas
from hsipipe.metrics.spectral import sam_degrees
from hsipipe.metrics.structure import ssim

DENOISING_METRICS = ("mpsnr", "psnr", "ssim", "sam", "sam_original", "mse", "rmse", "ergas")
BAND_METRICS = ("band_psnr", "band_mse")


def score_cube(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    valid: np.ndarray | None = None,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
) -> list[tuple[str, float, str]]:
    """All denoising scores of one cube.

    Args:
        truth, prediction: (C, H, W), scaled so that the data range is 1 (band by band, by the clean image).
        valid: (H, W) bool or None: pixels that count.
        low, high: (C,) the band-wise scaling; with it `sam_original` is the angle between spectra in the scene's own
            units, which the scaling does not preserve. Left out without it.

    Returns:
        (metric, value, unit) in the order of `DENOISING_METRICS`; NaN where a score is not defined.
    """
    mask = check_shapes(truth, prediction, valid)
    errors = band_mse(truth, prediction, mask)
    mean = float(errors.mean())
    scores = {
        "mpsnr": float(decibel(errors).mean()),
        "psnr": float(decibel(mean)),
        "ssim": ssim(truth, prediction, mask),
        "sam": sam_degrees(truth, prediction, mask),
        "mse": mean,
        "rmse": float(np.sqrt(mean)),
        "ergas": ergas(truth, prediction, mask),
    }
    if low is not None and high is not None:
        span = np.where(high > low, np.subtract(high, low, dtype=np.float64), 1.0)
        scores["sam_original"] = sam_degrees(truth, prediction, mask, low=low, span=span)
    return [(name, scores[name], METRICS[name].unit) for name in DENOISING_METRICS if name in scores]


def score_band(
    truth: np.ndarray, prediction: np.ndarray, *, valid: np.ndarray | None = None
) -> list[tuple[str, float, str]]:
    """PSNR and MSE of one band, as papers print them beside a picture of it.

    Args:
        truth, prediction: (H, W), scaled so that the data range is 1.
        valid: (H, W) bool or None: pixels that count.

    Returns:
        (metric, value, unit) in the order of `BAND_METRICS`; NaN if no pixel is valid.
    """
    error = float(band_mse(truth[None], prediction[None], valid)[0])
    scores = {"band_psnr": float(decibel(error)), "band_mse": error}
    return [(name, scores[name], METRICS[name].unit) for name in BAND_METRICS]
