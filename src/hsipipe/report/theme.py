"""The look of all figures, as Matplotlib's settings: seaborn's themes, without the seconds that it takes to load."""

from __future__ import annotations

from typing import Any

DEEP = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c", "#ccb974", "#64b5cd")
COLOURBLIND = (
    "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"
)  # fmt: skip
_COMMON: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.labelcolor": ".15",
    "font.sans-serif": ["Arial", "DejaVu Sans", "Liberation Sans", "Bitstream Vera Sans", "sans-serif"],
    "grid.color": ".8",
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "svg.hashsalt": "hsipipe",
    "text.color": ".15",
    "xtick.color": ".15",
    "ytick.color": ".15",
}
TICKS: dict[Any, Any] = {**_COMMON, "axes.edgecolor": ".15"}
"""`axes_style("ticks")`: ticks, no grid."""

_TICK: dict[str, Any] = {
    "bottom": False,
    "labelsize": 9.35,
    "major.size": 6.0,
    "major.width": 1.25,
    "minor.size": 4.0,
    "minor.width": 1.0,
}
WHITEGRID: dict[Any, Any] = {
    **_COMMON,
    "axes.edgecolor": ".8",
    "axes.grid": True,
    "axes.labelsize": 10.2,
    "axes.linewidth": 1.25,
    "axes.titlesize": 10,
    "font.size": 10.2,
    "grid.linewidth": 1.0,
    "legend.fontsize": 9.35,
    "legend.title_fontsize": 10.2,
    "svg.fonttype": "none",
    **{f"xtick.{name}": value for name, value in _TICK.items()},
    **{f"ytick.{name.replace('bottom', 'left')}": value for name, value in _TICK.items()},
}
"""`set_theme(context="notebook", style="whitegrid", font_scale=0.85)`: a white ground with a grid, small type."""
