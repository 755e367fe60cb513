"""Reflectance of simulated wings: pigment edges, structural colour, and the planted bumps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIRST_NM, STEP_NM, BANDS = 348.39, 1.1332, 408
CARD = 0.03  # reflectance of the background card, black


@dataclass(frozen=True)
class Traits:
    """What one individual inherits, the same on both sides of its wings.

    Attributes:
        edge_nm: where the ground pigment stops absorbing.
        melanin: concentration in the pattern, about 1.
        brightness: factor over all wavelengths, about 1.
        diffuse: (2,) mean height of the ultraviolet and far-red bumps that every wing bears all over.
    """

    edge_nm: float
    melanin: float
    brightness: float
    diffuse: tuple[float, float]


def draw_traits(pair: int, generator: np.random.Generator) -> Traits:
    """Traits of an individual of a pair's species; they do not depend on which of the two.

    Args:
        pair: its number.
        generator: seeded by the individual.
    """
    return Traits(
        edge_nm=500 + 100 * _fraction(pair * 0.618) + 6 * generator.standard_normal(),
        melanin=float(np.exp(0.10 * generator.standard_normal())),
        brightness=float(np.exp(0.05 * generator.standard_normal())),
        diffuse=(0.06 * float(generator.random()), 0.06 * float(generator.random())),
    )


def band_centres(bands: int = BANDS) -> np.ndarray:
    """(bands,) nm: the camera's own 408 (348.39 + 1.1332 k), or the centres of fewer, equal bins of its range."""
    if bands == BANDS:
        return FIRST_NM + STEP_NM * np.arange(BANDS)
    first, width = FIRST_NM - STEP_NM / 2, STEP_NM * BANDS / bands
    return first + width * (np.arange(bands) + 0.5)


def ground(wavelength_nm: np.ndarray, traits: Traits, pair: int) -> np.ndarray:
    """Reflectance of the wing's ground, (bands,) in 0..1: an ommochrome-like edge and a structural blue peak."""
    edge = 1 / (1 + np.exp(-(wavelength_nm - traits.edge_nm) / 22))
    blue = 0.12 * _fraction(pair * 0.37 + 0.2) * np.exp(-0.5 * ((wavelength_nm - 470) / 28) ** 2)
    return 0.11 + (0.38 + 0.10 * _fraction(pair * 0.43)) * edge + blue


def pattern(wavelength_nm: np.ndarray, traits: Traits) -> np.ndarray:
    """Reflectance of the pattern's melanin, (bands,) in 0..1: dark, rising evenly to the red."""
    absorbed = np.exp(-traits.melanin * (2.3 - 1.3 * (wavelength_nm - FIRST_NM) / 461))
    return 0.02 + 0.75 * absorbed


def bump(wavelength_nm: np.ndarray, window_nm: tuple[float, float]) -> np.ndarray:
    """A structural peak of height 1, (bands,): a raised cosine, exactly 0 outside its window.

    A Gaussian would have tails; these would leak a little of what is planted into the bands outside.
    """
    low, high = window_nm
    phase = np.clip((np.asarray(wavelength_nm, float) - low) / (high - low), 0, 1)
    return 0.5 - 0.5 * np.cos(2 * np.pi * phase)


def camera_response(wavelength_nm: np.ndarray) -> np.ndarray:
    """Share of the light that the camera turns into signal, (bands,) in 0..1; low at both ends of a silicon sensor."""
    rise = 1 / (1 + np.exp(-(wavelength_nm - 375) / 30))
    fall = 1 / (1 + np.exp((wavelength_nm - 830) / 45))
    return rise * fall


def lamp(wavelength_nm: np.ndarray) -> np.ndarray:
    """Spectrum of the halogen lamp, (bands,), 1 at its maximum in the range: Planck's law at 3100 K."""
    metres = wavelength_nm * 1e-9
    radiance = metres**-5.0 / np.expm1(0.0143877688 / (metres * 3100))
    longest = (FIRST_NM + STEP_NM * (BANDS - 1)) * 1e-9
    return radiance / (longest**-5.0 / np.expm1(0.0143877688 / (longest * 3100)))


def session_light(wavelength_nm: np.ndarray, gain: float, tilt: float) -> np.ndarray:
    """What a session multiplies reflectance by, (bands,): a gain and a straight line over wavelength."""
    middle = FIRST_NM + STEP_NM * (BANDS - 1) / 2
    return gain * (1 + tilt * (wavelength_nm - middle) / (middle - FIRST_NM))


def _fraction(value: float) -> float:
    return value % 1.0
