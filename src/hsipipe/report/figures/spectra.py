"""Spectra of a few pixels: truth, what was observed, and what methods make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hsipipe.report.style import start_figure

PIXELS = 4


def spread_pixels(cube: np.ndarray, valid: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Pixels whose spectra differ most: the one nearest to the mean, then each time the farthest from those taken."""
    where = np.argwhere(valid)
    spectra = cube[:, valid].T
    taken = [int(((spectra - spectra.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    # The 98th percentile of the distances, not their maximum, so that a single outlier is not what is shown.
    distance = ((spectra - spectra[taken[0]]) ** 2).sum(axis=1)
    while len(taken) < min(count, len(where)):
        taken.append(int(np.abs(distance - np.percentile(distance, 98)).argmin()))
        distance = np.minimum(distance, ((spectra - spectra[taken[-1]]) ** 2).sum(axis=1))
    return [(int(where[index][0]), int(where[index][1])) for index in taken]


def break_at_gaps(wavelength_nm: np.ndarray | None, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """How to draw spectra of `bands` values as lines: positions on the axis, and the band at each.

    Bands are sorted by wavelength (without one: by number). Where bands are missing (a step over five times the usual)
    stands a NaN among the positions and -1 among the bands, so that no line is drawn across.
    """
    order = np.arange(bands) if wavelength_nm is None else np.argsort(wavelength_nm, kind="stable")
    centres = order.astype(float) if wavelength_nm is None else wavelength_nm[order].astype(float)
    steps = np.diff(centres)
    breaks = np.flatnonzero(steps > 5 * np.median(steps)) + 1 if len(steps) else np.zeros(0, int)
    return np.insert(centres, breaks, np.nan), np.insert(order, breaks, -1)


def draw_pixel_spectra(
    truth: np.ndarray,
    observed: tuple[str, np.ndarray] | None,
    predictions: Mapping[str, np.ndarray],
    *,
    valid: np.ndarray,
    wavelength_nm: np.ndarray | None,
    title: str,
    ylabel: str,
    reference: str = "truth",
) -> Any:
    """Spectra of the four pixels that differ most.

    Args:
        truth: (bands, rows, cols), a black line.
        observed: name and cube (bands, rows, cols) of what the methods were given, dots; None: that was the truth.
        predictions: variant -> cube, lines.
        valid: (rows, cols) bool: pixels that may be chosen.
        wavelength_nm: (bands,) or None; lines break where bands are missing.
        title: heading.
        ylabel: what the values are.
        reference: what the black line is called.
    """
    centres, order = break_at_gaps(wavelength_nm, len(truth))

    def line(cube: np.ndarray, row: int, col: int) -> np.ndarray:
        return np.where(order < 0, np.nan, cube[order, row, col])

    figure, axes = start_figure(10, 6.4, nrows=2, ncols=2, sharex=True)
    for axis, (row, col) in zip(axes.ravel(), spread_pixels(truth, valid, PIXELS), strict=False):
        if observed is not None:
            axis.plot(centres, line(observed[1], row, col), ".", color="#b8c1cc", markersize=2.5, label=observed[0])
        for name, cube in predictions.items():
            axis.plot(centres, line(cube, row, col), linewidth=1.0, label=name)
        axis.plot(centres, line(truth, row, col), color="black", linewidth=1.4, label=reference)
        axis.set_title(f"row {row}, column {col}")
    for axis in axes[-1]:
        axis.set_xlabel("band" if wavelength_nm is None else "wavelength [nm]")
    for axis in axes[:, 0]:
        axis.set_ylabel(ylabel)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure
