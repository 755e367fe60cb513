"""Figures `visual` and `band`: the shown unit side by side, as colour composite or in one band, with its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.metrics.denoising import score_band
from hsipipe.metrics.registry import METRICS
from hsipipe.report.style import composite, rgb_bands, start_figure, stretch
from hsipipe.tasks.denoising.figures.material import Material, ShownUnit
from hsipipe.tasks.denoising.shown import shown_band

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


def draw_visual(material: Material) -> Any:
    """Noisy, truth and each method as RGB composites in one contrast, with the error of each below it."""
    shown = material.shown()
    truth = shown.truth
    chosen = rgb_bands(len(truth.cube), truth.wavelength_nm)
    limits = stretch(truth.cube[chosen][:, None, truth.valid])
    scores = material.scores[(material.scores.item == shown.name) & (material.scores.metric == "mpsnr")]
    values = scores.groupby("variant").value.mean()
    panels = {}
    for name, cube in _cubes(material, shown).items():
        error = None if name == "truth" else np.sqrt(((cube - truth.cube) ** 2).mean(axis=0))
        told = f"{values[name]:.2f} dB" if name in values else ""
        panels[name] = Panel(composite(cube[chosen], limits), told, error)
    return _draw_panels(
        panels, truth.valid, title=f"{material.heading}: {shown.name}", error_label="RMS error over bands"
    )


def draw_band(material: Material) -> Any:
    """One band of noisy, truth and each method in grey, with its PSNR and MSE, and the error of each below it."""
    shown = material.shown()
    truth = shown.truth
    band = shown_band(truth, material.case_settings["figure_band"])
    limits = stretch(truth.cube[band][None, None, truth.valid])
    panels = {}
    for name, cube in _cubes(material, shown).items():
        # Scored here and not looked up: what stands above a picture is then that of this picture, of its seed.
        scores = score_band(truth.cube[band], cube[band], valid=truth.valid)
        psnr, mse = (f"{value:.{METRICS[metric].decimals}f}" for metric, value, _ in scores)
        is_truth = name == "truth"
        error = None if is_truth else np.abs(cube[band] - truth.cube[band])
        told = "" if is_truth else f"{psnr} dB, MSE {mse}"
        panels[name] = Panel(composite(cube[band][None], limits)[..., 0], told, error)
    at = "" if truth.wavelength_nm is None else f" ({truth.wavelength_nm[band]:.0f} nm)"
    return _draw_panels(
        panels,
        truth.valid,
        title=f"{material.heading}: {shown.name}, band {band}{at}",
        error_label="absolute error",
    )


def _cubes(material: Material, shown: ShownUnit) -> dict[str, np.ndarray]:
    """The cubes to be shown, by name: the truth, the noisy input, and each variant."""
    predictions = material.predictions()
    noisy = predictions.pop("noisy", shown.noisy)
    return {"truth": shown.truth.cube, "noisy": noisy, **predictions}


def _draw_panels(panels: Mapping[str, Panel], valid: np.ndarray, *, title: str, error_label: str) -> Any:
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
