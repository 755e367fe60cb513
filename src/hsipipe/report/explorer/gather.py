"""A paper's data for the explorer: scores and costs of each run, its items, its pictures, where it comes from."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hsipipe import __version__
from hsipipe.files import write_text
from hsipipe.methods import find_method
from hsipipe.metrics.registry import METRICS
from hsipipe.report.costs import COSTS
from hsipipe.report.explorer.views import Budget, View, encode
from hsipipe.report.scores import mean_of, mean_scores, read_scores
from hsipipe.report.tables import make_table, mean_costs
from hsipipe.tasks import load_task

FORMAT = "hsipipe-explorer-1"
PICTURE_BYTES = 9_000_000  # of all pictures of a paper
MOST_ITEMS = 24  # of a run whose scores are listed one by one
SHOWN_COSTS = (
    "seconds_per_item",
    "seconds_to_train",
    "peak_memory_mb",
    "peak_gpu_memory_mb",
    "training_mb",
    "parameters",
    "trainable_parameters",
)


def gather(
    paper: Mapping[str, Any],
    cases: Sequence[Mapping[str, Any]],
    tables: Mapping[str, dict[str, Any]],
    *,
    scores: str | Path,
    records: Sequence[str | Path],
    kept: Sequence[str | Path],
    claims: str | Path | None,
    output: str | Path,
) -> None:
    """Write what the explorer shows of a paper.

    Args:
        paper: name, title, citation, size.
        cases: each with task, case, note, simulated, scenes (names), and variants (name -> method) in
            the order of the config.
        tables: name -> what `make_table` takes.
        scores: tidy scores of the paper.
        records: run.json of every run; their folders tell task, case, variant and seed.
        kept: kept.h5 of the runs that pictures show, one a variant and case.
        claims: the judged claims; None if the paper has none.
        output: JSON.
    """
    frame = read_scores(scores)
    means = mean_scores(frame)
    loaded = {_run_of(path): json.loads(Path(path).read_text(encoding="utf-8")) for path in records}
    shown = {_run_of(path)[:3]: str(path) for path in kept}
    budget = Budget(PICTURE_BYTES, len(kept) + 2 * len(cases))  # with the truth and the input of each case
    made = []
    for case in cases:
        task, name = case["task"], case["case"]
        own = frame[(frame.task == task) & (frame.case == name)]
        own_records = [path for path in records if _run_of(path)[:2] == (task, name)]
        costs = mean_costs(own_records) if own_records else {}
        made.append(
            {
                "task": task,
                "case": name,
                "note": case["note"],
                "simulated": case["simulated"],
                "scenes": case["scenes"],
                "metrics": list(dict.fromkeys(own.metric)),
                "rows": [
                    _row(task, name, variant, method, own, means, costs, loaded)
                    for variant, method in case["variants"].items()
                ],
                "views": [encode(view, budget) for view in _views(case, shown)],
            }
        )
    used = dict.fromkeys(metric for case in made for metric in case["metrics"])
    data = {
        "format": FORMAT,
        "code_version": __version__,
        "paper": dict(paper),
        "metrics": {name: _metric(name) for name in used},
        "costs": {name: {"heading": COSTS[name].heading, "decimals": COSTS[name].decimals} for name in SHOWN_COSTS},
        "cases": made,
        "tables": [_table(frame, name, table, records) for name, table in tables.items()],
        "claims": [] if claims is None else pd.read_csv(claims, keep_default_na=False).to_dict("records"),
    }
    write_text(output, json.dumps(_plain(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")


def _run_of(path: str | Path) -> tuple[str, str, str, int]:
    """Task, case, variant and seed of a file in a run's folder."""
    task, case, variant, seed = Path(path).parts[-5:-1]
    return task, case, variant, int(seed.removeprefix("seed"))


def _views(case: Mapping[str, Any], shown: Mapping[tuple[str, str, str], str]) -> list[View]:
    task, name = case["task"], case["case"]
    kept = {variant: shown[task, name, variant] for variant in case["variants"] if (task, name, variant) in shown}
    if not kept:
        return []
    paths = [f"results/scenes/{scene}.h5" for scene in case["scenes"]]
    views: list[View] = load_task(task, "explore")(f"results/{task}/{name}/case.h5", paths, kept)
    return views


def _table(frame: pd.DataFrame, name: str, table: dict[str, Any], records: Sequence[str | Path]) -> dict[str, Any]:
    """A table of the paper, with the published numbers beside ours."""
    shown = {(table["task"], case, variant) for case in table["cases"] for variant in table["rows"]}
    made = make_table(frame, table, [path for path in records if _run_of(path)[:3] in shown])
    return {"name": name, "title": made.title, "headings": made.headings, "lines": made.lines, "notes": made.notes}


def _metric(name: str) -> dict[str, Any]:
    metric = METRICS[name]
    better = {True: "higher", False: "lower", None: None}[metric.higher_is_better]
    return {"label": metric.label, "unit": metric.unit, "better": better, "decimals": metric.decimals}


def _row(
    task: str,
    case: str,
    variant: str,
    method_name: str,
    frame: pd.DataFrame,
    means: pd.DataFrame,
    costs: Mapping[tuple[str, str], Mapping[str, float | None]],
    records: Mapping[tuple[str, str, str, int], Mapping[str, Any]],
) -> dict[str, Any]:
    """What is known of a variant on a case."""
    method = find_method(task, method_name)
    own = frame[frame.variant == variant]
    scores = {}
    for metric in dict.fromkeys(own.metric):
        row = mean_of(means, task, case, variant, metric)
        if row is not None:
            scores[metric] = [row["mean"], row["sd"], int(row["seeds"]), int(row["units"]), row["spread"]]
    spent = costs.get((case, variant), {})
    runs = {run[3]: record for run, record in sorted(records.items()) if run[:3] == (task, case, variant)}
    first = next(iter(runs), None)
    controls = importlib.import_module(f"hsipipe.tasks.{task}.figures.material").Material.controls
    return {
        "variant": variant,
        "method": method.name,
        "kind": "control" if method.name in controls else method.kind,
        "title": method.title,
        "citation": method.citation,
        "deviations": list(method.deviations),
        "scores": scores,
        "costs": {name: spent.get(name) for name in SHOWN_COSTS},
        "seeds": {
            seed: {metric: values.mean(skipna=False) for metric, values in rows.groupby("metric", sort=False).value}
            for seed, rows in own.groupby("seed")
        },
        "items": _items(own[own.seed == first]) if first is not None else [],
        "run": None if first is None else _provenance(f"results/{task}/{case}/{variant}/seed{first}", runs[first]),
    }


def _items(frame: pd.DataFrame) -> list[list[Any]]:
    """[item, {metric: value}] of a run; of many items the worst, the best and some between, by the first metric."""
    table = frame.pivot_table(index="item", columns="metric", values="value", sort=False)
    if len(table) > MOST_ITEMS:
        ranked = table.sort_values(table.columns[0], kind="stable").index
        places = [round(place * (len(ranked) - 1) / (MOST_ITEMS - 1)) for place in range(MOST_ITEMS)]
        table = table.loc[ranked[places]]
    return [[item, dict(row.dropna())] for item, row in table.iterrows()]


def _provenance(folder: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Where a run's numbers come from."""
    keys = ("seed", "settings", "device", "device_note", "units", "environment", "found", "started_from")
    return {"folder": folder, **{key: record[key] for key in keys if record.get(key) not in (None, {})}}


def _plain(value: Any) -> Any:
    """Strict JSON: numbers of NumPy as Python's, those that are not finite as null, floats in seven digits."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
