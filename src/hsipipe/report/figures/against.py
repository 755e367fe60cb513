"""Figures `time` and `parameters`: quality against what it costs, one point a variant."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.metrics.registry import METRICS
from hsipipe.report.figures.labels import label_lines, label_points
from hsipipe.report.figures.results import Results
from hsipipe.report.style import KIND_COLOURS, start_figure

UNTRAINED_SHOWN = 3


def draw_time(results: Results) -> Any:
    """Quality against seconds per unit, one point a variant."""
    metric = METRICS[results.figure["metric"]]
    figure, axis = start_figure(7.5, 4.6)
    points = [
        (max(results.records[variant]["seconds_per_item"], 1e-4), float(row["mean"]), variant)
        for variant, row in results.means().items()
        if np.isfinite(row["mean"])
    ]
    for seconds, value, variant in points:
        axis.scatter(seconds, value, s=42, color=results.colour(variant), zorder=3)
    axis.set_xscale("log")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.06 * (high - low))
    axis.set_xlim(right=4 * axis.get_xlim()[1])  # room for the names
    device = "/".join(sorted({str(record.get("device", "cpu")) for record in results.records.values()}))
    axis.set_xlabel(f"seconds per unit ({device})")
    axis.set_ylabel(metric.heading)
    axis.set_title(results.heading)
    label_points(axis, points)
    return figure


def draw_parameters(results: Results) -> Any:
    """Quality against the number of trained parameters; the best untrained methods as lines.

    An oracle is no rival and has no line.

    Raises:
        UserError: no variant of the figure is trained.
    """
    metric = METRICS[results.figure["metric"]]
    trained, untrained = [], []
    for variant, row in results.means().items():
        parameters = (results.records[variant].get("memory") or {}).get("trainable")
        if not np.isfinite(row["mean"]):
            continue
        if parameters:
            trained.append((float(parameters), float(row["mean"]), variant, float(row["sd"])))
        elif results.kind(variant) != "oracle":
            untrained.append((float(row["mean"]), variant, KIND_COLOURS[results.kind(variant)]))
    if not trained:
        raise UserError(
            "a figure of kind `parameters` shows trained variants, and none of its variants is trained",
            key="variants",
            found=", ".join(results.records),
            remedy="add a trained one, or choose another kind",
        )
    untrained.sort(reverse=bool(metric.higher_is_better))
    lines = untrained[:UNTRAINED_SHOWN]
    figure, axis = start_figure(7.5, 4.6)
    for value, _, colour in lines:
        axis.axhline(value, color=colour, linestyle="--", linewidth=1.2, zorder=2)
    for parameters, value, variant, sd in trained:
        spread = None if np.isnan(sd) else sd
        axis.errorbar(
            parameters, value, spread, fmt="o", markersize=6.5, capsize=2, color=results.colour(variant), zorder=3
        )
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    # Room for the names, at least a decade in all.
    margin = max(1.6, (10 / (high / low)) ** 0.5)
    axis.set_xlim(low / margin, 2 * high * margin)
    axis.margins(y=0.12)
    over_seeds = "" if all(np.isnan(sd) for *_, sd in trained) else ", mean ± sd over seeds"
    axis.set_xlabel("trained parameters (dashed: untrained methods)" if lines else "trained parameters")
    axis.set_ylabel(f"{metric.heading}{over_seeds}")
    axis.set_title(results.heading)
    label_lines(axis, lines)
    label_points(axis, [(parameters, value, variant) for parameters, value, variant, _ in trained])
    return figure
