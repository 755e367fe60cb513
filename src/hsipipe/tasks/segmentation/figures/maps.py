"""Maps of one unit side by side with one legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.report.figures.panels import GAP_COLOUR
from hsipipe.report.style import start_figure
from hsipipe.tasks.segmentation.figures.colours import balanced, patches
from hsipipe.tasks.segmentation.figures.headings import write_heading

COLUMNS = 6  # the most in a line
WIDTH_INCHES, HEIGHT_INCHES = 2.3, 5.0  # the largest that a map may be
NAME_INCHES = 1.6  # the least width of a column
CHARACTER_INCHES = 0.075  # of the legend's type
TITLE_CHARACTERS_PER_INCH = 10.5
ENTRIES = 28  # the most in a column of the legend


@dataclass(frozen=True)
class Map:
    """A picture (rows, cols, 3), uint8 or in [0, 1], its name and what stands below the name."""

    picture: np.ndarray
    name: str
    told: str = ""


def draw_maps(
    stacks: Sequence[Sequence[Map]],
    valid: np.ndarray,
    *,
    title: str,
    entries: Sequence[tuple[str, str]],
) -> Any:
    """Stacks of maps side by side, in lines of at most `COLUMNS`, and a legend at the right.

    Args:
        stacks: columns of maps, of equal height.
        valid: (rows, cols); other pixels are pale blue.
        title: heading.
        entries: (name, colour) of the legend.
    """
    deep = max(len(stack) for stack in stacks)
    shape = valid.shape[0] / valid.shape[1]
    # A map that is much wider than tall gets more width, one that is much taller still needs room for its name.
    width = min(WIDTH_INCHES * max(1.0, (0.6 / shape) ** 0.5), 2 * WIDTH_INCHES, HEIGHT_INCHES / shape)
    column_width = max(width, NAME_INCHES)
    lines, columns = balanced(len(stacks), min(COLUMNS, int(COLUMNS * WIDTH_INCHES / column_width)))
    if columns < 4 and width == WIDTH_INCHES:
        width = column_width = 1.3 * width
    legend_columns = -(-len(entries) // ENTRIES)
    legend_width = legend_columns * (0.6 + CHARACTER_INCHES * max(len(name) for name, _ in entries))
    height = max(lines * deep * (width * shape + 0.5) + 0.4, 0.17 * -(-len(entries) // legend_columns) + 0.9)
    figure, axes = start_figure(
        column_width * columns + 0.2 + legend_width, height, nrows=lines * deep, ncols=columns, squeeze=False
    )
    for axis in axes.ravel():
        axis.set_axis_off()
    for number, stack in enumerate(stacks):
        for depth, shown in enumerate(stack):
            axis = axes[deep * (number // columns) + depth, number % columns]
            show_map(axis, shown.picture, valid)
            text = f"{shown.name}\n{shown.told}" if shown.told else shown.name
            longest = max(len(line) for line in text.split("\n"))
            axis.set_title(text, fontsize=9.5 * min(1.0, TITLE_CHARACTERS_PER_INCH * column_width / longest))
    figure.legend(
        handles=patches(entries),
        loc="outside right center",
        fontsize=8,
        ncols=legend_columns,
    )
    write_heading(figure, title)
    return figure


def show_map(axis: Any, picture: np.ndarray, valid: np.ndarray) -> None:
    """Show a picture (rows, cols, 3), invalid pixels pale blue."""
    from matplotlib.colors import to_rgb

    values = picture / 255 if picture.dtype == np.uint8 else picture
    axis.imshow(np.where(valid[..., None], values, to_rgb(GAP_COLOUR)), interpolation="nearest")
