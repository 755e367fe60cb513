"""Figure `bars`: the mean score of each variant."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.metrics.registry import METRICS
from hsipipe.report.figures.results import Results
from hsipipe.report.style import KIND_COLOURS, start_figure


def draw_bars(results: Results) -> Any:
    """Mean score of each variant, with the spread over test units."""
    metric = METRICS[results.figure["metric"]]
    rows = [
        (variant, row["mean"], row["spread"] if row["units"] > 1 else 0.0, row["units"])
        for variant, row in results.means().items()
    ]
    rows.sort(key=lambda row: row[1], reverse=not metric.higher_is_better)
    figure, axis = start_figure(7.5, 0.32 * len(rows) + 1.3)
    places = np.arange(len(rows))
    axis.barh(
        places,
        [row[1] for row in rows],
        xerr=[row[2] for row in rows],
        color=[results.colour(row[0]) for row in rows],
        error_kw={"ecolor": "#1b2430", "elinewidth": 1, "capsize": 2},
        height=0.72,
    )
    limit = max(row[1] + row[2] for row in rows)
    for place, bar in zip(places, rows, strict=True):
        axis.text(bar[1] + bar[2] + 0.01 * limit, place, f"{bar[1]:{metric.format}}", va="center", fontsize=8)
    axis.set_yticks(places, [row[0] for row in rows])
    axis.set_xlim(right=1.1 * limit)
    axis.grid(axis="y", visible=False)
    units = int(max(row[3] for row in rows))
    spread = f"; bar ends ± sd over {units} test units" if units > 1 else "; one test unit"
    axis.set_xlabel(f"{metric.heading}{spread}")
    axis.set_title(results.heading)
    used = {results.kind(variant) for variant in results.records}
    from matplotlib.patches import Patch

    # Beside the axis: within, it would hide the value of a bar.
    figure.legend(
        handles=[Patch(color=colour, label=kind) for kind, colour in KIND_COLOURS.items() if kind in used],
        loc="outside right upper",
        fontsize=8,
    )
    return figure
