"""`draw`: representation's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hsipipe.report.figures.against import draw_time
from hsipipe.report.figures.bars import draw_bars
from hsipipe.report.figures.results import read_results
from hsipipe.report.style import save_figure
from hsipipe.tasks.representation.case import CaseFile
from hsipipe.tasks.representation.figures.course import draw_course
from hsipipe.tasks.representation.figures.curves import draw_fractions, draw_sweep
from hsipipe.tasks.representation.figures.embedding_map import draw_embedding_map
from hsipipe.tasks.representation.figures.material import Material
from hsipipe.tasks.representation.figures.spectra import draw_importance, draw_signatures
from hsipipe.tasks.representation.settings import FIGURES

KINDS: dict[str, Callable[[Material], Any]] = dict(
    zip(
        FIGURES,
        (
            draw_bars,
            draw_time,
            draw_embedding_map,
            draw_importance,
            draw_signatures,
            draw_sweep,
            draw_course,
            draw_fractions,
        ),
        strict=True,
    )
)


def draw(
    figure: dict[str, Any],
    *,
    case: str | Path,
    scenes: Sequence[str | Path],  # noqa: ARG001 -- the case file holds the images
    case_settings: Mapping[str, Any],
    scores: str | Path,
    kept: dict[str, str],
    records: dict[str, str],
    outputs: Sequence[str | Path],
) -> None:
    """Draw one figure to files.

    Args:
        figure: a `FigureSettings` as a dictionary; `kind` is one of `KINDS`.
        case: the case file.
        case_settings: `windows_nm`, which some figures mark.
        scores: tidy scores of the paper.
        kept: variant -> its embeddings.
        records: variant -> run.json.
        outputs: PNG and SVG paths.

    Raises:
        UserError: the figure cannot be drawn of these variants.
    """
    frame, loaded = read_results("representation", figure, scores, records)
    with CaseFile(case) as opened:
        simulated = opened.simulated
    windows = [(float(low), float(high)) for low, high in case_settings["windows_nm"]]
    save_figure(KINDS[figure["kind"]](Material(figure, frame, loaded, simulated, case, kept, windows)), outputs)
