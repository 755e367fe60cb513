"""The course of trainings: loss, gradients, memory and the time that batches take."""

from __future__ import annotations

from typing import Any

from hsipipe.errors import UserError
from hsipipe.report.style import start_figure
from hsipipe.tasks.representation.figures.material import Material

SHOWN = {
    "train_loss": "training loss",
    "loss": "validation loss",
    "gradient_norm": "norm of the gradient",
    "drawing_seconds": "drawing batches [s/epoch]",
    "seconds": "epoch [s]",
    "memory_mb": "resident memory [MiB]",
    "gpu_memory_mb": "peak GPU memory [MiB]",
}


def draw_course(material: Material) -> Any:
    """What each epoch of the trained variants was like, a panel for each figure that any of them told.

    Raises:
        UserError: no variant was trained in epochs.
    """
    told = {variant: record.get("history") or [] for variant, record in material.records.items()}
    told = {variant: rows for variant, rows in told.items() if rows}
    if not told:
        raise UserError("none of the variants was trained in epochs", key="variants", found=", ".join(material.records))
    names = [name for name in SHOWN if any(name in row for rows in told.values() for row in rows)]
    lines = -(-len(names) // 2)
    figure, axes = start_figure(9.5, 2.2 * lines + 0.5, nrows=lines, ncols=2, sharex=True, squeeze=False)
    for axis in axes.ravel()[len(names) :]:
        axis.set_axis_off()
    for axis, name in zip(axes.ravel(), names, strict=False):
        for variant, rows in told.items():
            axis.plot([row["epoch"] for row in rows], [row.get(name, float("nan")) for row in rows], label=variant)
        axis.set_title(SHOWN[name])
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.suptitle(material.heading, fontsize=10)
    return figure
