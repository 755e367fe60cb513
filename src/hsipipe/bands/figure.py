"""A figure of where the chosen bands fall over the mean spectrum."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hsipipe.bands.spectrum import REGIONS_NM
from hsipipe.bands.table import BandSelection
from hsipipe.files import atomic_path
from hsipipe.report.theme import TICKS

_REGION_COLOURS = {
    "uv": "#b39ddb",
    "blue": "#90caf9",
    "green": "#a5d6a7",
    "red": "#ef9a9a",
    "nir": "#e0c3b0",
    "swir": "#cfd8dc",
}
_REGION_LABELS = {"uv": "UV", "nir": "NIR", "swir": "SWIR"}


def draw_bands(
    selection: BandSelection,
    wavelength_nm: np.ndarray | None,
    mean: np.ndarray,
    deviation: np.ndarray,
    path: str | Path,
    *,
    good_bands: np.ndarray | None = None,
    unit: str = "digital numbers",
    title: str | None = None,
) -> None:
    """Draw the mean training spectrum ± one standard deviation, the regions of the spectrum, and the chosen bands.

    Args:
        selection: the chosen bands.
        wavelength_nm: (bands,) of the whole sensor in its order, or None: the axis then counts bands.
        mean, deviation: (bands,) over the training spectra, in `unit`.
        path: .png or .svg.
        good_bands: (bands,) bool; the spectrum is not drawn at others. None: bands whose values are finite and vary.
        unit: of the spectra.
        title: above the figure; by default the number of bands and the strategy.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(mean)
    position = np.arange(count, dtype=float) if wavelength_nm is None else np.asarray(wavelength_nm, float)
    good = _measured(mean, deviation) if good_bands is None else np.asarray(good_bands, bool)
    order = np.argsort(position, kind="stable")
    order = order[good[order]]
    axis, level, spread = _with_gaps(position[order], np.asarray(mean, float)[order], np.asarray(deviation)[order])
    with matplotlib.rc_context(TICKS):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.fill_between(axis, level - spread, level + spread, color="0.75", alpha=0.6, linewidth=0)
        axes.plot(axis, level, color="0.25", linewidth=1.2, label="mean ± standard deviation")
        chosen = selection.indices
        axes.vlines(position[chosen], 0, 0.05, transform=axes.get_xaxis_transform(), color="#d81b60", linewidth=1)
        axes.plot(
            position[chosen],
            np.asarray(mean)[chosen],
            linestyle="none",
            marker="o",
            markersize=4,
            color="#d81b60",
            label="chosen bands",
            zorder=3,
        )
        span = np.ptp(position[good])
        axes.set_xlim(position[good].min() - 0.01 * span, position[good].max() + 0.01 * span)
        if wavelength_nm is not None:
            _shade_regions(axes)
        axes.set_xlabel("band" if wavelength_nm is None else "wavelength [nm]")
        axes.set_ylabel(unit)
        axes.set_title(
            title or f"{len(selection)} of {int(good.sum())} bands, {selection.strategy}", pad=18, loc="left"
        )
        axes.legend(frameon=False, loc="best")
        axes.spines[["top", "right"]].set_visible(False)
        with atomic_path(path) as temporary:
            metadata = {"Date": None} if temporary.suffix == ".svg" else {"Software": None}
            figure.savefig(temporary, dpi=150, metadata=metadata)


def _measured(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Bands with a finite mean that vary from spectrum to spectrum, unless none does: dead bands are constant."""
    varies = np.asarray(deviation) > 0
    return np.isfinite(mean) & (varies if varies.any() else True)


def _with_gaps(axis: np.ndarray, level: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Break the line where bands are missing: NaN between neighbours more than four times the median step apart."""
    steps = np.diff(axis)
    if not len(steps):
        return axis, level, spread
    gaps = np.flatnonzero(steps > 4 * np.median(steps)) + 1
    middle = (axis[gaps - 1] + axis[gaps]) / 2
    return np.insert(axis, gaps, middle), np.insert(level, gaps, np.nan), np.insert(spread, gaps, np.nan)


def _shade_regions(axes: object) -> None:
    """Shade the spectral regions within the axes' limits and name them above."""
    left, right = axes.get_xlim()  # type: ignore[attr-defined]
    for name, (low, high) in REGIONS_NM.items():
        start, end = max(low, left), min(high, right)
        if end <= start:
            continue
        axes.axvspan(start, end, color=_REGION_COLOURS[name], alpha=0.3, linewidth=0, zorder=0)  # type: ignore[attr-defined]
        if end - start > 0.03 * (right - left):
            axes.text(  # type: ignore[attr-defined]
                (start + end) / 2,
                1.01,
                _REGION_LABELS.get(name, name),
                transform=axes.get_xaxis_transform(),  # type: ignore[attr-defined]
                ha="center",
                va="bottom",
                fontsize="small",
                color="0.3",
            )
