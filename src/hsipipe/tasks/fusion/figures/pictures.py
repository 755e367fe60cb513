"""Figures `visual` and `spectra`: the shown item side by side, and spectra of a few of its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.report.figures.panels import Panel, draw_panels
from hsipipe.report.figures.spectra import draw_pixel_spectra
from hsipipe.report.style import composite, rgb_bands, stretch
from hsipipe.tasks.fusion.figures.material import Material


def draw_visual(material: Material) -> Any:
    """Truth, low-resolution HSI and each method as RGB composites in one contrast, with the error of each below it."""
    shown = material.shown()
    chosen = rgb_bands(len(shown.truth), shown.wavelength_nm)
    limits = stretch(shown.truth[chosen][:, None, shown.valid])
    scores = material.scores[(material.scores.item == shown.name) & (material.scores.metric == "psnr")]
    values = scores.groupby("variant").value.mean()
    panels = {"truth": Panel(composite(shown.truth[chosen], limits), "", None)}
    for name, cube in {"low-resolution HSI": shown.lr_hsi, **material.predictions()}.items():
        error = np.sqrt(((cube - shown.truth) ** 2).mean(axis=0))
        told = f"{values[name]:.2f} dB" if name in values else ""
        panels[name] = Panel(composite(cube[chosen], limits), told, error)
    return draw_panels(
        panels, shown.valid, title=f"{material.heading}: {shown.name}", error_label="RMS error over bands"
    )


def draw_spectra(material: Material) -> Any:
    """Spectra of four pixels that differ most: truth, low-resolution HSI and each method."""
    shown = material.shown()
    return draw_pixel_spectra(
        shown.truth,
        ("low-resolution HSI", shown.lr_hsi),
        material.predictions(),
        valid=shown.valid,
        wavelength_nm=shown.wavelength_nm,
        title=f"{material.heading}: {shown.name}",
        ylabel="value, common scale",
    )
