"""Figures `slices` and `pixel-spectra`: what autoencoders make of one band, and of the spectra of a few pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.report.figures.panels import Panel, draw_panels
from hsipipe.report.figures.spectra import draw_pixel_spectra
from hsipipe.report.style import composite, stretch
from hsipipe.tasks.segmentation.case import Image
from hsipipe.tasks.segmentation.figures.headings import write_heading
from hsipipe.tasks.segmentation.figures.material import Material

SHOWN_NM = 860.0  # near infrared: bright over plants, and without absorption by water
NEAR_NM = 30.0


def draw_slices(material: Material) -> Any:
    """One band of the input and of each reconstruction in one contrast, and the absolute error of each below it."""
    image = material.image
    band, at = shown_band(image)
    limits = stretch(image.cube[band][None, None, image.valid])
    panels = {"input": Panel(composite(image.cube[band][None], limits)[..., 0], "", None)}
    for variant, cube in material.reconstructions().items():
        error = np.abs(cube[band] - image.cube[band])
        rmse = float(np.sqrt((error[image.valid].astype(float) ** 2).mean()))
        panels[variant] = Panel(composite(cube[band][None], limits)[..., 0], f"RMSE {rmse:.4g}", error)
    figure = draw_panels(
        panels,
        image.valid,
        title=f"{material.heading}: {image.name}, {at}",
        error_label="absolute error,\nthe scene's units",
    )
    write_heading(figure, figure.get_suptitle())  # panels of one variant are narrow
    return figure


def draw_spectra(material: Material) -> Any:
    """Spectra of four pixels that differ most, in the bands that were measured: input and reconstructions."""
    image = material.image
    return draw_pixel_spectra(
        image.cube[image.good],
        None,
        {variant: cube[image.good] for variant, cube in material.reconstructions().items()},
        valid=image.valid,
        wavelength_nm=None if image.wavelength_nm is None else image.wavelength_nm[image.good],
        title=f"{material.heading}: {image.name}",
        ylabel="value, the scene's units",
        reference="input",
    )


def shown_band(image: Image) -> tuple[int, str]:
    """The measured band nearest to 860 nm, or that of the largest mean where none is near; and how to call it."""
    measured = np.flatnonzero(image.good)
    if image.wavelength_nm is not None:
        distance = np.abs(image.wavelength_nm[measured] - SHOWN_NM)
        if distance.min() <= NEAR_NM:
            band = int(measured[distance.argmin()])
            return band, f"band {band} ({image.wavelength_nm[band]:.0f} nm)"
    band = int(measured[image.cube[measured][:, image.valid].mean(axis=1).argmax()])
    at = "" if image.wavelength_nm is None else f", {image.wavelength_nm[band]:.0f} nm"
    return band, f"band {band} (largest mean{at})"
