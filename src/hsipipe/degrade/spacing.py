"""The stretch of the spectrum that each band stands for, in whatever order the bands come."""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 5  # spacings on each side that tell what spacing is usual there
HOLE = 2.5  # a spacing above this multiple of the usual one is a hole, not a wide band


def band_cells(wavelength_nm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper end (nm) of each band's cell: half-way to its neighbours, in the order given.

    The cells of a spectrum without holes tile it, so that their widths are the weights of the midpoint rule. Where
    bands were left out (water vapour, dead ones) the cells beside the hole keep half of the usual spacing. The outer
    ends of the first and last cell lie as far from the centre as their inner ends. Overlapping spectrometers (EnMAP)
    share the overlap.
    """
    wavelength_nm = np.asarray(wavelength_nm, np.float64)
    if len(wavelength_nm) < 2:
        return wavelength_nm - 0.5, wavelength_nm + 0.5
    order = np.argsort(wavelength_nm, kind="stable")
    centres = wavelength_nm[order]
    gaps = np.diff(centres)
    padded = np.pad(gaps, NEIGHBOURS, constant_values=np.nan)
    usual = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1), axis=1)
    halves = np.where(gaps > HOLE * usual, usual, gaps) / 2.0
    lower, upper = np.empty_like(centres), np.empty_like(centres)
    lower[order] = centres - np.concatenate([halves[:1], halves])
    upper[order] = centres + np.concatenate([halves, halves[-1:]])
    return lower, upper
