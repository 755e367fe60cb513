"""`explore`: what the results explorer shows of a denoising case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hsipipe.report.explorer.views import CubeView, View
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.predictions import read_kept


def explore(
    case: str | Path,
    scenes: Sequence[str | Path],
    kept: Mapping[str, str],
) -> list[View]:
    """The shown unit: truth, noisy input, and what each method made of it.

    Args:
        case, scenes: the case file and its scenes.
        kept: variant -> the prediction kept for pictures.
    """
    name = read_kept(next(iter(kept.values())))["item"]
    with CaseFile(case, scenes) as opened:
        truth, noisy = opened.truth(name), opened.noisy(name)
    return [
        CubeView(
            item=name,
            reference="truth",
            truth=truth.cube,
            beside={"noisy input": noisy},
            variants=list(kept),
            read=lambda variant: read_kept(kept[variant])["prediction"],
            good=truth.good,
            valid=truth.valid,
            wavelength_nm=truth.wavelength_nm,
            unit="value, band scaled to [0, 1]",
        )
    ]
