"""From the bands of one sensor to those of another."""

from __future__ import annotations

import numpy as np


def interpolation(source_nm: np.ndarray, target_nm: np.ndarray) -> np.ndarray:
    """The matrix (targets, sources) of linear interpolation over wavelength; constant beyond the ends."""
    order = np.argsort(source_nm, kind="stable")
    unit = np.eye(len(source_nm))[:, order]
    return np.stack([np.interp(target_nm, source_nm[order], row) for row in unit], axis=1)
