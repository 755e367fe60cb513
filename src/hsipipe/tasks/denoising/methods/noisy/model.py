"""The noisy input as its own estimate: what every denoiser has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np


def denoise(noisy: np.ndarray, *, wavelength_nm: np.ndarray | None = None) -> np.ndarray:  # noqa: ARG001
    """The input (B, C, H, W) itself; only NaN and infinities, which no method returns, become 0."""
    cubes: Any = np.asarray(noisy)
    return cubes if np.isfinite(cubes).all() else np.nan_to_num(cubes, nan=0.0, posinf=0.0, neginf=0.0)
