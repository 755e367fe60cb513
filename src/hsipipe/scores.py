"""Tidy scores: one row per unit and metric, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsipipe.files import write_text

COLUMNS = ("task", "case", "scene", "item", "variant", "seed", "metric", "value", "unit")


@dataclass(frozen=True)
class Score:
    """One metric of one unit."""

    scene: str
    item: str
    metric: str
    value: float
    unit: str


def write_scores(path: str | Path, scores: Iterable[Score], *, task: str, case: str, variant: str, seed: int) -> None:
    """Write the scores of a run; values with 9 significant digits, so that equal runs give equal bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for score in scores:
        writer.writerow(
            (task, case, score.scene, score.item, variant, seed, score.metric, f"{score.value:.9g}", score.unit)
        )
    write_text(path, text.getvalue())


def collect_scores(paths: Sequence[str | Path], output: str | Path) -> None:
    """Join the scores of many runs into one file, in the order given."""
    lines = [",".join(COLUMNS)]
    for path in paths:
        lines += Path(path).read_text(encoding="utf-8").splitlines()[1:]
    write_text(output, "\n".join(lines) + "\n")
