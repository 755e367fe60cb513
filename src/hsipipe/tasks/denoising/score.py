"""`score`: compare predictions with truths, one row per unit and metric, nothing averaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hsipipe.hdf5 import open_checked, read_strings
from hsipipe.metrics.denoising import score_cube
from hsipipe.progress import progress
from hsipipe.tasks.denoising.case import PREDICTION_FORMAT, CaseFile
from hsipipe.tidy import Score


def score(case: str | Path, scenes: Sequence[str | Path], prediction: str | Path) -> list[Score]:
    """Score every test unit; invalid pixels, and bands that a unit has no measurement of, do not count."""
    scores = []
    with CaseFile(case, scenes) as opened, open_checked(prediction, PREDICTION_FORMAT, "run the method again") as file:
        rows, cols = file["rows"][()], file["cols"][()]
        for index, name in enumerate(progress(read_strings(file, "item"), "scoring")):
            truth = opened.truth(name)
            cube = file["prediction"][index, :, : rows[index], : cols[index]]
            good = truth.good
            measured = score_cube(
                truth.cube[good], cube[good], valid=truth.valid, low=truth.low[good], high=truth.high[good]
            )
            scores += [Score(opened.units[name].scene, name, metric, value, unit) for metric, value, unit in measured]
    return scores
