"""Spectral quality of an image cube: the spectral angle."""

from __future__ import annotations

import numpy as np

from hsipipe.metrics.spatial import check_shapes

_BLOCK = 16


def spectral_angles(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    low: np.ndarray | None = None,
    span: np.ndarray | None = None,
) -> np.ndarray:
    """The angle in degrees between the spectra of every pixel: (H, W) float64 in [0, 180].

    A pixel whose true spectrum is zero has no angle (NaN). A prediction of zero for a true spectrum that is not zero
    says nothing about its direction and counts as orthogonal, 90 degrees.

    Args:
        truth, prediction: (C, H, W).
        low, span: (C,) each or None: both cubes are first brought to value * span + low.
    """
    check_shapes(truth, prediction, None)
    product, true_power, found_power = np.zeros((3, *truth.shape[1:]))
    for start in range(0, len(truth), _BLOCK):
        block = slice(start, start + _BLOCK)
        # float64: near 0 degrees the angle is the root of the cosine's rounding error.
        x, y = truth[block].astype(np.float64), prediction[block].astype(np.float64)
        if low is not None and span is not None:
            scale, offset = (np.asarray(value[block], np.float64)[:, None, None] for value in (span, low))
            x, y = x * scale + offset, y * scale + offset
        product += np.einsum("chw,chw->hw", x, y)
        true_power += np.einsum("chw,chw->hw", x, x)
        found_power += np.einsum("chw,chw->hw", y, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.clip(product / (np.sqrt(true_power) * np.sqrt(found_power)), -1, 1)
    cosine[found_power == 0] = 0
    cosine[true_power == 0] = np.nan
    return np.degrees(np.arccos(cosine))


def sam_degrees(
    truth: np.ndarray,
    prediction: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    low: np.ndarray | None = None,
    span: np.ndarray | None = None,
) -> float:
    """Spectral angle mapper: the mean over the valid pixels of the angle between spectra, in degrees.

    Valid pixels whose angle is not defined (true spectrum zero) are left out; see `spectral_angles`, also for `low` and
    `span`. NaN if no pixel is left, or if the prediction is not finite at a valid pixel.
    """
    mask = check_shapes(truth, prediction, valid)
    angles = spectral_angles(truth, prediction, low=low, span=span)
    angles = angles.ravel() if mask is None else angles[mask]
    undefined = np.isnan(angles)
    if undefined.any():
        found = prediction.reshape(len(prediction), -1) if mask is None else prediction[:, mask]
        if not np.isfinite(found[:, undefined]).all():
            return float("nan")
        angles = angles[~undefined]
    return float(angles.mean()) if angles.size else float("nan")
