"""Which unit and which band of a case the pictures show, the same for all methods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hsipipe.errors import UserError
from hsipipe.tasks.denoising.case import Truth

SHOWN_NM = 860.0
"""Near infrared: vegetation is brightest there and stands out most from soil and water."""


def shown_unit(names: Sequence[str], wanted: int) -> str:
    """The test unit of this number, or the last where a case has fewer."""
    return names[min(wanted, len(names) - 1)]


def shown_band(truth: Truth, wanted: int | None) -> int:
    """The number of the band that is shown and scored by itself.

    Args:
        truth: the unit that pictures show.
        wanted: number among the case's bands; None: the band nearest to 860 nm, or without wavelengths the middle one,
            of those that the unit has a measurement of.

    Raises:
        UserError: the case has no such band, or the unit no measurement of it.
    """
    measured = np.flatnonzero(truth.good)
    if wanted is None:
        if truth.wavelength_nm is None:
            return int(measured[len(measured) // 2])
        return int(measured[np.abs(truth.wavelength_nm[measured] - SHOWN_NM).argmin()])
    if wanted >= len(truth.good):
        raise UserError(
            f"the case has {len(truth.good)} bands",
            key="figure_band",
            found=wanted,
            remedy=f"choose one from 0 to {len(truth.good) - 1}",
        )
    if not truth.good[wanted]:
        raise UserError(
            "the unit that pictures show has no measurement of this band",
            key="figure_band",
            found=wanted,
            remedy="choose another band, or another `figure_unit`",
        )
    return wanted
