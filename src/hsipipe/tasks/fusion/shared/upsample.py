"""Bicubic interpolation from block means back to the fine grid.

Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981,
doi:10.1109/TASSP.1981.1163711 (a = -1/2, exact for quadratics).
"""

from __future__ import annotations

import math

import numpy as np


def bicubic(images: np.ndarray, ratio: int) -> np.ndarray:
    """Interpolate images whose pixels are the means of ratio x ratio blocks.

    A coarse pixel i covers the fine pixels i ratio .. i ratio + ratio - 1, so that its centre lies at i ratio +
    (ratio - 1) / 2: half a pixel's offset that keeps linear ramps where they were. The images go on beyond their edges
    as mirror images (d c b a | a b c d).

    Args:
        images: (..., h, w), any real type.
        ratio: fine pixels per coarse pixel along each axis, at least 1.

    Returns:
        (..., ratio h, ratio w) float32.
    """
    coarse = np.asarray(images, dtype=np.float32)
    return _along_last(_along_last(coarse.swapaxes(-1, -2), ratio).swapaxes(-1, -2), ratio)


def _along_last(images: np.ndarray, ratio: int) -> np.ndarray:
    """Interpolate along the last axis: one weighted sum of four shifted copies for each of the `ratio` phases."""
    size = images.shape[-1]
    padding = [(0, 0)] * (images.ndim - 1) + [(3, 3)]
    padded = np.pad(images, padding, mode="symmetric")
    fine = np.empty((*images.shape[:-1], size, ratio), dtype=np.float32)
    for phase in range(ratio):
        position = (phase + 0.5) / ratio - 0.5
        first = math.floor(position) - 1
        total = fine[..., phase]
        total[...] = 0
        for tap in range(first, first + 4):
            weight = _cubic(abs(position - tap))
            if weight != 0.0:
                total += np.float32(weight) * padded[..., 3 + tap : 3 + tap + size]
    return fine.reshape(*images.shape[:-1], size * ratio)


def _cubic(distance: float) -> float:
    """Keys' kernel for a = -1/2."""
    if distance < 1:
        return (1.5 * distance - 2.5) * distance**2 + 1
    if distance < 2:
        return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return 0.0
