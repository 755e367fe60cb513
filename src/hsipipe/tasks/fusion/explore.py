"""`explore`: what the results explorer shows of a fusion case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hsipipe.report.explorer.views import CubeView, View
from hsipipe.tasks.fusion.figures.material import read_shown
from hsipipe.tasks.predictions import read_kept


def explore(
    case: str | Path,
    scenes: Sequence[str | Path],
    kept: Mapping[str, str],
) -> list[View]:
    """The shown item: truth, low-resolution HSI, and what each method made of the pair.

    Args:
        case, scenes: the case file and its scenes.
        kept: variant -> what was kept for pictures.
    """
    shown = read_shown(case, scenes, read_kept(next(iter(kept.values())))["item"])
    return [
        CubeView(
            item=shown.name,
            reference="truth",
            truth=shown.truth,
            beside={"low-resolution HSI": shown.lr_hsi},
            variants=list(kept),
            read=lambda variant: read_kept(kept[variant])["prediction"],
            good=(shown.truth != 0).any(axis=(1, 2)),
            valid=shown.valid,
            wavelength_nm=shown.wavelength_nm,
            unit="value, common scale",
        )
    ]
