"""The rivals of an encoder: mean spectrum, centre spectrum, and principal components fitted to the training part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError

COMPONENTS = 30


def mean_spectra(images: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> np.ndarray:
    """Mean spectrum of the pixels in each mask, (N, C) float64.

    Args:
        images: (C, H, W) each, of any sizes; masks: (H, W) or (1, H, W) each, above 0 inside.

    Raises:
        UserError: a mask that does not fit, or without pixels.
    """
    features = []
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        inside = np.asarray(mask).reshape(mask.shape[-2:]) > 0
        if image.ndim != 3 or inside.shape != image.shape[1:]:
            raise UserError(f"specimen {number}: a mask of {mask.shape} does not fit an image of {image.shape}")
        if not inside.any():
            raise UserError(f"specimen {number} has no pixel in its mask", remedy="leave it out or mend its mask")
        features.append(image[:, inside].mean(1, dtype=np.float64))
    if not features:
        raise UserError("there is no specimen to describe")
    return np.stack(features)


def centre_spectra(images: np.ndarray) -> np.ndarray:
    """Spectrum of the central pixel of each patch, (N, C) float64.

    Args:
        images: (N, C, H, W); with even sides, the pixel below and to the right of the middle.
    """
    return images[:, :, images.shape[2] // 2, images.shape[3] // 2].astype(np.float64)


@dataclass(frozen=True)
class PrincipalComponents:
    """Attributes: mean (C,); axes (k, C): orthonormal, by falling variance; variances (k,)."""

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray

    def transform(self, spectra: np.ndarray) -> np.ndarray:
        """Coordinates (N, k) of spectra (N, C).

        Raises:
            UserError: another number of bands.
        """
        if spectra.ndim != 2 or spectra.shape[1] != len(self.mean):
            raise UserError(f"components of {len(self.mean)} bands cannot describe", found=spectra.shape)
        return (spectra - self.mean) @ self.axes.T


def fit_components(spectra: np.ndarray, *, count: int = COMPONENTS) -> PrincipalComponents:
    """Principal components of training spectra.

    Args:
        spectra: (N, C), of the training part only, N at least 2.
        count: how many; at most N - 1 and C are kept.

    Raises:
        UserError: fewer than two spectra, or a count below 1.
    """
    spectra = np.asarray(spectra, np.float64)
    if spectra.ndim != 2 or len(spectra) < 2:
        raise UserError("principal components need at least two spectra", found=spectra.shape)
    if count < 1:
        raise UserError("must be at least 1", key="components", found=count)
    mean = spectra.mean(0)
    _, values, axes = np.linalg.svd(spectra - mean, full_matrices=False)
    kept = min(count, len(spectra) - 1, spectra.shape[1])
    # The sign of an axis is free: its largest loading is made positive, the same on every machine.
    largest = np.abs(axes[:kept]).argmax(1)
    axes = axes[:kept] * np.sign(axes[np.arange(kept), largest])[:, None]
    return PrincipalComponents(mean, axes, values[:kept] ** 2 / (len(spectra) - 1))
