"""A simulated scene with its truth: labels, endmembers, abundances. Physically based, seeded, no measurement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for
from hsipipe.scenes.enmap import enmap_bands
from hsipipe.scenes.scene import Item
from hsipipe.scenes.simulation.landscape import Landscape, lay_out
from hsipipe.scenes.simulation.materials import MATERIALS, SUN_ZENITH_DEG, material_spectra
from hsipipe.scenes.simulation.optics import GRID_NM, convolve_to_bands, sky_share, water_vapour_depth
from hsipipe.scenes.simulation.texture import fractal_field, relative_sunlight

SCALE = 1e-4  # reflectance per digital number, as in EnMAP's Level-2A product
VARIANTS = 8
SLOPE_DEG = 4.0
SUN_AZIMUTH_DEG = 150.0
VAPOUR_ERROR = 0.015  # what the correction leaves at 940 nm: standard deviation of optical depth
HAZE_ERROR = 0.0015  # what it leaves of aerosol at 550 nm: standard deviation of reflectance
_FARMED = ("crop", "meadow", "ripe cereal", "dry soil", "wet soil")
# Relative spread of brightness within a material, from structure too small for the spectra to tell.
_BRIGHTNESS = {
    "clear water": 0.03,
    "turbid water": 0.04,
    "deciduous forest": 0.07,
    "conifer forest": 0.09,
} | dict.fromkeys(("red roof tile", "metal roof", "asphalt", "concrete"), 0.10)


def simulate_scene(
    *,
    rows: int = 128,
    cols: int = 128,
    seed: int = 0,
    items: int = 1,
    wavelength_nm: Sequence[float] | np.ndarray | None = None,
    fwhm_nm: Sequence[float] | np.ndarray | None = None,
    psf_fwhm_pixels: float = 0.0,
    snr_db: float | None = None,
) -> Iterator[Item]:
    """Simulate surface-reflectance images of farmland, woods, water and a town, with their truth.

    A pixel's spectrum is the linear mixture of its materials by area; each material's own spectrum varies from field to
    field and within it (a convex combination of variants times a brightness), and the slope of the ground dims or
    brightens the direct sunlight. What lies where is fractal with sharp borders (fields, roads, water), mixed by area
    within a pixel, and soft ones (woods, towns). The items share their materials and differ in their land.

    Args:
        rows, cols: size of each image in pixels of 30 m.
        seed: determines everything; the same on every machine up to rounding.
        items: how many images.
        wavelength_nm: (bands,) band centres within 400..2500 nm; default: HySpecNet-11k's 202 bands of EnMAP.
        fwhm_nm: (bands,) widths of the Gaussian responses; default: EnMAP's own, or the spacing of `wavelength_nm`.
        psf_fwhm_pixels: width of a Gaussian point-spread function that blurs image and abundances; 0: none.
        snr_db: ratio of signal to white Gaussian noise in every band; None: no noise.

    Yields:
        Items whose cube is int16, reflectance x 10000 (`source["scale"]` = 1e-4), with labels (the dominant material,
        1..14, names in `class_names`), endmembers (14, bands) float32 in the cube's units (the mean of each material's
        variants), abundances (14, rows, cols) float32, >= 0, sum 1; `source["simulated"]` is True.

    Raises:
        UserError: a size below 8, no items, wavelengths outside 400..2500 nm, or the package `prosail` is missing.
    """
    for name, value, least in (("rows", rows, 8), ("cols", cols, 8), ("items", items, 1)):
        if value < least:
            raise UserError(f"a simulated scene needs {name} >= {least}", key=name, found=value)
    centres, widths = _bands(wavelength_nm, fwhm_nm)
    spectra = material_spectra(seed=seed, variants=VARIANTS)
    bands = convolve_to_bands(spectra.reshape(-1, len(GRID_NM)), centres, widths).reshape(len(MATERIALS), VARIANTS, -1)
    air = np.stack([sky_share(SUN_ZENITH_DEG), water_vapour_depth(), (GRID_NM / 550) ** -1.3])
    air = convolve_to_bands(air, centres, widths)
    settings = {"seed": seed, "psf_fwhm_pixels": psf_fwhm_pixels, "snr_db": snr_db, "sun_zenith_deg": SUN_ZENITH_DEG}
    return (_simulate_item(index, rows, cols, bands, air, centres, widths, settings) for index in range(items))


def _bands(wavelength_nm: Any, fwhm_nm: Any) -> tuple[np.ndarray, np.ndarray]:
    if wavelength_nm is None:
        enmap = enmap_bands()
        return enmap.wavelength_nm[enmap.hyspecnet], enmap.fwhm_nm[enmap.hyspecnet]
    centres = np.asarray(wavelength_nm, float).ravel()
    outside = centres[~((centres >= GRID_NM[0]) & (centres <= GRID_NM[-1]))]
    if len(centres) == 0 or len(outside):
        raise UserError(
            "the simulated materials are known from 400 to 2500 nm",
            key="wavelength_nm",
            found=f"{outside[0]:g} nm" if len(outside) else "no band",
            remedy="give band centres in nm within that range",
        )
    if fwhm_nm is not None:
        widths = np.asarray(fwhm_nm, float).ravel()
    elif len(centres) == 1:
        widths = np.array([10.0])
    else:
        # Neighbours in wavelength, not in order: sensors' bands need not be sorted.
        order = np.argsort(centres)
        widths = np.empty_like(centres)
        widths[order] = np.clip(np.gradient(centres[order]), 2.0, 100.0)
    if len(widths) != len(centres) or (widths <= 0).any():
        raise UserError(
            "one positive width per band is needed", key="fwhm_nm", found=f"{len(widths)} for {len(centres)}"
        )
    return centres, widths


def _simulate_item(
    index: int,
    rows: int,
    cols: int,
    spectra: np.ndarray,
    air: np.ndarray,
    centres: np.ndarray,
    widths: np.ndarray,
    settings: dict[str, Any],
) -> Item:
    seed = settings["seed"]
    land = lay_out(rows, cols, generator_for("simulate", seed, index, "land"))
    weights = _variant_weights(land, generator_for("simulate", seed, index, "variants"))
    flat = spectra.reshape(-1, len(centres)).T.astype(np.float32) @ weights.reshape(-1, rows * cols)
    reflectance = _observe(flat.reshape(-1, rows, cols), land, air, generator_for("simulate", seed, index, "air"))
    abundances = land.abundances
    if psf_fwhm := settings["psf_fwhm_pixels"]:
        reflectance, abundances = _blur(reflectance, psf_fwhm), _blur(abundances, psf_fwhm)
        abundances /= abundances.sum(0)
    values = np.divide(reflectance, SCALE, out=reflectance)
    if settings["snr_db"] is not None:
        deviation = np.sqrt(np.mean(values**2, axis=(1, 2))) * 10 ** (-settings["snr_db"] / 20)
        noise = generator_for("simulate", seed, index, "noise").standard_normal(values.shape, dtype=np.float32)
        values += deviation[:, None, None] * noise
    return Item(
        cube=np.clip(np.rint(values, out=values), -32767, 32767, out=values).astype(np.int16),
        name=f"simulated-{index:03d}",
        wavelength_nm=centres,
        fwhm_nm=widths,
        labels=abundances.argmax(0).astype(np.int32) + 1,
        abundances=abundances,
        endmembers=(spectra.mean(1) / SCALE).astype(np.float32),
        class_names=list(MATERIALS),
        source={"simulated": True, "format": "simulated", "scale": SCALE, "dtype": "int16", "item": index, **settings},
    )


def _observe(flat: np.ndarray, land: Landscape, air: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """What a Level-2A product shows of the reflectance of level ground, (bands, rows, cols), which it changes.

    The slope of the ground dims or brightens the direct sunlight but not the sky's, and the atmospheric correction
    leaves errors: a few per cent of the water-vapour column, a few thousandths of reflectance of aerosol.
    """
    shape = land.elevation.shape
    sunlight = relative_sunlight(
        land.elevation, slope_deg=SLOPE_DEG, sun_zenith_deg=SUN_ZENITH_DEG, sun_azimuth_deg=SUN_AZIMUTH_DEG
    )
    water = sum(land.abundances[MATERIALS.index(name)] for name in ("clear water", "turbid water"))
    excess = ((sunlight - 1) * (1 - water)).astype(np.float32)  # water is level
    column_error = VAPOUR_ERROR * fractal_field(shape, generator, exponent=3.0, outer_scale=40)
    haze_error = HAZE_ERROR * fractal_field(shape, generator, exponent=3.2, outer_scale=60)
    for band, (sky, vapour, haze) in enumerate(air.T.astype(np.float32)):
        flat[band] *= (1 + (1 - sky) * excess) * np.exp(-vapour * column_error)
        flat[band] += haze * haze_error
    return flat


def _variant_weights(land: Landscape, generator: np.random.Generator) -> np.ndarray:
    """How much of each variant of each material every pixel holds, times brightness: (materials, variants, rows, cols).

    Over the variants they sum to the abundance times a brightness about 1.
    """
    shape = land.parcel.shape
    weights = np.empty((len(MATERIALS), VARIANTS, *shape), np.float32)
    for material, name in enumerate(MATERIALS):
        logits = np.stack([fractal_field(shape, generator, exponent=2.4, outer_scale=18) for _ in range(VARIANTS)])
        if name in _FARMED:  # one field is one crop, sown on one day
            logits = 0.9 * logits + 3.0 * generator.standard_normal((VARIANTS, land.parcel.max() + 1))[:, land.parcel]
        else:
            logits *= 2.5
        powers = np.exp(logits)
        texture = 0.7 * fractal_field(shape, generator, exponent=2.0, outer_scale=12)
        texture = texture + 0.5 * generator.standard_normal(shape, dtype=np.float32)
        brightness = np.exp(_BRIGHTNESS.get(name, 0.05) * texture)
        weights[material] = powers / powers.sum(0) * brightness * land.abundances[material]
    return weights


def _blur(image: np.ndarray, fwhm_pixels: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    sigma = fwhm_pixels / 2.3548
    return gaussian_filter(image, (0, sigma, sigma), mode="nearest")
