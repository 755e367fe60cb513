"""Spectra to another number of bands and back, each way as one product with a matrix.

The bands of a `Resampling` are evenly spaced from the first to the last of the sensor's own, in wavelength where it is
known and else in band number, so that nothing is extrapolated.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.bands.resample import interpolation
from hsipipe.errors import UserError


@dataclass(frozen=True)
class Resampling:
    """Linear interpolation between a sensor's bands and evenly spaced ones.

    Attributes:
        there: (bands, count) float32; spectra (N, bands) @ there are the resampled (N, count).
        back: (count, bands) float32, the way back; exact for spectra that are straight between the new bands.
        wavelength_nm: (count,) of the new bands, rising; None if those of the sensor are not known.
    """

    there: np.ndarray
    back: np.ndarray
    wavelength_nm: np.ndarray | None

    def apply(self, spectra: Any) -> Any:
        """Spectra (N, bands), NumPy or torch, to (N, count)."""
        return spectra @ _like(self.there, spectra)

    def invert(self, spectra: Any) -> Any:
        """Spectra (N, count), NumPy or torch, to (N, bands)."""
        return spectra @ _like(self.back, spectra)


def make_resampling(bands: int, count: int, *, wavelength_nm: np.ndarray | None = None) -> Resampling:
    """The resampling of spectra of `bands` bands to `count`.

    Args:
        bands, count: at least 1, and at least 2 each where they differ.
        wavelength_nm: (bands,) centres in the sensor's order, in any order, or None: bands count as evenly spaced.

    Raises:
        UserError: fewer than two bands, wavelengths of another number, not finite, or all equal.
    """
    if min(bands, count) < 2 and bands != count:
        raise UserError("spectra are resampled from and to at least 2 bands", found=f"{bands} to {count} bands")
    own = np.arange(bands, dtype=np.float64) if wavelength_nm is None else np.asarray(wavelength_nm, np.float64)
    if own.shape != (bands,):
        raise UserError("needs a wavelength for each band", found=f"{own.size} wavelengths for {bands} bands")
    if not np.isfinite(own).all():
        raise UserError("a wavelength is not a number", key="wavelength_nm", remedy="drop those bands")
    if bands > 1 and np.ptp(own) == 0:
        raise UserError("the wavelengths are all equal", key="wavelength_nm", found=f"{own[0]:g} nm")
    new = np.linspace(own.min(), own.max(), count)
    there, back = _weights(own, new), interpolation(new, own).T
    return Resampling(
        there.astype(np.float32), np.ascontiguousarray(back, np.float32), None if wavelength_nm is None else new
    )


def _weights(source_nm: np.ndarray, target_nm: np.ndarray) -> np.ndarray:
    """(sources, targets); bands of one wavelength, as two detectors may have, count as their mean."""
    places, index, counts = np.unique(source_nm, return_inverse=True, return_counts=True)
    return (interpolation(places, target_nm) / counts)[:, index].T


def _like(matrix: np.ndarray, spectra: Any) -> Any:
    if isinstance(spectra, np.ndarray):
        return matrix.astype(spectra.dtype, copy=False)
    return sys.modules["torch"].as_tensor(matrix).to(spectra)
