"""Every pixel the mean spectrum of the noisy input: on dark scenes a rival that many a denoiser loses to."""

from __future__ import annotations

import numpy as np


def denoise(noisy: np.ndarray, *, wavelength_nm: np.ndarray | None = None) -> np.ndarray:  # noqa: ARG001
    """Each band of (B, C, H, W) filled with its mean over finite pixels (0 if there is none)."""
    cubes = np.asarray(noisy)
    good = np.isfinite(cubes)
    count = np.maximum(good.sum(axis=(-2, -1), keepdims=True), 1)
    mean = np.where(good, cubes, 0.0).sum(axis=(-2, -1), keepdims=True, dtype=np.float64) / count
    return np.broadcast_to(mean.astype(cubes.dtype), cubes.shape).copy()
