"""The MSI's spectral response from the pair: which mixture of HSI bands the MSI's bands are.

Each MSI band is regressed on the HSI's bands at the HSI's resolution, with weights that are not negative and vary
smoothly over the bands. How smoothly is chosen by blocked hold-out. Offsets are free, so that haze in one of the two
images does not bend the response.

Sources: Simoes et al., "A convex formulation for hyperspectral image superresolution via subspace-based
regularization", IEEE TGRS 53(6), 2015, doi:10.1109/TGRS.2014.2375320, section IV (regression of one image on the
other); Lawson and Hanson, "Solving least squares problems", Prentice-Hall 1974, chapter 23 (non-negative least
squares).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from hsipipe.errors import UserError
from hsipipe.tasks.fusion.shared.holdout import blocked_folds

SMOOTHNESS = tuple(10.0**power for power in range(-8, 3))
MOST_PIXELS = 20_000
BLOCK_SIDE = 8


def estimate_srf(lr_hsi: np.ndarray, lr_msi: np.ndarray) -> np.ndarray:
    """Estimate the response from two images of the same pixels.

    Args:
        lr_hsi: (C, h, w), finite.
        lr_msi: (m, h, w) the MSI at the HSI's resolution, in about the same scaling.

    Returns:
        (m, C) float64, no entry negative, each row of sum 1. A row is even (1 / C) where the images tell nothing.

    Raises:
        UserError: images of different sizes.
    """
    if lr_hsi.ndim != 3 or lr_msi.ndim != 3 or lr_hsi.shape[1:] != lr_msi.shape[1:]:
        raise UserError(
            "the two images must have the same pixels", key="srf", found=f"HSI {lr_hsi.shape}, MSI {lr_msi.shape}"
        )
    bands, *size = lr_hsi.shape
    step = max(1, lr_hsi[0].size // MOST_PIXELS)
    folds = np.empty(size, int)
    for block in blocked_folds(*size, side=BLOCK_SIDE):
        folds[block.rows, block.cols] = block.fold
    folds = folds.ravel()[::step]
    inputs = lr_hsi.reshape(bands, -1)[:, ::step].astype(np.float64)
    outputs = lr_msi.reshape(len(lr_msi), -1)[:, ::step].astype(np.float64)
    inputs -= inputs.mean(1, keepdims=True)
    outputs -= outputs.mean(1, keepdims=True)
    rough = _roughness(bands)
    scale = float(np.trace(inputs @ inputs.T)) / bands
    if scale <= 0:
        return np.full((len(outputs), bands), 1 / bands)
    penalties = _chosen_penalties(inputs, outputs, folds, rough, scale)
    return np.stack(
        [_response(inputs, band, penalty * scale * rough) for band, penalty in zip(outputs, penalties, strict=True)]
    )


def _roughness(bands: int) -> np.ndarray:
    """Penalty on second differences along the bands, which go on as zero outside, and a little on size."""
    second = 2 * np.eye(bands) - np.eye(bands, k=1) - np.eye(bands, k=-1)
    return second.T @ second + 1e-4 * np.eye(bands)


def _chosen_penalties(
    inputs: np.ndarray, outputs: np.ndarray, folds: np.ndarray, rough: np.ndarray, scale: float
) -> np.ndarray:
    """The smoothness (m,) with the least hold-out error, the sign left aside."""
    used = np.unique(folds)
    if len(used) < 2:
        return np.full(len(outputs), 1e-3)
    parts = {fold: (inputs[:, folds == fold], outputs[:, folds == fold]) for fold in used}
    grams = {fold: (seen @ seen.T, seen @ aim.T) for fold, (seen, aim) in parts.items()}
    total, cross = (sum(gram[index] for gram in grams.values()) for index in (0, 1))
    errors = np.zeros((len(SMOOTHNESS), len(outputs)))
    for row, smoothness in enumerate(SMOOTHNESS):
        for fold, (seen, aim) in parts.items():
            weights = np.linalg.solve(total - grams[fold][0] + smoothness * scale * rough, cross - grams[fold][1])
            errors[row] += np.sum((aim - weights.T @ seen) ** 2, axis=1)
    # Among fits that are equally good the smoothest: there are fewer differences in it to explain.
    near = errors <= 1.02 * errors.min(0)
    return np.asarray(SMOOTHNESS)[len(SMOOTHNESS) - 1 - near[::-1].argmax(0)]


def _response(inputs: np.ndarray, band: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Non-negative penalised least squares through the Cholesky factor of the normal matrix."""
    bands = len(inputs)
    factor = np.linalg.cholesky(inputs @ inputs.T + penalty + 1e-10 * np.trace(penalty) / bands * np.eye(bands))
    weights = nnls(factor.T, np.linalg.solve(factor, inputs @ band), maxiter=30 * bands)[0]
    total = weights.sum()
    return weights / total if total > 1e-12 else np.full(bands, 1 / bands)
