"""Figure `spectra`: spectra of a few pixels."""

from __future__ import annotations

from typing import Any

from hsipipe.report.figures.spectra import draw_pixel_spectra
from hsipipe.tasks.denoising.figures.material import CONTROLS, Material


def draw_spectra(material: Material) -> Any:
    """Spectra of four pixels that differ most: truth, noisy input and each method."""
    shown = material.shown()
    predictions = {name: cube for name, cube in material.predictions().items() if name not in CONTROLS}
    return draw_pixel_spectra(
        shown.truth.cube,
        ("noisy", shown.noisy),
        predictions,
        valid=shown.truth.valid,
        wavelength_nm=shown.truth.wavelength_nm,
        title=f"{material.heading}: {shown.name}",
        ylabel="value, band scaled to [0, 1]",
    )
