"""`explain`: any result walked back to its runs, settings, inputs and code."""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hsipipe.errors import UserError
from hsipipe.provenance.numbers import (
    DIGITS,
    PUBLISHED,
    Number,
    choose,
    disagreements,
    equal,
    number_of,
    read_table,
)
from hsipipe.provenance.tree import Node
from hsipipe.provenance.walk import Walk
from hsipipe.report.scores import mean_scores, read_scores

TABLE_SUFFIXES = (".csv", ".md", ".html", ".tex")
SHOWN_UNITS = 8


@dataclass(frozen=True)
class Explanation:
    """A result explained.

    Attributes:
        tree: the result, and what it was made from.
        problems: what on the way is not as it was recorded, a line each.
        since: how code and libraries of now differ from those that made it, a line each.
    """

    tree: Node
    problems: list[str]
    since: list[str]


def explain(
    result: str | Path, *, variant: str | None = None, metric: str | None = None, case: str | None = None
) -> Explanation:
    """Walk a result back to where it came from, comparing each file on the way with its record.

    Args:
        result: a table (csv, md, html, tex) or TABLE:VARIANT:METRIC, scores.csv of a paper or of a run, a run's folder
            or its run.json, a figure, model.pt, case.h5, or a scene.
        variant: row of a number of a table or of scores.
        metric: its column, as the CSV or the heading names it; may be left out where there is one.
        case: where the table has several.

    Raises:
        UserError: no such result, no such number in it, or a file that has no record.
    """
    path, variant, metric = _parse(str(result), variant, metric)
    if variant is None and (metric is not None or case is not None):
        raise UserError("a number needs its row", file=path, remedy="give --variant NAME --metric NAME")
    if path.is_dir():
        path = path / "run.json"
        if not path.exists():
            raise UserError("is no folder of a run", file=path.parent, remedy="give a file of the results")
    root, name = find_root(path)
    walk = Walk(root)
    step = walk.steps.making(name)
    if not path.exists() and step is None:
        near = difflib.get_close_matches(path.name, _names_in(path.parent), n=1, cutoff=0.5)
        remedy = f"did you mean {path.with_name(near[0])}?" if near else "give a file of the results"
        raise UserError("does not exist", file=path, remedy=remedy)
    is_table = path.parent.name == "tables" and path.suffix in TABLE_SUFFIXES and not path.stem.endswith("_cost")
    if variant is not None:
        if not is_table and path.name != "scores.csv":
            raise UserError("has no numbers to choose from", file=path, remedy="give a table or a scores.csv")
        tree = _number(walk, name, variant, metric, case, is_table=is_table)
    elif step is None:
        raise UserError(
            "has no record of how it was made",
            file=path,
            remedy="remove it and run its paper again, which keeps one",
        )
    else:
        tree = walk.file(name)
        if is_table:
            scores = path.parent.parent / "scores.csv"
            lines = disagreements(path.with_suffix(".csv"), scores, root, _task(walk, name))
            walk.problems += [f"{name}: {line}" for line in lines]
            tree.facts = {"numbers": "; ".join(lines) or "all are what the scores of the runs give", **tree.facts}
    tree.children += walk.now.environments()
    return Explanation(tree, walk.problems, walk.now.lines())


def _parse(result: str, variant: str | None, metric: str | None) -> tuple[Path, str | None, str | None]:
    """A result's path, row and column; TABLE:VARIANT:METRIC where no file has that name."""
    path = Path(result).absolute()
    parts = result.split(":", 2)
    if not path.exists() and len(parts) == 3 and Path(parts[0]).exists():
        return Path(parts[0]).absolute(), variant or parts[1], metric or parts[2]
    return path, variant, metric


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def find_root(path: Path) -> tuple[Path, str]:
    """The folder that holds `results` (or `downloads`), and the path relative to it.

    Raises:
        UserError: the path lies in neither.
    """
    whole = Path(os.path.normpath(path.absolute()))
    for parent in whole.parents:
        if parent.name in ("results", "downloads"):
            return parent.parent, str(whole.relative_to(parent.parent))
    raise UserError("lies in no folder `results`", file=path, remedy="give a file below results/")


