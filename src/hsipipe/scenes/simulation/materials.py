"""The fourteen materials of the simulated scene, each with a few variants drawn around its physical parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for
from hsipipe.scenes.simulation.optics import (
    GRID_NM,
    absorption_bands,
    aluminium_reflectance,
    kubelka_munk,
    remission,
    sky_share,
    water_reflectance,
)

Between = Callable[[float, float], float]  # (low, high) -> a parameter's value between them
SUN_ZENITH_DEG = 38.0
_VIEW = {"tts": SUN_ZENITH_DEG, "tto": 6.0, "psi": 90.0}

# Absorption bands of minerals as (centre nm, width nm, strength relative to the mineral's amount). Iron oxides:
# Scheinost et al., Clays Clay Miner. 46 (1998) 528; clay, water, carbonate: Clark et al., J. Geophys. Res. 95 (1990)
# 12653.
_HEMATITE = [(405, 170, 1.6), (535, 105, 1.0), (650, 90, 0.06), (870, 190, 0.07)]
_GOETHITE = [(380, 160, 1.5), (480, 150, 0.8), (650, 140, 0.10), (930, 230, 0.12)]
_HYDROXYL_WATER = [(1412, 45, 0.5), (1925, 85, 1.0)]
_CLAY = [(2205, 45, 1.0)]
_CARBONATE = [(2338, 55, 1.0), (2535, 110, 1.3)]
_HYDROCARBON = [(1725, 40, 0.6), (2310, 55, 1.0)]

# PROSAIL's parameters as (low, high): leaf structure, chlorophyll and carotenoids (ug/cm2), brown pigment, equivalent
# water and dry matter (g/cm2), leaf area index, mean leaf angle (deg), hot spot, share of ground in mutual crown shade.
# Ranges after Jacquemoud et al., "PROSPECT + SAIL models: a review", Remote Sens. Environ. 113 (2009) S56, table 2.
_CANOPIES: dict[str, dict[str, tuple[float, float]]] = {
    "crop": {
        "n": (1.3, 1.6), "cab": (35, 62), "car": (8, 13), "cbrown": (0, 0.05), "cw": (0.013, 0.026),
        "cm": (0.004, 0.007), "lai": (2.4, 5.5), "lidfa": (48, 65), "hspot": (0.05, 0.15), "shade": (0.02, 0.08),
    },
    "meadow": {
        "n": (1.4, 1.8), "cab": (20, 40), "car": (6, 11), "cbrown": (0.1, 0.4), "cw": (0.008, 0.017),
        "cm": (0.004, 0.008), "lai": (1.3, 3.2), "lidfa": (58, 72), "hspot": (0.02, 0.08), "shade": (0.02, 0.1),
    },
    "deciduous forest": {
        "n": (1.6, 2.1), "cab": (34, 55), "car": (8, 12), "cbrown": (0, 0.15), "cw": (0.008, 0.014),
        "cm": (0.006, 0.010), "lai": (3.8, 6.0), "lidfa": (30, 48), "hspot": (0.1, 0.3), "shade": (0.18, 0.34),
    },
    "conifer forest": {
        "n": (2.0, 2.7), "cab": (38, 60), "car": (9, 14), "cbrown": (0.15, 0.5), "cw": (0.016, 0.030),
        "cm": (0.012, 0.022), "lai": (2.8, 5.0), "lidfa": (52, 64), "hspot": (0.15, 0.4), "shade": (0.42, 0.58),
    },
    "ripe cereal": {
        "n": (1.9, 2.5), "cab": (0.5, 9), "car": (2, 7), "cbrown": (0.5, 1.4), "cw": (0.0015, 0.005),
        "cm": (0.005, 0.010), "lai": (1.2, 3.2), "lidfa": (55, 70), "hspot": (0.03, 0.1), "shade": (0.02, 0.1),
    },
}  # fmt: skip

MATERIALS = (
    *_CANOPIES,
    "dry soil",
    "wet soil",
    "clear water",
    "turbid water",
    "red roof tile",
    "metal roof",
    "asphalt",
    "concrete",
    "sand",
)


def material_spectra(*, seed: int, variants: int) -> np.ndarray:
    """Reflectance of every material's variants on the grid 400..2500 nm: (materials, variants, 2101), 0..1.

    Canopies and soils come from PROSPECT-D and 4SAIL with the standard soils of the package `prosail` (Feret et al.,
    Remote Sens. Environ. 193 (2017) 204; Verhoef et al., IEEE Trans. Geosci. Remote Sens. 45 (2007) 1808). Roofs,
    asphalt, concrete and sand are opaque layers after Kubelka and Munk whose absorption is that of their minerals;
    the levels follow Herold, Roberts et al., IEEE Trans. Geosci. Remote Sens. 42 (2004) 1907. Parameters are drawn
    within their ranges by Latin hypercube sampling, so that a handful of variants spans each range.

    Raises:
        UserError: the package `prosail` is not installed.
    """
    prosail = _prosail()
    models: dict[str, Callable[[Between], np.ndarray]] = {}
    for name, ranges in _CANOPIES.items():
        models[name] = partial(_canopy, prosail, ranges)
    models |= {
        "dry soil": partial(_dry_soil, prosail),
        "wet soil": partial(_wet_soil, prosail),
        "clear water": partial(_clear_water, prosail),
        "turbid water": partial(_turbid_water, prosail),
        "red roof tile": _red_roof_tile,
        "metal roof": _metal_roof,
        "asphalt": _asphalt,
        "concrete": _concrete,
        "sand": _sand,
    }
    spectra = np.empty((len(MATERIALS), variants, len(GRID_NM)))
    for index, name in enumerate(MATERIALS):
        sampler = _LatinHypercube(variants, generator_for("simulate", seed, "material", name))
        for variant in range(variants):
            spectra[index, variant] = models[name](sampler.of_variant(variant))
    return np.clip(spectra, 0, 1)


def _prosail() -> Any:
    try:
        import prosail
    except ImportError as error:
        raise UserError(
            "the simulated scene needs the package `prosail`", remedy="pip install 'hsipipe[simulate]'"
        ) from error
    return prosail


class _LatinHypercube:
    """Uniform draws whose variants fall into different strata of every parameter's range (McKay et al. 1979)."""

    def __init__(self, variants: int, generator: np.random.Generator) -> None:
        self._variants = variants
        self._generator = generator
        self._strata: list[np.ndarray] = []

    def of_variant(self, variant: int) -> Callable[[float, float], float]:
        """A function (low, high) -> value; its n-th call takes the n-th parameter of this variant."""
        calls = iter(range(10**6))

        def between(low: float, high: float) -> float:
            parameter = next(calls)
            while len(self._strata) <= parameter:
                order = self._generator.permutation(self._variants)
                self._strata.append((order + self._generator.random(self._variants)) / self._variants)
            return low + (high - low) * float(self._strata[parameter][variant])

        return between


