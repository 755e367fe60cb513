"""Scores against how much was given: numbers of bands, shares of labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.metrics.registry import METRICS
from hsipipe.report.scores import mean_of, mean_scores
from hsipipe.report.style import start_figure
from hsipipe.tasks.representation.figures.material import Material

FRACTIONS = {"probe_1": 1, "probe_5": 5, "probe_10": 10, "probe": 100}


def draw_sweep(material: Material) -> Any:
    """The figure's metric against the number of bands, a line for each way to choose them."""
    metric = METRICS[material.figure["metric"]]
    lines: dict[str, list[tuple[int, float, float]]] = {}
    for variant, row in material.means().items():
        record = material.records[variant]
        strategy = str(record["settings"].get("bands", {}).get("strategy", "all"))
        name = f"{record['method']}: {strategy}"
        sd = float(row["sd"]) if np.isfinite(row["sd"]) else 0.0
        lines.setdefault(name, []).append((int(record["bands"]), float(row["mean"]), sd))
    # All bands belong to every line of their method: they are the end of each.
    for name in [name for name in lines if name.endswith(": all")]:
        method = name.removesuffix(": all")
        others = [other for other in lines if other.startswith(f"{method}: ") and len(lines[other]) > 1]
        for other in others:
            lines[other] += lines[name]
        if others:
            del lines[name]
    figure, axis = start_figure(7.5, 4.4)
    for name, points in sorted(lines.items()):
        bands, means, spreads = (np.array(column) for column in zip(*sorted(points), strict=True))
        axis.errorbar(bands, means, yerr=spreads, marker="o", markersize=4, capsize=2, label=name)
    axis.set_xscale("log")
    ticks = sorted({point[0] for points in lines.values() for point in points})
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("bands")
    axis.set_ylabel(metric.heading)
    axis.set_title(f"{material.heading} (± sd over seeds and folds)")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


def draw_fractions(material: Material) -> Any:
    """The probe's balanced accuracy against the share of the training labels that it is given."""
    means = mean_scores(material.scores)
    figure, axis = start_figure(7.5, 4.4)
    for variant in material.records:
        points = []
        for name, share in FRACTIONS.items():
            row = mean_of(means, material.task, material.figure["case"], variant, name)
            if row is not None:
                points.append((share, float(row["mean"]), float(row["sd"]) if np.isfinite(row["sd"]) else 0.0))
        if points:
            shares, values, spreads = (np.array(column) for column in zip(*points, strict=True))
            axis.errorbar(shares, values, yerr=spreads, marker="o", markersize=4, capsize=2, label=variant)
    axis.set_xscale("log")
    axis.set_xticks(list(FRACTIONS.values()), [f"{share} %" for share in FRACTIONS.values()])
    axis.minorticks_off()
    axis.set_xlabel("share of the training labels")
    axis.set_ylabel(METRICS["probe"].heading)
    axis.set_title(f"{material.heading} (± sd over seeds and folds)")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure
