"""What denoising did, in one picture: before and after, in colours and in the noisiest band; a spectrum; the noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.notebook.pictures import (
    bands_told,
    check_bands,
    limits_of,
    show_cube,
    show_spectra,
    stretch_told,
    unlike_pixels,
    value_label,
)
from hsipipe.report.figures.spectra import break_at_gaps
from hsipipe.report.style import start_figure
from hsipipe.scenes.scene import Item

BEFORE, AFTER = "#b0b7c0", "#1b5fa8"


def draw_before_after(before: Item, after: Item, *, noise: np.ndarray, title: str = "") -> Any:
    """Two rows: colours before and after, and the spectrum of one pixel; the noisiest band before and after, and the
    noise of each band beside what was removed. Both pictures of a pair have the same contrast, that of the result.

    Args:
        before, after: the image and its denoised version, of the same size.
        noise: (bands,) standard deviation of the noise before, in the units of the image; NaN where there is none.
        title: what did it.
    """
    rows, cols = before.valid.shape
    height = float(np.clip(2 * 4.2 * rows / cols, 6, 13))
    figure, axes = start_figure(15, height, nrows=2, ncols=3, width_ratios=(1, 1, 1.2))
    chosen = check_bands(after, None)
    noisiest = [noisiest_band(before, noise)]
    for line, bands in zip(axes, (chosen, noisiest), strict=True):
        limits = limits_of(after, bands)
        for axis, item, name in zip(line, (before, after), ("before", "after"), strict=False):
            show_cube(axis, item, bands, limits)
            axis.set_title(f"{name}: {bands_told(item, bands)}")
    axes[1, 0].set_title(f"{axes[1, 0].get_title()}, the noisiest band")
    row, col = unlike_pixels(after, 1)[0]
    show_spectra(axes[0, 2], before, [(row, col)], label="before", color=BEFORE, linewidth=2.2)
    show_spectra(axes[0, 2], after, [(row, col)], label="after", color=AFTER, linewidth=1.2)
    axes[0, 2].set_title(f"spectrum of row {row}, column {col}")
    _show_noise(axes[1, 2], before, after, noise)
    figure.suptitle(f"{before.name}: {title}; {stretch_told(after)} of the result", fontsize=11)
    return figure


def noisiest_band(item: Item, noise: np.ndarray) -> int:
    """The band whose noise is largest beside the spread of its values."""
    ratio = np.full(len(noise), -np.inf)
    for band in np.flatnonzero(item.good_bands & np.isfinite(noise)):
        low, high = np.percentile(item.cube[band][item.valid], (1, 99))
        ratio[band] = noise[band] / max(float(high - low), 1e-12)
    return int(ratio.argmax())


def _show_noise(axes: Any, before: Item, after: Item, noise: np.ndarray) -> None:
    removed = np.full(len(noise), np.nan)
    for band in np.flatnonzero(before.good_bands):
        taken = before.cube[band][before.valid].astype(np.float64) - after.cube[band][before.valid]
        removed[band] = np.sqrt((taken**2).mean())
    x, order = break_at_gaps(before.wavelength_nm, len(noise))
    for values, label, style in (
        (noise, "noise found (standard deviation)", BEFORE),
        (removed, "removed (RMS)", AFTER),
    ):
        axes.plot(x, np.where(order < 0, np.nan, values[order]), color=style, linewidth=1.8, label=label)
    axes.set_ylim(bottom=0)
    axes.set(xlabel="band" if before.wavelength_nm is None else "wavelength (nm)", ylabel=value_label(before))
    axes.set_title("noise and what was removed, by band")
    axes.legend()