def _canopy(prosail: Any, ranges: dict[str, tuple[float, float]], between: Between) -> np.ndarray:
    values = {name: between(*limits) for name, limits in ranges.items()}
    shade = values.pop("shade")
    sunlit = prosail.run_prosail(
        **values, **_VIEW, prospect_version="D", rsoil=between(0.7, 1.0), psoil=between(0.2, 0.9)
    )
    # Crowns shade each other; what lies in shade is lit by the sky alone (Li and Strahler, IEEE TGRS 23 (1985) 705).
    return sunlit * (1 - shade + shade * sky_share(SUN_ZENITH_DEG))


def _soil(
    prosail: Any, between: Between, *, dryness: tuple[float, float], brightness: tuple[float, float]
) -> np.ndarray:
    soils = prosail.spectral_lib.soil
    share = between(*dryness)
    mixture = between(*brightness) * (share * soils.rsoil1 + (1 - share) * soils.rsoil2)
    # Soils differ in iron oxide, clay and water besides brightness: absorption is added in Kubelka-Munk's K/S.
    added = (
        between(0.0, 0.25) * absorption_bands(_GOETHITE)
        + between(0.02, 0.12) * absorption_bands(_CLAY)
        + between(0.02, 0.12) * absorption_bands(_HYDROXYL_WATER)
    )
    return kubelka_munk(remission(mixture) * (1 + added) + 0.15 * added)


def _dry_soil(prosail: Any, between: Between) -> np.ndarray:
    return _soil(prosail, between, dryness=(0.75, 1.0), brightness=(0.75, 1.1))


def _wet_soil(prosail: Any, between: Between) -> np.ndarray:
    return _soil(prosail, between, dryness=(0.0, 0.3), brightness=(0.7, 1.1))


def _water(prosail: Any, **concentrations: float) -> np.ndarray:
    # PROSPECT's absorption of water is per cm of path.
    return water_reflectance(100 * prosail.spectral_lib.prospectd.kw, **concentrations)


def _clear_water(prosail: Any, between: Between) -> np.ndarray:
    return _water(
        prosail,
        chlorophyll_mg_m3=between(0.8, 4),
        suspended_g_m3=between(0.4, 2),
        dissolved_per_m=between(0.1, 0.4),
        glint=between(0.001, 0.006),
    )


def _turbid_water(prosail: Any, between: Between) -> np.ndarray:
    return _water(
        prosail,
        chlorophyll_mg_m3=between(8, 30),
        suspended_g_m3=between(8, 30),
        dissolved_per_m=between(0.4, 1.0),
        glint=between(0.002, 0.008),
    )


def _red_roof_tile(between: Between) -> np.ndarray:
    ratio = between(0.4, 0.9) * (GRID_NM / 1600) ** -0.25
    ratio += between(1.6, 3.2) * absorption_bands(_HEMATITE) + between(0.02, 0.08) * absorption_bands(_HYDROXYL_WATER)
    return kubelka_munk(ratio)


def _metal_roof(between: Between) -> np.ndarray:
    # Weathered sheet: the metal's reflectance, of which roughness sends a part to the sensor, under a film of dust.
    dust = kubelka_munk(0.7 + between(0.2, 0.8) * absorption_bands(_GOETHITE))
    cover = between(0.05, 0.25)
    return (1 - cover) * between(0.35, 0.65) * aluminium_reflectance() + cover * dust


def _asphalt(between: Between) -> np.ndarray:
    bitumen = 0.055 + 0.01 * GRID_NM / 1000
    aggregate = kubelka_munk(
        between(0.8, 1.6) * (GRID_NM / 1000) ** -0.35
        + between(0.3, 0.9) * absorption_bands(_GOETHITE)
        + 0.06 * absorption_bands(_CARBONATE)
    )
    bare = between(0.1, 0.45)  # age: the traffic lays the stones bare
    fresh = bitumen * np.exp(-(1 - bare) * 0.12 * absorption_bands(_HYDROCARBON))
    return (1 - bare) * fresh + bare * aggregate


def _concrete(between: Between) -> np.ndarray:
    ratio = between(0.5, 1.0) * (GRID_NM / 1000) ** -0.4
    ratio += (
        between(0.2, 0.6) * absorption_bands(_GOETHITE)
        + between(0.06, 0.2) * absorption_bands(_HYDROXYL_WATER)
        + between(0.06, 0.2) * absorption_bands(_CARBONATE)
    )
    return kubelka_munk(ratio)


def _sand(between: Between) -> np.ndarray:
    ratio = between(0.22, 0.42) + between(0.5, 1.3) * absorption_bands(_GOETHITE)
    ratio += (
        between(0.05, 0.25) * absorption_bands(_HYDROXYL_WATER)
        + between(0.01, 0.06) * absorption_bands(_CLAY)
        + between(0.0, 0.08) * absorption_bands(_CARBONATE)
    )
    return kubelka_munk(ratio)
