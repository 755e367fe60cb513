"""`draw`: fusion's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hsipipe.report.figures.against import draw_time
from hsipipe.report.figures.bars import draw_bars
from hsipipe.report.figures.results import read_results
from hsipipe.report.style import save_figure
from hsipipe.tasks.fusion.case import CaseFile
from hsipipe.tasks.fusion.figures.by_psf import draw_by_psf
from hsipipe.tasks.fusion.figures.degradation import draw_psfs, draw_response
from hsipipe.tasks.fusion.figures.material import Material
from hsipipe.tasks.fusion.figures.mixing import draw_endmembers, draw_latents
from hsipipe.tasks.fusion.figures.pictures import draw_spectra, draw_visual
from hsipipe.tasks.fusion.settings import FIGURES

KINDS: dict[str, Callable[[Material], Any]] = dict(
    zip(
        FIGURES,
        (
            draw_bars,
            draw_visual,
            draw_spectra,
            draw_time,
            draw_by_psf,
            draw_psfs,
            draw_response,
            draw_endmembers,
            draw_latents,
        ),
        strict=True,
    )
)


def draw(
    figure: dict[str, Any],
    *,
    case: str | Path,
    scenes: Sequence[str | Path],
    case_settings: Mapping[str, Any],  # noqa: ARG001 -- all that figures need stands in the case file
    scores: str | Path,
    kept: dict[str, str],
    records: dict[str, str],
    outputs: Sequence[str | Path],
) -> None:
    """Draw one figure to files.

    Args:
        figure: a `FigureSettings` as a dictionary; `kind` is one of `KINDS`.
        case, scenes: the case file and its scenes.
        scores: tidy scores of the paper.
        kept: variant -> what was kept for pictures.
        records: variant -> run.json.
        outputs: PNG and SVG paths.

    Raises:
        UserError: the figure cannot be drawn of these variants.
    """
    frame, loaded = read_results("fusion", figure, scores, records)
    with CaseFile(case, scenes) as opened:
        simulated = opened.simulated
    save_figure(KINDS[figure["kind"]](Material(figure, frame, loaded, simulated, case, scenes, kept)), outputs)
