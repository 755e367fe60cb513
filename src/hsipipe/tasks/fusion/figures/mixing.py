"""Figures `endmembers` and `latents`: the spectra that a method mixes, and the maps that go with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.report.figures.spectra import break_at_gaps
from hsipipe.report.style import start_figure
from hsipipe.tasks.fusion.figures.material import Material

COLUMNS = 5
SHOWN_SIDE = 512  # pixels of a map along its longer side


def draw_endmembers(material: Material) -> Any:
    """The endmember spectra of the figure's first variant that has some."""
    variant, arrays = _mixing(material, "endmembers")
    wavelength_nm = material.shown().wavelength_nm
    return plot_endmembers(arrays["endmembers"], wavelength_nm, title=f"{material.heading}: {variant}, endmembers")


def draw_latents(material: Material) -> Any:
    """The latent maps of the figure's first variant that has some."""
    variant, arrays = _mixing(material, "latents")
    return plot_latents(arrays["latents"], title=f"{material.heading}: {variant}, {arrays['item']}")


def plot_endmembers(endmembers: np.ndarray, wavelength_nm: np.ndarray | None, *, title: str = "") -> Any:
    """Endmember spectra (K, bands) over wavelength, or over band number."""
    centres, order = break_at_gaps(wavelength_nm, endmembers.shape[1])
    figure, axis = start_figure(8.0, 4.4)
    colours = _colours(len(endmembers))
    for number, (spectrum, colour) in enumerate(zip(endmembers, colours, strict=True), start=1):
        axis.plot(centres, np.where(order < 0, np.nan, spectrum[order]), linewidth=1.3, color=colour, label=str(number))
    axis.set_xlabel("band" if wavelength_nm is None else "wavelength [nm]")
    axis.set_ylabel("value, common scale")
    axis.set_title(title or "endmembers")
    ncols = 1 + len(endmembers) // 10
    axis.legend(title="endmember", fontsize=8, ncols=ncols, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _colours(count: int) -> Any:
    from matplotlib import colormaps

    return colormaps["tab10"](np.arange(count)) if count <= 10 else colormaps["turbo"](np.linspace(0.02, 0.98, count))


def plot_latents(latents: np.ndarray, *, title: str = "") -> Any:
    """Latent maps (K, rows, cols) in one scale: unconstrained weights, blue below zero and red above.

    Of a large map only every n-th pixel is shown.
    """
    step = -(-max(latents.shape[1:]) // SHOWN_SIDE)
    latents = latents[:, ::step, ::step]
    count, rows, cols = latents.shape
    columns = min(COLUMNS, count)
    lines = -(-count // columns)
    figure, axes = start_figure(
        2.1 * columns + 1.0, lines * (2.0 * rows / cols + 0.35) + 0.4, nrows=lines, ncols=columns, squeeze=False
    )
    ceiling = float(np.percentile(np.abs(latents), 99)) or 1.0
    image = None
    for number, axis in enumerate(axes.ravel()):
        axis.set_axis_off()
        if number < count:
            image = axis.imshow(latents[number], vmin=-ceiling, vmax=ceiling, cmap="RdBu_r", interpolation="nearest")
            axis.set_title(f"endmember {number + 1}", fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.6, label="latent weight", pad=0.01)
    figure.suptitle(title, fontsize=10)
    return figure


def _mixing(material: Material, name: str) -> tuple[str, dict[str, Any]]:
    for variant, arrays in material.kept_arrays().items():
        if name in arrays:
            return variant, arrays
    raise UserError(
        f"none of the figure's variants has {name}",
        key="variants",
        found=", ".join(material.kept),
        remedy="add one of method spectramorph or cnmf",
    )
