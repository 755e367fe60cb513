"""Figures of a fusion pair's degradation: the gallery of PSFs, the spectral response, the pair itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hsipipe.degrade.psf import psf_width
from hsipipe.degrade.response import Response
from hsipipe.report.style import composite, rgb_bands, start_figure, stretch
from hsipipe.scenes.scene import Item

COLUMNS = 5  # kernels per row of the gallery


def draw_psfs(kernels: Mapping[str, np.ndarray]) -> Any:
    """Draw kernels as pictures, each in its own symmetric scale: white is zero, red positive, blue negative.

    Colours go by the signed square root (see `draw_psf`).

    Args:
        kernels: name -> (n, n), each with sum 1.
    """
    columns = min(COLUMNS, len(kernels))
    rows = -(-len(kernels) // columns)
    figure, axes = start_figure(2.35 * columns, 2.75 * rows, nrows=rows, ncols=columns, squeeze=False)
    for axis, (name, kernel) in zip(axes.flat, kernels.items(), strict=False):
        draw_psf(figure, axis, kernel, name)
    for axis in axes.flat[len(kernels) :]:
        axis.set_visible(False)
    return figure


def draw_psf(figure: Any, axis: Any, kernel: np.ndarray, name: str) -> None:
    """Draw one kernel with its name, its widths in pixels and its scale.

    Colours go by the signed square root of the values, or side lobes of a few per cent could not be seen.
    """
    from matplotlib.colors import FuncNorm

    limit = float(np.abs(kernel).max())
    half, reach = len(kernel) / 2.0, len(kernel) // 2
    norm = FuncNorm((lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * x**2), -limit, limit)
    shown = axis.imshow(kernel, cmap="RdBu_r", norm=norm, interpolation="nearest", extent=(-half, half, half, -half))
    axis.grid(False)
    axis.set_title(f"{name}\n{_width_text(kernel)}", fontsize=8.5)
    axis.set(xticks=[-reach, 0, reach], yticks=[-reach, 0, reach])
    axis.tick_params(labelsize=7, pad=1)
    bar = figure.colorbar(shown, cax=axis.inset_axes((1.05, 0.0, 0.055, 1.0)))
    # The scale is symmetric, so that zero is white; the bar shows only the part that the kernel uses.
    lowest = float(min(kernel.min(), 0.0))
    bar.ax.set_ylim(lowest, limit)
    ticks = [0.0, limit / 4.0, limit] if lowest > -0.02 * limit else [lowest, 0.0, limit / 4.0, limit]
    bar.set_ticks(ticks, labels=[f"{value:.2g}" for value in ticks])
    bar.ax.tick_params(labelsize=6.5, pad=1, length=2)
    bar.outline.set_visible(False)


def _width_text(kernel: np.ndarray) -> str:
    width = psf_width(kernel)
    rms = _both(width.rms_rows, width.rms_cols)
    return f"rms {rms} px\nFWHM {_both(width.fwhm_rows, width.fwhm_cols)} px"


def _both(rows: float, cols: float) -> str:
    """Two widths as one number where they agree, a dash where one is not defined."""
    texts = ["–" if np.isnan(value) else f"{value:.2f}" for value in (rows, cols)]
    return texts[0] if texts[0] == texts[1] else " × ".join(texts)


def draw_response(response: Response, wavelength_nm: np.ndarray | None) -> Any:
    """Draw the rows of a response over wavelength, with the bands of the HSI as a rug.

    Args:
        response: of `make_srf`.
        wavelength_nm: (C,) of the HSI; None, or the stretched axis: the numbers of the bands are drawn instead.
    """
    figure, axis = start_figure(8.0, 3.4)
    plot_response(axis, response, wavelength_nm)
    return figure


def plot_response(axis: Any, response: Response, wavelength_nm: np.ndarray | None) -> None:
    """Draw a response on an axis; each row is scaled to a largest weight of 1."""
    matrix = response.matrix / response.matrix.max(axis=1, keepdims=True)
    known = wavelength_nm is not None and response.axis == "measured"
    position = np.asarray(wavelength_nm) if known else np.arange(1, matrix.shape[1] + 1)
    order = np.argsort(position, kind="stable")
    along = position[order].astype(np.float64)
    gaps = np.diff(along)
    # Where bands were left out the curve is not known: a NaN breaks the line.
    usual = np.median(gaps) if len(gaps) else 0.0
    holes = np.flatnonzero(gaps > 4.0 * usual) + 1
    along = np.insert(along, holes, np.nan)
    colours = _colours(response, len(matrix))
    for band, (row, colour) in enumerate(zip(matrix, colours, strict=True)):
        centre = None if response.centres_nm is None else response.centres_nm[band]
        label = f"{band + 1}" if centre is None else f"{centre:.0f} nm"
        curve = np.insert(row[order], holes, np.nan)
        axis.plot(along, curve, color=colour, linewidth=1.6, label=label)
        axis.fill_between(along, curve, color=colour, alpha=0.12, linewidth=0)
    axis.plot(position, np.full(len(position), -0.06), "|", color="#555555", markersize=6, markeredgewidth=0.6)
    axis.set(ylim=(-0.12, 1.08), ylabel="weight / largest weight", title=f"{response.name} ({response.axis} axis)")
    axis.set(xlabel="wavelength [nm] (ticks below: HSI bands)" if known else "HSI band")
    axis.legend(
        title="MSI band",
        fontsize=7,
        title_fontsize=8,
        ncols=1 + (len(matrix) > 8),
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
    )


def _colours(response: Response, count: int) -> list[Any]:
    """Colours from blue to red by the order of the bands' centres."""
    from matplotlib import colormaps

    centres = np.arange(count) if response.centres_nm is None else response.centres_nm
    rank = np.argsort(np.argsort(centres, kind="stable"), kind="stable")
    return [colormaps["turbo"](0.08 + 0.84 * place / max(count - 1, 1)) for place in rank]


def draw_pair(lr_hsi: Item, hr_msi: Item, psf: np.ndarray, response: Response) -> Any:
    """Draw a pair as pictures beside the PSF and the response that made it."""
    figure, axes = start_figure(10.5, 7.2, nrows=2, ncols=2, width_ratios=(1, 1.35))
    draw_psf(figure, axes[0, 0], psf, "PSF")
    plot_response(axes[0, 1], response, lr_hsi.wavelength_nm)
    for axis, item, name in ((axes[1, 0], lr_hsi, "low-resolution HSI"), (axes[1, 1], hr_msi, "high-resolution MSI")):
        bands, rows, cols = item.cube.shape
        axis.imshow(_picture(item), interpolation="nearest")
        axis.set(title=f"{name}: {bands} bands, {rows} × {cols}", xticks=[], yticks=[])
        axis.grid(False)
    return figure


def _picture(item: Item) -> np.ndarray:
    """An RGB picture, grey where there are fewer than three bands."""
    chosen = rgb_bands(len(item.cube), item.wavelength_nm) if len(item.cube) >= 3 else [0, 0, 0]
    bands = item.cube[chosen].astype(np.float32)
    bands = np.where(item.valid, bands, bands[:, item.valid].min() if item.valid.any() else 0.0)
    return composite(bands, stretch(bands))
