"""Pictures side by side in one contrast, each with its map of errors below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.report.style import start_figure

COLUMNS = 7  # the most in a line
GAP_COLOUR = "#c9dcf0"  # pale blue: in no grey picture, and in no map of errors
WIDTH_INCHES = 2.1
TITLE_CHARACTERS = 23  # that fit above a picture at the full size of type


@dataclass(frozen=True)
class Panel:
    """A picture: its values (rows, cols) or (rows, cols, 3), what stands below its name, the errors (rows, cols)."""

    picture: np.ndarray
    told: str
    error: np.ndarray | None


def draw_panels(panels: Mapping[str, Panel], valid: np.ndarray, *, title: str, error_label: str) -> Any:
    """The pictures in lines of at most `COLUMNS`, each with its map of errors below it, all maps in one scale.

    Invalid pixels (rows, cols) are gaps. The scale ends at the 90th percentile of all errors, so that a stripe or a
    failed method does not leave the others black.
    """
    lines = -(-len(panels) // COLUMNS)
    columns = -(-len(panels) // lines)
    shape = valid.shape[0] / valid.shape[1]
    figure, axes = start_figure(
        WIDTH_INCHES * columns + 0.8, lines * (2 * 2.0 * shape + 0.75), nrows=2 * lines, ncols=columns, squeeze=False
    )
    errors = [panel.error[valid] for panel in panels.values() if panel.error is not None]
    ceiling = float(np.percentile(np.concatenate(errors), 90)) or 1.0
    image = None
    for axis in axes.ravel():
        axis.set_axis_off()
    for index, (name, panel) in enumerate(panels.items()):
        top, below = axes[2 * (index // columns) : 2 * (index // columns) + 2, index % columns]
        _show(top, panel.picture, valid, cmap="gray", ceiling=1.0)
        size = 10 * min(1.0, TITLE_CHARACTERS / max(len(name), len(panel.told)))
        top.set_title(f"{name}\n{panel.told}", fontsize=size)
        if panel.error is not None:
            image = _show(below, panel.error, valid, cmap="magma", ceiling=ceiling)
    if image is not None:
        figure.colorbar(image, ax=axes, shrink=0.5, label=error_label, pad=0.01)
    gaps = "" if valid.all() else "; pale blue: no valid data"
    figure.suptitle(f"{title}{gaps}", fontsize=10)
    return figure


def _show(axis: Any, picture: np.ndarray, valid: np.ndarray, *, cmap: str, ceiling: float) -> Any:
    """Show values from 0 to `ceiling` in the colours of `cmap`, or colours in [0, 1] as they are, with gaps."""
    import matplotlib
    from matplotlib.colors import to_rgb

    if picture.ndim == 3:
        return axis.imshow(np.where(valid[..., None], picture, to_rgb(GAP_COLOUR)), interpolation="nearest")
    colours = matplotlib.colormaps[cmap].with_extremes(bad=GAP_COLOUR)
    values = np.where(valid, picture, np.nan)
    return axis.imshow(values, vmin=0, vmax=ceiling, cmap=colours, interpolation="nearest")