def _task(walk: Walk, table: str) -> str | None:
    """The task of a table, from the record of the step that wrote it."""
    step = walk.steps.making(table)
    return None if step is None else str(step.params["table"]["task"])


def _number(walk: Walk, name: str, variant: str, metric: str | None, case: str | None, *, is_table: bool) -> Node:
    """The tree of a number of a table, or of the mean of scores."""
    if is_table:
        scores = str(Path(name).parent.parent / "scores.csv")
        table = str(Path(name).with_suffix(".csv"))
        row, metric = choose(read_table(walk.root / table), walk.root / table, variant, metric, case)
        if metric.startswith(PUBLISHED):
            return _published(walk, table, variant, metric, float(row[metric]))
        frame = read_scores(walk.root / scores)
        number = number_of(row, frame, walk.root, _task(walk, table))
        shown = [walk.file(table, deep=False), walk.file(scores, deep=False)]
    else:
        frame = read_scores(walk.root / name)
        row, metric = choose(mean_scores(frame).assign(kind=""), walk.root / name, variant, metric, case)
        number = number_of(row, frame, walk.root, str(row["task"]))
        shown = [walk.file(name, deep=False)] if Path(name).parent.name != f"seed{number.runs[0].seed}" else []
    printed = _with_spread(number.mean, number.sd)
    node = Node(f"{metric} of {variant} on {number.case}: {printed} {number.unit}".rstrip())
    again = _with_spread(number.recomputed_mean, number.recomputed_sd)
    of = f"the mean of {len(number.runs)} runs" if len(number.runs) > 1 else "one run"
    node.facts["printed in"] = name
    node.facts["recomputed"] = f"{again}, from {of}: " + ("agrees" if number.agrees else "DOES NOT AGREE")
    if not number.agrees:
        walk.problems.append(f"{name}: {metric} of {variant}: {printed} is printed, the runs give {again}")
    node.children = [_run(walk, number, index) for index in range(len(number.runs))] + shown
    return node


def _published(walk: Walk, table: str, variant: str, metric: str, value: float) -> Node:
    step = walk.steps.making(table)
    source = ((step.params["table"].get("published") or {}) if step else {}).get("source", "source not recorded")
    facts = {"published": source, "of": "the paper's config; no run of ours made it"}
    return Node(f"{metric} of {variant}: {value:{DIGITS}}", "", facts, [walk.file(table, deep=False)])


def _run(walk: Walk, number: Number, index: int) -> Node:
    """One run of a number: its value, and the files that it came from."""
    run = number.runs[index]
    node = Node(f"seed {run.seed}: {run.value:{DIGITS}} {number.unit}".rstrip())
    if not run.units:  # a cost
        node.children.append(walk.file(f"{run.folder}/run.json"))
        return node
    shown = ", ".join(f"{item} {value:{DIGITS}}" for _, item, value in run.units[:SHOWN_UNITS])
    more = f", ... {len(run.units)} in all" if len(run.units) > SHOWN_UNITS else ""
    node.facts["units"] = f"{shown}{more}"
    own = f"{run.folder}/scores.csv"
    if (walk.root / own).exists():
        value = _own_value(read_scores(walk.root / own), number.metric)
        if not equal(value, run.value):
            node.facts["in the run's own scores"] = value
            walk.problems.append(
                f"{own}: {number.metric} is {value:{DIGITS}}, the joined scores have {run.value:{DIGITS}}"
            )
    children = [own, f"{run.folder}/run.json"]
    node.children += [walk.file(path) for path in children if walk.steps.making(path) or (walk.root / path).exists()]
    return node


def _own_value(frame: pd.DataFrame, metric: str) -> float:
    values: Any = frame[frame.metric == metric].value
    return float(values.mean(skipna=False)) if len(values) else math.nan


def _with_spread(mean: float, sd: float | None) -> str:
    return f"{mean:{DIGITS}}" + ("" if sd is None else f" ± {sd:{DIGITS}}")
