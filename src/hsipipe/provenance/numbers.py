"""The numbers of a table, computed anew from scores and run records, and compared with what the table prints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hsipipe.errors import UserError, unknown
from hsipipe.metrics.registry import METRICS
from hsipipe.provenance.places import run_folder
from hsipipe.report.costs import COSTS
from hsipipe.report.scores import RUN, mean_of, mean_scores, read_scores

PUBLISHED = "published: "
DIGITS = ".6g"  # of the numbers in a table's CSV


@dataclass(frozen=True)
class RunValue:
    """What one run adds to a number: the mean over its units, which are listed as (scene, item, value)."""

    task: str
    case: str
    variant: str
    seed: int
    value: float
    units: tuple[tuple[str, str, float], ...] = ()

    @property
    def folder(self) -> str:
        """The run's folder."""
        return str(run_folder(self.task, self.case, self.variant, self.seed))


@dataclass(frozen=True)
class Number:
    """A number of a table: as printed there (`mean`, `sd`), and computed anew from the values of its runs."""

    variant: str
    case: str
    metric: str
    mean: float
    sd: float | None
    runs: tuple[RunValue, ...]
    recomputed_mean: float
    recomputed_sd: float | None
    unit: str = ""
    published: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether the table prints what the runs give, to the digits that it has."""
        return equal(self.mean, self.recomputed_mean) and equal(self.sd, self.recomputed_sd)


def equal(printed: float | None, computed: float | None) -> bool:
    """Whether a number of a table's CSV is what was computed, to the digits that are printed."""
    return _digits(printed) == _digits(computed)


