"""Measured response curves: a table whose first column is the wavelength and whose others are one band each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError

MICROMETRES = (0.2, 20.0)
NANOMETRES = (200.0, 20_000.0)
LEAST_ROWS = 5


@dataclass(frozen=True)
class Curves:
    """Curves (n, m) over wavelength_nm (n,), ascending; noise below zero is zero.

    centres_nm is the centroid of each curve's part above half of its maximum, lower_nm and upper_nm its outermost
    half-power points.
    """

    wavelength_nm: np.ndarray
    values: np.ndarray
    centres_nm: np.ndarray
    lower_nm: np.ndarray
    upper_nm: np.ndarray

    def at(self, wavelength_nm: np.ndarray) -> np.ndarray:
        """The curves at other wavelengths (C,): (m, C), linear in between, zero beyond the measured range."""
        columns = self.values.T
        return np.stack([np.interp(wavelength_nm, self.wavelength_nm, curve, left=0.0, right=0.0) for curve in columns])


def is_curves(table: np.ndarray) -> bool:
    """Whether a table's first column can only be a wavelength.

    It rises or falls strictly over at least 5 rows, within 200 to 20,000 (nm) or 0.2 to 20 (micrometres); a column of
    responses has its top in between.
    """
    if table.shape[0] < LEAST_ROWS or table.shape[1] < 2 or table.shape[0] <= table.shape[1]:
        return False
    first = table[:, 0]
    steps = np.diff(first)
    monotonic = bool((steps > 0).all() or (steps < 0).all())
    return monotonic and any(low <= first.min() and first.max() <= high for low, high in (NANOMETRES, MICROMETRES))


def curves_of(table: np.ndarray, *, name: str) -> Curves:
    """The curves of a table for which `is_curves` holds.

    Raises:
        UserError: a curve without a positive value.
    """
    table = table[np.argsort(table[:, 0])]
    wavelength_nm = table[:, 0] * (1000.0 if table[-1, 0] <= MICROMETRES[1] else 1.0)
    values = np.maximum(table[:, 1:], 0.0)
    empty = np.flatnonzero(values.max(axis=0) <= 0)
    if len(empty):
        raise UserError("a curve has no positive value", file=name, key="srf", found=f"column {empty[0] + 2}")
    bounds = [_half_power(wavelength_nm, curve) for curve in values.T]
    lower, upper = np.array(bounds).T
    core = np.where(values >= values.max(axis=0) / 2.0, values, 0.0)
    centres = (wavelength_nm @ core) / core.sum(axis=0)
    return Curves(wavelength_nm, values, centres, lower, upper)


def _half_power(wavelength_nm: np.ndarray, curve: np.ndarray) -> tuple[float, float]:
    """The outermost wavelengths at which a curve crosses half of its maximum; its end where it does not."""
    half = curve.max() / 2.0
    above = np.flatnonzero(curve >= half)
    first, last = above[0], above[-1]
    lower, upper = wavelength_nm[first], wavelength_nm[last]
    if first > 0:
        lower = np.interp(half, curve[first - 1 : first + 1], wavelength_nm[first - 1 : first + 1])
    if last < len(curve) - 1:
        upper = np.interp(half, curve[[last + 1, last]], wavelength_nm[[last + 1, last]])
    if upper <= lower:  # a single sample: a band as wide as the spacing
        spacing = np.diff(wavelength_nm).min()
        return float(lower - spacing / 2.0), float(upper + spacing / 2.0)
    return float(lower), float(upper)
