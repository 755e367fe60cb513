"""Principal components of the mean spectra of the training part."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hsipipe.tasks.representation.shared.spectral_features import (
    PrincipalComponents,
    fit_components,
    mean_spectra,
)


def fit(images: np.ndarray, masks: np.ndarray, *, components: int = 30) -> dict[str, np.ndarray]:
    """Fit to the training images (N, C, H, W): plain arrays, for `embed`."""
    spectra = mean_spectra(images, masks)
    found = fit_components(spectra, count=components)
    return {"mean": found.mean, "axes": found.axes, "variances": found.variances}


def embed(
    images: np.ndarray,
    masks: np.ndarray,
    *,
    state: Mapping[str, np.ndarray],
    components: int = 30,  # noqa: ARG001
) -> np.ndarray:
    """Images (N, C, H, W) and masks (N, H, W) to coordinates (N, components)."""
    axes = PrincipalComponents(*(np.asarray(state[name]) for name in ("mean", "axes", "variances")))
    return axes.transform(mean_spectra(images, masks)).astype(np.float32)
