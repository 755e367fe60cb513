"""`draw`: denoising's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hsipipe.report.figures.against import draw_parameters, draw_time
from hsipipe.report.figures.bars import draw_bars
from hsipipe.report.figures.results import read_results
from hsipipe.report.style import save_figure
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.denoising.figures.material import Material
from hsipipe.tasks.denoising.figures.pictures import draw_band, draw_visual
from hsipipe.tasks.denoising.figures.spectra import draw_spectra
from hsipipe.tasks.denoising.settings import FIGURES

KINDS: dict[str, Callable[[Material], Any]] = dict(
    zip(FIGURES, (draw_bars, draw_visual, draw_spectra, draw_time, draw_band, draw_parameters), strict=True)
)


def draw(
    figure: dict[str, Any],
    *,
    case: str | Path,
    scenes: Sequence[str | Path],
    case_settings: Mapping[str, Any],
    scores: str | Path,
    kept: dict[str, str],
    records: dict[str, str],
    outputs: Sequence[str | Path],
) -> None:
    """Draw one figure to files.

    Args:
        figure: a `FigureSettings` as a dictionary; `kind` is one of `KINDS`.
        case, scenes: the case file and its scenes.
        case_settings: the case's `figure_band`.
        scores: tidy scores of the paper.
        kept: variant -> the prediction kept for pictures.
        records: variant -> run.json.
        outputs: PNG and SVG paths.

    Raises:
        UserError: the figure cannot be drawn of these variants, or the case has no such band.
    """
    frame, loaded = read_results("denoising", figure, scores, records)
    with CaseFile(case, scenes) as opened:
        simulated = opened.simulated
    material = Material(figure, frame, loaded, simulated, case, scenes, case_settings, kept)
    save_figure(KINDS[figure["kind"]](material), outputs)
