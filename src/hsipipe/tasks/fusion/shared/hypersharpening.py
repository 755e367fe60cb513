"""Hypersharpening: for each HSI band a sharp synthetic band, regressed on the MSI, whose details are injected.

Source: Selva, Aiazzi, Butera, Chiarantini and Baronti, "Hyper-sharpening: a first approach on SIM-GA data", IEEE JSTARS
8(6), 2015, doi:10.1109/JSTARS.2015.2440092.
"""

from __future__ import annotations

import numpy as np

from hsipipe.tasks.fusion.shared.regression import CHUNK, Fit, Moments

# Where bands hardly follow their synthetic bands, the ratio that makes the gain has no bounds.
LARGEST_GAIN = 3.0


def injection_gains(moments: Moments, fit: Fit) -> np.ndarray:
    """Covariance of each band with its synthetic band over the variance of the latter, at the HSI's resolution.

    Args:
        moments: of the coarse MSI (features) and the HSI's bands (targets).
        fit: how the synthetic bands are made of the MSI's.

    Returns:
        (C,) float64, from 0 to `LARGEST_GAIN`; 0 where the synthetic band is constant.
    """
    mean, target_mean = moments.features / moments.count, moments.targets / moments.count
    covariance = moments.features_features / moments.count - np.outer(mean, mean)
    across = moments.features_targets / moments.count - np.outer(mean, target_mean)
    variance = np.einsum("cf,fg,cg->c", fit.matrix, covariance, fit.matrix)
    shared = np.einsum("cf,fc->c", fit.matrix, across)
    varies = variance > 1e-14 * (moments.targets_targets / moments.count)
    return np.clip(np.where(varies, shared / np.where(varies, variance, 1.0), 0.0), 0.0, LARGEST_GAIN)


def inject(cube: np.ndarray, weights: np.ndarray, details: np.ndarray) -> np.ndarray:
    """Add a mixture of details to each band, in place.

    Args:
        cube: (C, H, W) float32, changed.
        weights: (C, m), of each MSI band's details in each HSI band.
        details: (m, H, W).

    Returns:
        The cube.
    """
    flat, sharp = cube.reshape(len(cube), -1), details.reshape(len(details), -1)
    mixture = weights.astype(np.float32)
    for start in range(0, flat.shape[1], CHUNK):
        flat[:, start : start + CHUNK] += mixture @ sharp[:, start : start + CHUNK]
    return cube
