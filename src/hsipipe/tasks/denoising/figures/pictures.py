"""Figures `visual` and `band`: the shown unit side by side, as colour composite or in one band, with its errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.metrics.denoising import score_band
from hsipipe.metrics.registry import METRICS
from hsipipe.report.figures.panels import Panel, draw_panels
from hsipipe.report.style import composite, rgb_bands, stretch
from hsipipe.tasks.denoising.figures.material import Material, ShownUnit
from hsipipe.tasks.denoising.shown import shown_band


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
    return draw_panels(
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
        psnr, mse = (f"{value:{METRICS[metric].format}}" for metric, value, _ in scores)
        is_truth = name == "truth"
        error = None if is_truth else np.abs(cube[band] - truth.cube[band])
        told = "" if is_truth else f"{psnr} dB, MSE {mse}"
        panels[name] = Panel(composite(cube[band][None], limits)[..., 0], told, error)
    at = "" if truth.wavelength_nm is None else f" ({truth.wavelength_nm[band]:.0f} nm)"
    return draw_panels(
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
