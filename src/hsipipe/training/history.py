"""The history of a training, one row per epoch: as a table and as a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from hsipipe.files import atomic_path, write_text

Row = dict[str, float]
FIRST = ("epoch", "step", "learning_rate", "train_loss")
LAST = ("gradient_norm", "drawing_seconds", "memory_mb", "gpu_memory_mb", "seconds")


def write_history(history: Sequence[Row], path: str | Path) -> None:
    """Write the rows as CSV: epoch (from 1), step (updates so far), learning_rate, train_loss, metrics, costs, seconds.

    The whole file is written anew, atomically, so that it never holds rows of steps that a killed run lost.
    """
    metrics = sorted({name for row in history for name in row} - {*FIRST, *LAST})
    text = io.StringIO()
    last = [name for name in LAST if name == "seconds" or any(name in row for row in history)]
    writer = csv.DictWriter(text, [*FIRST, *metrics, *last], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())


def read_history(path: str | Path) -> list[Row]:
    """The rows of a file that `write_history` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    return [{**row, "epoch": int(row["epoch"]), "step": int(row["step"])} for row in rows]


def draw_history(history: Sequence[Row] | str | Path, path: str | Path, *, title: str = "") -> None:
    """Draw the loss curve and the validation metrics over epochs; the format follows the extension (png, svg, pdf).

    The training loss and a validation loss named `loss` share the first axes (logarithmic where all are positive); each
    other metric has axes of its own below. The learning rate is drawn where it changes. Without rows the figure says
    that there were no epochs.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_history(history) if isinstance(history, (str, Path)) else list(history)
    epochs = [row["epoch"] for row in rows]
    names = sorted({name for row in rows for name in row} - {*FIRST, *LAST, "loss"})
    if len({row["learning_rate"] for row in rows}) > 1:
        names.append("learning_rate")
    figure = Figure(figsize=(6.0, 2.6 + 1.6 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(1 + len(names), 1, sharex=True, squeeze=False)[:, 0]
    losses = {"training": "train_loss", "validation": "loss"}
    for label, name in losses.items():
        if any(name in row for row in rows):
            all_axes[0].plot(epochs, [row.get(name, float("nan")) for row in rows], label=label, marker=".")
    if rows and all(row.get(name, 1.0) > 0 for row in rows for name in losses.values()):
        all_axes[0].set_yscale("log")
    all_axes[0].set_ylabel("loss")
    if rows:
        all_axes[0].legend(frameon=False)
    else:
        told = {"ha": "center", "va": "center", "transform": all_axes[0].transAxes}
        all_axes[0].text(0.5, 0.5, "fitted in one step, without epochs", **told)
    for axes, name in zip(all_axes[1:], names, strict=True):
        axes.plot(epochs, [row.get(name, float("nan")) for row in rows], marker=".", color="C1")
        axes.set_ylabel(name.replace("_", " "))
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[-1].set_xlabel("epoch")
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)
    if title:
        all_axes[0].set_title(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
