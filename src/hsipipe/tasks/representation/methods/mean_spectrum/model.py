"""The rival that no encoder may lose to: the mean spectrum of a specimen's pixels."""

from __future__ import annotations

import numpy as np

from hsipipe.tasks.representation.shared.spectral_features import mean_spectra


def embed(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) and masks (N, H, W) to features (N, C)."""
    return mean_spectra(images, masks).astype(np.float32)
