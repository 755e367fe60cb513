"""Figure `loss-curves`: training and validation loss over epochs, on a linear and on a logarithmic axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.report.figures.results import Results
from hsipipe.report.style import start_figure
from hsipipe.tasks.segmentation.figures.headings import write_heading

LOSSES: dict[str, tuple[str, Any]] = {"training": ("train_loss", "--"), "validation": ("loss", "-")}


def draw_loss_curves(results: Results) -> Any:
    """The losses of the variants that were trained in epochs; others are left out.

    Raises:
        UserError: none was.
    """
    histories = {name: record["history"] for name, record in results.records.items() if record.get("history")}
    if not histories:
        raise UserError(
            "a figure of kind 'loss-curves' needs a variant that was trained in epochs",
            key="variants",
            found=", ".join(results.records),
            remedy="name one that is",
        )
    import matplotlib
    from matplotlib.lines import Line2D

    colours = matplotlib.colormaps["tab10"](np.arange(len(histories)) % 10)
    figure, axes = start_figure(10.5, 4.0, ncols=2)
    drawn = set()
    # Points show where few epochs end; of many they would hide the line.
    marker = "." if max(map(len, histories.values())) <= 30 else None
    for (_, history), colour in zip(histories.items(), colours, strict=True):
        epochs = [row["epoch"] for row in history]
        for label, (key, line) in LOSSES.items():
            if not any(key in row for row in history):
                continue
            drawn.add(label)
            losses = np.array([row.get(key, np.nan) for row in history], float)
            for axis in axes:
                shown = np.where(losses > 0, losses, np.nan) if axis is axes[1] else losses
                axis.plot(epochs, shown, line, color=colour, marker=marker, linewidth=1.3)
    axes[1].set_yscale("log")
    for axis, scale in zip(axes, ("linear", "logarithmic"), strict=True):
        axis.set_title(scale)
        axis.set_xlabel("epoch")
        axis.set_ylabel("loss, as each variant defines it" if len(histories) > 1 else "loss")
        axis.xaxis.get_major_locator().set_params(integer=True)
    handles = [Line2D([], [], color=colour, label=name) for name, colour in zip(histories, colours, strict=True)]
    handles += [Line2D([], [], color="#444444", linestyle=LOSSES[k][1], label=k) for k in LOSSES if k in drawn]
    figure.legend(handles=handles, loc="outside right center", fontsize=8)
    write_heading(figure, results.heading)
    return figure
