"""What figures of scores are drawn from, whatever the task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from hsipipe.report.scores import mean_of, mean_scores, read_scores
from hsipipe.report.style import KIND_COLOURS


@dataclass(frozen=True)
class Results:
    """The scores and records of the runs that a figure shows; a task adds what its pictures need.

    Attributes: figure (a `FigureSettings` as a dictionary), scores (tidy, of the figure's case), records (variant ->
    run.json), simulated (whether the case's scenes are). A task names itself, and its trivial methods (`controls`).
    """

    task: ClassVar[str]
    controls: ClassVar[tuple[str, ...]] = ()

    figure: dict[str, Any]
    scores: pd.DataFrame
    records: dict[str, dict[str, Any]]
    simulated: bool

    @property
    def heading(self) -> str:
        """The figure's title; it says when the scene is simulated."""
        title = str(self.figure["title"] or self.figure["case"])
        return f"{title} (simulated)" if self.simulated else title

    def kind(self, variant: str) -> str:
        """The kind of a variant's method; `control` for the trivial ones."""
        record = self.records[variant]
        return "control" if record["method"] in self.controls else str(record["kind"])

    def colour(self, variant: str) -> str:
        """The colour of a variant's kind."""
        return KIND_COLOURS[self.kind(variant)]

    def means(self) -> dict[str, pd.Series]:
        """Variant -> mean, spread and number of its scores in the figure's metric, for those that have one."""
        means = mean_scores(self.scores)
        rows = {
            variant: mean_of(means, self.task, self.figure["case"], variant, self.figure["metric"])
            for variant in self.records
        }
        return {variant: row for variant, row in rows.items() if row is not None}


def read_results(
    task: str, figure: Mapping[str, Any], scores: str | Path, records: Mapping[str, str | Path]
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """The tidy scores of a figure's case, and its runs' records by variant."""
    loaded = {name: json.loads(Path(path).read_text(encoding="utf-8")) for name, path in records.items()}
    frame = read_scores(scores)
    return frame[(frame.task == task) & (frame.case == figure["case"])], loaded
