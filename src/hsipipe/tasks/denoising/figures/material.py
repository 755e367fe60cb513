"""What a figure is drawn from: scores, records, and the cubes of the unit that pictures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hsipipe.hdf5 import open_checked
from hsipipe.report.scores import mean_of, mean_scores
from hsipipe.report.style import KIND_COLOURS
from hsipipe.tasks.denoising.case import PREDICTION_FORMAT, CaseFile, Truth

CONTROLS = ("noisy", "constant")


@dataclass(frozen=True)
class ShownUnit:
    """The test unit that pictures show: its name, its truth, its noisy cube (bands, rows, cols)."""

    name: str
    truth: Truth
    noisy: np.ndarray


@dataclass(frozen=True)
class Material:
    """All that a figure can be drawn from.

    Attributes: figure (a `FigureSettings` as a dictionary), case and scenes (paths), case_settings (those that `draw`
    reads), scores (tidy, of this case), kept (variant -> prediction kept for pictures), records (variant -> run.json).
    """

    figure: dict[str, Any]
    case: str | Path
    scenes: Sequence[str | Path]
    case_settings: Mapping[str, Any]
    scores: pd.DataFrame
    kept: dict[str, str]
    records: dict[str, dict[str, Any]]

    @property
    def heading(self) -> str:
        """The figure's title; it says when the scene is simulated."""
        title = str(self.figure["title"] or self.figure["case"])
        with CaseFile(self.case, self.scenes) as opened:
            return f"{title} (simulated)" if opened.simulated else title

    def kind(self, variant: str) -> str:
        """The kind of a variant's method; `control` for the trivial ones."""
        record = self.records[variant]
        return "control" if record["method"] in CONTROLS else str(record["kind"])

    def colour(self, variant: str) -> str:
        """The colour of a variant's kind."""
        return KIND_COLOURS[self.kind(variant)]

    def means(self) -> dict[str, pd.Series]:
        """Variant -> mean, spread and number of its scores in the figure's metric, for those that have one."""
        means = mean_scores(self.scores)
        rows = {
            variant: mean_of(means, "denoising", self.figure["case"], variant, self.figure["metric"])
            for variant in self.records
        }
        return {variant: row for variant, row in rows.items() if row is not None}

    def predictions(self) -> dict[str, np.ndarray]:
        """Variant -> its prediction (bands, rows, cols) of the shown unit."""
        found = {}
        for variant, path in self.kept.items():
            with open_checked(path, PREDICTION_FORMAT, "run the method again") as file:
                found[variant] = file["prediction"][()]
        return found

    def shown(self) -> ShownUnit:
        """The unit that the predictions are of."""
        with open_checked(next(iter(self.kept.values())), PREDICTION_FORMAT, "run the method again") as file:
            name = str(file.attrs["unit"])
        with CaseFile(self.case, self.scenes) as opened:
            return ShownUnit(name, opened.truth(name), opened.noisy(name))
