"""`score`: compare predictions with truths, one row per unit and metric, nothing averaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.degrade.normalise import normalise
from hsipipe.metrics.denoising import score_band, score_cube
from hsipipe.progress import progress
from hsipipe.scenes.scaled import scale_item
from hsipipe.scenes.scene import Item
from hsipipe.scores import Score
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.denoising.shown import shown_band, shown_unit
from hsipipe.tasks.predictions import open_predictions


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


def score_items(truth: Item, prediction: Item) -> list[tuple[str, float, str]]:
    """All scores of an image against its truth, each band scaled to [0, 1] by the truth's range.

    Args:
        truth, prediction: of the same size and units; pixels that the truth has no measurement of do not count.

    Returns:
        As `score_cube` does.
    """
    scaled = scale_item(truth)
    cube = normalise(prediction.cube[truth.good_bands].astype(np.float32), scaled.low, scaled.high)
    return score_cube(scaled.cube, cube, valid=truth.valid, low=scaled.low, high=scaled.high)
