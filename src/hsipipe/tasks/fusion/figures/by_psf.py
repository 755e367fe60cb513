"""Figure `by-psf`: how each variant fares under each point-spread function."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hsipipe.metrics.registry import METRICS
from hsipipe.report.style import start_figure
from hsipipe.tasks.fusion.figures.material import Material


def draw_by_psf(material: Material) -> Any:
    """A table in colours: variants down, PSFs across, the mean score over units and seeds in each cell."""
    import seaborn as sns

    metric = METRICS[material.figure["metric"]]
    with material.open() as opened:
        psf_of = {item: opened.psf_name(item) for item in opened.items}
        order = list(opened.psfs)
        units = len(opened.units)
    scores = material.scores
    scores = scores[(scores.metric == material.figure["metric"]) & scores.variant.isin(list(material.records))]
    frame = scores.assign(psf=scores.item.map(psf_of))
    table = frame.pivot_table(index="variant", columns="psf", values="value", aggfunc="mean")
    table = table.reindex(index=list(material.records), columns=order)
    table = pd.concat([table, table.mean(axis=1).rename("mean")], axis=1)
    figure, axis = start_figure(1.9 + 0.85 * len(table.columns), max(2.6, 1.5 + 0.34 * len(table)))
    sns.heatmap(
        table,
        ax=axis,
        annot=True,
        fmt=metric.format,
        cmap="viridis" if metric.higher_is_better else "viridis_r",
        robust=True,
        annot_kws={"fontsize": 8},
        cbar_kws={"label": metric.heading},
        linewidths=0.5,
    )
    axis.set_xlabel(f"point-spread function (means over {units} units)" if units > 1 else "point-spread function")
    axis.set_ylabel("")
    axis.tick_params(axis="x", rotation=35)
    axis.set_title(material.heading)
    return figure
