"""The scores of one fused cube against the truth, as rows for the tidy table."""

from __future__ import annotations

import logging

import numpy as np

from hsipipe.metrics.registry import METRICS
from hsipipe.metrics.spatial import band_mse, check_shapes, decibel, ergas
from hsipipe.metrics.spectral import sam_degrees
from hsipipe.metrics.structure import ssim, uqi

log = logging.getLogger(__name__)

FUSION_METRICS = ("psnr", "mpsnr", "sam", "ssim", "uqi", "ergas", "rmse", "inner_psnr", "inner_mpsnr", "inner_sam")

_UQI_WINDOW = 8
_DOMINANT = 0.5


def score_fusion(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    ratio: float,
    border: int,
    valid: np.ndarray | None = None,
) -> list[tuple[str, float, str]]:
    """All scores of one fused cube.

    Args:
        truth, prediction: (C, H, W), both in one scaling whose data range is 1 (a common factor for all bands, so that
            spectral angles are those of the scene).
        ratio: how many fine pixels span a coarse one; ERGAS depends on it.
        border: pixels left out at each edge for the scores that begin with `inner_`: there, what lies beyond the image
            has a part in the low-resolution pixels, and each method guesses it in its own way.
        valid: (H, W) bool or None: pixels that count.

    Returns:
        (metric, value, unit) in the order of `FUSION_METRICS`. PSNR is that of the global MSE, MPSNR the mean of the
        bands' PSNR, both at most 150 dB; SSIM has a Gaussian window; UQI is Wang and Bovik's (2002) with blocks of
        8 x 8; ERGAS is Wald's (2000) with the real ratio. NaN where a score is not defined: no valid pixel, a
        prediction that is not finite, an image smaller than a block, nothing within the border. The log tells scores
        that are NaN, bands of zero mean (which ERGAS leaves out) and a band that alone makes most of ERGAS.

    Raises:
        ValueError: shapes that differ, a ratio that is not positive or a negative border.
    """
    mask = check_shapes(truth, prediction, valid)
    if not ratio > 0 or border < 0:
        raise ValueError(f"ratio {ratio} must be positive and border {border} not negative")
    errors = band_mse(truth, prediction, mask)
    mean = float(errors.mean())
    scores = {
        "psnr": float(decibel(mean)),
        "mpsnr": float(decibel(errors).mean()),
        "sam": sam_degrees(truth, prediction, mask),
        "ssim": ssim(truth, prediction, mask),
        "uqi": uqi(truth, prediction, mask) if min(truth.shape[1:]) >= _UQI_WINDOW else float("nan"),
        "ergas": ergas(truth, prediction, mask, ratio=ratio),
        "rmse": float(np.sqrt(mean)),
        **_inner_scores(truth, prediction, mask, border),
    }
    _tell_what_is_odd(scores, truth, errors, mask)
    return [(name, scores[name], METRICS[name].unit) for name in FUSION_METRICS]


def _inner_scores(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None, border: int) -> dict[str, float]:
    rows, cols = truth.shape[1:]
    if min(rows, cols) <= 2 * border:
        return dict.fromkeys(("inner_psnr", "inner_mpsnr", "inner_sam"), float("nan"))
    inside = (slice(border, rows - border), slice(border, cols - border))
    expected, found = truth[:, *inside], prediction[:, *inside]
    mask = None if mask is None else mask[inside]
    errors = band_mse(expected, found, mask)
    return {
        "inner_psnr": float(decibel(errors.mean())),
        "inner_mpsnr": float(decibel(errors).mean()),
        "inner_sam": sam_degrees(expected, found, mask),
    }


def _tell_what_is_odd(scores: dict[str, float], truth: np.ndarray, errors: np.ndarray, mask: np.ndarray | None) -> None:
    """Log scores that are not finite, and bands that ERGAS leaves out or that dominate it."""
    undefined = [name for name in FUSION_METRICS if not np.isfinite(scores[name])]
    if undefined:
        log.warning("not defined for this image: %s", ", ".join(undefined))
    if not np.isfinite(errors).all():
        return
    means = np.array([(band if mask is None else band[mask]).mean(dtype=np.float64) for band in truth])
    dead = means == 0
    if dead.any():
        log.warning("ERGAS leaves out %d of %d bands: their true mean is 0", dead.sum(), len(dead))
    relative = errors[~dead] / means[~dead] ** 2
    total = relative.sum()
    # Among few bands, one may well hold most of the error; among many, it is a band of almost no signal.
    if len(relative) >= 10 and total > 0 and relative.max() > _DOMINANT * total:
        band = int(np.flatnonzero(~dead)[relative.argmax()])
        share = 100 * relative.max() / total
        log.warning("band %d, whose true mean is %.2g, makes %.0f %% of ERGAS squared", band, means[band], share)