def _digits(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else format(value, DIGITS)


def read_table(path: Path) -> pd.DataFrame:
    """A table's CSV.

    Raises:
        UserError: there is none, or it is none.
    """
    try:
        frame = pd.read_csv(path, dtype={"variant": str, "case": str, "metric": str})
    except FileNotFoundError as error:
        raise UserError("does not exist", file=path, remedy="run the paper first") from error
    except ValueError as error:
        raise UserError("is not a table of this program", file=path, found=str(error)) from error
    for column in ("variant", "kind"):
        if column not in frame:
            raise UserError("is not a table of this program", file=path, found=f"no column {column!r}")
    return frame.reindex(columns=[*frame.columns, *({"case", "metric", "mean", "sd"} - {*frame.columns})])


def choose(
    frame: pd.DataFrame, path: Path, variant: str, metric: str | None, case: str | None
) -> tuple[pd.Series, str]:
    """The row of a table that holds a number, and the name of its metric.

    Args:
        metric: by the name that the CSV has, by the heading that the table prints, or by the heading of a published
            column; None where the row has only one.

    Raises:
        UserError: no such row or column, or several to choose from.
    """
    rows = frame[frame.variant == variant]
    if rows.empty:
        raise unknown("variant", variant, frame.variant.unique(), file=path)
    published = [name for name in map(str, frame) if name.startswith(PUBLISHED) and not pd.isna(rows[name].iloc[0])]
    metrics = [str(name) for name in rows.metric.dropna().unique()]
    name = _metric_named(metric, metrics, published, f"{path}: {variant}")
    if name in published:
        return rows.iloc[0], name
    rows = rows[rows.metric == name]
    cases = list(rows.case)
    if case is None and len(cases) > 1:
        remedy = f"choose by --case: {', '.join(cases)}"
        raise UserError(f"{variant} has {name} on {len(cases)} cases", file=path, remedy=remedy)
    if case is not None and case not in cases:
        raise unknown("case", case, cases, file=path)
    return (rows if case is None else rows[rows.case == case]).iloc[0], name


def _metric_named(given: str | None, metrics: Sequence[str], published: Sequence[str], where: str) -> str:
    """The name of a metric of a row."""
    if given is None:
        if len(metrics) == 1:
            return metrics[0]
        raise UserError("has several numbers", file=where, remedy=f"choose by --metric: {', '.join(metrics)}")
    if given in metrics or given in published:
        return given
    headings = {_bare(METRICS[name].heading): name for name in metrics if name in METRICS}
    headings |= {_bare(COSTS[name].heading): name for name in metrics if name in COSTS}
    headings |= {_bare(name.removeprefix(PUBLISHED)): name for name in published}
    if _bare(given) in headings:
        return headings[_bare(given)]
    raise unknown("metric", given, [*metrics, *published], file=where)


def _bare(heading: str) -> str:
    """A heading without arrow, unit and capitals."""
    return heading.rstrip(" ↑↓").partition(" [")[0].strip().lower()


def score_number(row: pd.Series, frame: pd.DataFrame, task: str) -> Number:
    """A score of a table with the runs behind it. `row`: of the table; `frame`: what `read_scores` gives."""
    chosen = frame[(frame.task == task) & (frame.case == row.case) & (frame.variant == row.variant)]
    chosen = chosen[chosen.metric == row.metric]
    means = mean_of(mean_scores(chosen), task, row.case, row.variant, row.metric)
    runs = []
    for names, units in chosen.groupby(RUN, sort=False):
        listed = tuple(zip(units.scene, units.item, units.value.astype(float), strict=True))
        seed, mean = int(names[-1]), float(units.value.mean(skipna=False))
        runs.append(RunValue(task, str(row.case), str(row.variant), seed, mean, listed))
    return Number(
        variant=row.variant,
        case=row.case,
        metric=row.metric,
        mean=float(row["mean"]),
        sd=_optional(row.get("sd")),
        runs=tuple(runs),
        recomputed_mean=math.nan if means is None else float(means["mean"]),
        recomputed_sd=None if means is None else _optional(means["sd"]),
        unit="" if chosen.empty else str(chosen.unit.iloc[0]),
    )


def cost_number(row: pd.Series, root: Path, task: str, seeds: Iterable[int]) -> Number:
    """A cost of a table with the records of the runs behind it."""
    runs = []
    for seed in seeds:
        run = RunValue(task, str(row.case), str(row.variant), seed, math.nan)
        path = root / run.folder / "run.json"
        value = COSTS[row.metric].of(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
        if value is not None:
            runs.append(RunValue(task, run.case, run.variant, seed, value))
    mean = float(pd.Series([run.value for run in runs], dtype=float).mean())
    return Number(row.variant, row.case, row.metric, float(row["mean"]), None, tuple(runs), mean, None)


def _optional(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def disagreements(table: Path, scores: Path, root: Path, task: str | None) -> list[str]:
    """The numbers of a table that its scores and run records do not give, each in one line."""
    frame, found = read_scores(scores), []
    table_frame = read_table(table)
    for _, row in table_frame[table_frame.metric.notna()].iterrows():
        number = number_of(row, frame, root, task)
        if not number.agrees:
            gives = f"{_digits(number.recomputed_mean)} ± {_digits(number.recomputed_sd) or '–'}"
            prints = f"{_digits(number.mean)} ± {_digits(number.sd) or '–'}"
            found.append(
                f"{row.metric} of {row.variant} on {row.case}: the table prints {prints}, its runs give {gives}"
            )
    return found


def number_of(row: pd.Series, frame: pd.DataFrame, root: Path, task: str | None) -> Number:
    """The number in a row of a table. `frame`: what `read_scores` gives; `task`: None where no record tells it."""
    own = frame[(frame.case == row.case) & (frame.variant == row.variant)]
    tasks = list(own.task.unique())
    chosen = task or (tasks[0] if len(tasks) == 1 else None)
    if chosen is None:
        raise UserError(f"{row.variant} on {row.case} is of several tasks", found=", ".join(tasks) or "no scores")
    if row.metric in COSTS:
        seeds: Sequence[int] = sorted(own[own.task == chosen].seed.astype(int).unique())
        return cost_number(row, root, chosen, seeds)
    return score_number(row, frame, chosen)
