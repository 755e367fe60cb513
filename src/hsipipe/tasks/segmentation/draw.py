"""`draw`: segmentation's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hsipipe.report.figures.against import draw_parameters, draw_time
from hsipipe.report.figures.bars import draw_bars
from hsipipe.report.figures.results import read_results
from hsipipe.report.style import save_figure
from hsipipe.tasks.segmentation.case import CaseFile
from hsipipe.tasks.segmentation.figures.classes import draw_classification_maps, draw_confusion
from hsipipe.tasks.segmentation.figures.clusters import draw_cluster_maps, draw_cluster_spectra
from hsipipe.tasks.segmentation.figures.latents import draw_latent_scatter, draw_latents
from hsipipe.tasks.segmentation.figures.loss_curves import draw_loss_curves
from hsipipe.tasks.segmentation.figures.material import Material
from hsipipe.tasks.segmentation.figures.reconstructions import draw_slices, draw_spectra
from hsipipe.tasks.segmentation.settings import FIGURES

KINDS: dict[str, Callable[[Material], Any]] = dict(
    zip(
        FIGURES,
        (
            draw_bars,
            draw_time,
            draw_parameters,
            draw_loss_curves,
            draw_slices,
            draw_spectra,
            draw_latents,
            draw_latent_scatter,
            draw_cluster_maps,
            draw_cluster_spectra,
            draw_classification_maps,
            draw_confusion,
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
        UserError: the figure cannot be drawn of these variants, or not of the shown unit.
    """
    frame, loaded = read_results("segmentation", figure, scores, records)
    with CaseFile(case, scenes) as opened:
        simulated = opened.simulated
    save_figure(KINDS[figure["kind"]](Material(figure, frame, loaded, simulated, case, scenes, kept)), outputs)
