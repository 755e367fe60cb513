"""How well spectra are reconstructed from few numbers: MSE, PSNR and spectral angles, in the scene's own units."""

from __future__ import annotations

import numpy as np

from hsipipe.errors import UserError
from hsipipe.metrics.registry import METRICS
from hsipipe.metrics.spatial import decibel

RECONSTRUCTION_METRICS = ("reconstruction_mse", "reconstruction_psnr", "sam", "sam_median")
PIECE = 16384


def score_spectra(
    truth: np.ndarray, reconstruction: np.ndarray, *, data_range: float | None = None
) -> list[tuple[str, float, str]]:
    """MSE, PSNR, and mean and median of the spectral angle.

    The angle is that between spectra as the scene has them: normalised spectra that were shifted have other angles, and
    must be brought back first. Spectra that are zero have no angle and are left out of it; a reconstruction of zero
    counts as orthogonal.

    Args:
        truth, reconstruction: (N, bands), in the scene's units.
        data_range: what PSNR refers to, in the same units; None: largest minus smallest value of the truth.

    Returns:
        (metric, value, unit) in the order of `RECONSTRUCTION_METRICS`; NaN where a score is not defined.

    Raises:
        UserError: shapes that differ, no spectra, or a range that is not positive.
    """
    if truth.ndim != 2 or truth.shape != reconstruction.shape or not truth.size:
        raise UserError(f"reconstructions of {reconstruction.shape} do not fit spectra of {truth.shape}")
    span = float(truth.max()) - float(truth.min()) if data_range is None else float(data_range)
    if data_range is not None and not span > 0:
        raise UserError("must be above 0", key="data_range", found=data_range)
    squared, angles = 0.0, []
    for start in range(0, len(truth), PIECE):
        expected = truth[start : start + PIECE].astype(np.float64)
        found = reconstruction[start : start + PIECE].astype(np.float64)
        squared += float(((expected - found) ** 2).sum())
        angles.append(spectral_angles_of(expected, found))
    defined = np.concatenate(angles)
    defined = defined[~np.isnan(defined)]
    error = squared / truth.size
    # Leaving out spectra that were not reconstructed at all would praise the rest.
    usable = defined.size > 0 and bool(np.isfinite(error))
    scores = {
        "reconstruction_mse": error,
        "reconstruction_psnr": float(decibel(error, span)) if span > 0 else float("nan"),
        "sam": float(defined.mean()) if usable else float("nan"),
        "sam_median": float(np.median(defined)) if usable else float("nan"),
    }
    return [(name, scores[name], METRICS[name].unit) for name in RECONSTRUCTION_METRICS]


def spectral_angles_of(truth: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """The angle in degrees between each spectrum and its reconstruction, (N,); NaN where the true one is zero.

    By the sine and cosine of half the angle (W. Kahan, How futile are mindless assessments of roundoff, 2006, section
    12): the arc cosine has no digits left at small angles.

    Args:
        truth, reconstruction: (N, bands).
    """
    first, second = truth.astype(np.float64), reconstruction.astype(np.float64)
    lengths = np.sqrt((first**2).sum(1)), np.sqrt((second**2).sum(1))
    unit = [
        values / np.where(length > 0, length, 1.0)[:, None]
        for values, length in zip((first, second), lengths, strict=True)
    ]
    apart = np.sqrt(((unit[0] - unit[1]) ** 2).sum(1))
    together = np.sqrt(((unit[0] + unit[1]) ** 2).sum(1))
    angles = np.degrees(2 * np.arctan2(apart, together))
    angles[lengths[1] == 0] = 90.0
    angles[lengths[0] == 0] = np.nan
    return angles
