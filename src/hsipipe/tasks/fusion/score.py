"""`score`: compare predictions with truths, one row per item and metric, nothing averaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hsipipe.metrics.fusion import score_fusion
from hsipipe.metrics.spectramorph import score_as_published
from hsipipe.progress import progress
from hsipipe.scores import Score
from hsipipe.tasks.fusion.case import CaseFile
from hsipipe.tasks.predictions import open_predictions


def score(
    case: str | Path,
    scenes: Sequence[str | Path],
    prediction: str | Path,
    *,
    case_settings: dict[str, Any],
) -> list[Score]:
    """Score every item; invalid pixels, and bands that a unit has no measurement of, do not count.

    Args:
        case, scenes: the case file and its scenes.
        prediction: the predictions of all its items.
        case_settings: `border`, which the inner scores leave out, and `peer`: the paper's own definitions besides.
    """
    scores = []
    truths: dict[str, Any] = {}
    with CaseFile(case, scenes) as opened, open_predictions(prediction) as predictions:
        for name in progress(predictions.names, "scoring"):
            unit = opened.unit(name)
            if unit.name not in truths:
                truths = {unit.name: opened.truth(name)}  # of one unit at a time: its items follow one another
            truth = truths[unit.name]
            expected, cube = truth.cube[truth.good], predictions.read(name)[truth.good]
            measured = score_fusion(
                expected, cube, ratio=opened.ratio, border=case_settings["border"], valid=truth.valid
            )
            if case_settings["peer"]:
                measured += score_as_published(expected, cube, ratio=opened.ratio)
            scores += [Score(unit.scene, name, metric, value, metric_unit) for metric, value, metric_unit in measured]
    return scores
