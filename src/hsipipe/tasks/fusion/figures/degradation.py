"""Figures `psfs` and `response`: what a case does to its scenes."""

from __future__ import annotations

from typing import Any

from hsipipe.degrade import figures
from hsipipe.tasks.fusion.figures.material import Material


def draw_psfs(material: Material) -> Any:
    """The point-spread functions of the case, each with its width."""
    with material.open() as opened:
        return figures.draw_psfs(opened.psfs)


def draw_response(material: Material) -> Any:
    """The spectral response of the MSI, over the bands of the HSI."""
    with material.open() as opened:
        return figures.draw_response(opened.response, opened.wavelength_nm)
