"""`score`: compare predictions with truths, one row per unit and metric, nothing averaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hsipipe.metrics.denoising import score_band, score_cube
from hsipipe.progress import progress
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.denoising.shown import shown_band, shown_unit
from hsipipe.tasks.predictions import open_predictions
from hsipipe.tidy import Score


def score(
    case: str | Path,
    scenes: Sequence[str | Path],
    prediction: str | Path,
    *,
    case_settings: dict[str, Any] | None = None,
) -> list[Score]:
    """Score every test unit; invalid pixels, and bands that a unit has no measurement of, do not count.

    Args:
        case, scenes: the case file and its scenes.
        prediction: the predictions of all its test units.
        case_settings: `figure_unit` and `figure_band`: the unit that pictures show is scored in this band by itself
            too, so that the metrics of one band have one row. Without it no band is.

    Raises:
        UserError: the shown unit has no such band.
    """
    scores = []
    with CaseFile(case, scenes) as opened, open_predictions(prediction) as predictions:
        names = predictions.names
        shown = None if case_settings is None else shown_unit(names, case_settings["figure_unit"])
        for name in progress(names, "scoring"):
            truth = opened.truth(name)
            cube = predictions.read(name)
            good = truth.good
            measured = score_cube(
                truth.cube[good], cube[good], valid=truth.valid, low=truth.low[good], high=truth.high[good]
            )
            if case_settings is not None and name == shown:
                band = shown_band(truth, case_settings["figure_band"])
                measured += score_band(truth.cube[band], cube[band], valid=truth.valid)
            scores += [Score(opened.units[name].scene, name, metric, value, unit) for metric, value, unit in measured]
    return scores
