"""The spectrum of a patch's middle pixel: what a classifier of pixels sees."""

from __future__ import annotations

import numpy as np

from hsipipe.tasks.representation.shared.spectral_features import centre_spectra


def embed(images: np.ndarray, masks: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Images (N, C, H, W) to features (N, C)."""
    return centre_spectra(images).astype(np.float32)
