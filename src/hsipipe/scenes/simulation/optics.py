"""Optical models that the simulated materials share: Kubelka-Munk, absorption bands, metals, water, sky light."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GRID_NM = np.arange(400.0, 2501.0)  # (2101,) the grid of PROSPECT and SAIL, 1 nm
ELECTRONVOLT_NM = 1239.841984  # photon energy in eV times wavelength in nm

# Aluminium: plasma energy (eV) and, per oscillator, strength, damping (eV), resonance (eV). Rakic, Djurisic, Elazar
# and Majewski, "Optical properties of metallic films for vertical-cavity optoelectronic devices", Appl. Opt. 37 (1998)
# 5271, table 2 (Lorentz-Drude model).
_ALUMINIUM_PLASMA_EV = 14.98
_ALUMINIUM_OSCILLATORS = (
    (0.523, 0.047, 0.0),
    (0.227, 0.333, 0.162),
    (0.050, 0.312, 1.544),
    (0.166, 1.351, 1.808),
    (0.030, 3.382, 3.473),
)


def kubelka_munk(absorption_over_scattering: np.ndarray) -> np.ndarray:
    """Reflectance (0..1) of an opaque scattering layer from the ratio K/S of absorption to scattering (>= 0).

    Kubelka and Munk, "Ein Beitrag zur Optik der Farbanstriche", Z. techn. Physik 12 (1931) 593.

    >>> round(float(kubelka_munk(np.array(0.5))), 4)
    0.382
    """
    ratio = np.asarray(absorption_over_scattering, float)
    return 1 + ratio - np.sqrt(ratio * (ratio + 2))


def remission(reflectance: np.ndarray) -> np.ndarray:
    """K/S from reflectance: the inverse of `kubelka_munk`, (1 - R)^2 / 2R."""
    reflectance = np.clip(reflectance, 1e-4, 1.0)
    return (1 - reflectance) ** 2 / (2 * reflectance)


def absorption_bands(bands: Sequence[tuple[float, float, float]]) -> np.ndarray:
    """Sum of absorption bands, each (centre nm, full width at half maximum nm, strength), on the grid: (2101,).

    Bands are Gaussian in photon energy, as electronic and vibrational transitions are: Sunshine, Pieters and Pratt,
    "Deconvolution of mineral absorption bands: an improved approach", J. Geophys. Res. 95 (1990) 6955.
    """
    energy = ELECTRONVOLT_NM / GRID_NM
    total = np.zeros_like(GRID_NM)
    for centre_nm, fwhm_nm, strength in bands:
        centre = ELECTRONVOLT_NM / centre_nm
        sigma = ELECTRONVOLT_NM * fwhm_nm / centre_nm**2 / 2.3548
        total += strength * np.exp(-((energy - centre) ** 2) / (2 * sigma**2))
    return total


def aluminium_reflectance() -> np.ndarray:
    """Fresnel reflectance of polished aluminium at normal incidence on the grid, (2101,), 0.86..0.98.

    The interband transition shows as a dip near 825 nm. Source of the permittivity: Rakic et al. (1998).
    """
    energy = ELECTRONVOLT_NM / GRID_NM
    permittivity = np.ones_like(energy, complex)
    for strength, damping, resonance in _ALUMINIUM_OSCILLATORS:
        permittivity += strength * _ALUMINIUM_PLASMA_EV**2 / (resonance**2 - energy**2 - 1j * energy * damping)
    index = np.sqrt(permittivity)
    return np.abs((index - 1) / (index + 1)) ** 2


def water_reflectance(
    pure_absorption_per_m: np.ndarray,
    *,
    chlorophyll_mg_m3: float,
    suspended_g_m3: float,
    dissolved_per_m: float,
    glint: float,
) -> np.ndarray:
    """Reflectance just above deep water on the grid, (2101,), 0..0.2.

    Absorption: pure water; phytoplankton 0.06 C^0.65 /m at 440 nm (Prieur and Sathyendranath, Limnol. Oceanogr. 26
    (1981) 671) with pigment bands at 440 and 675 nm; coloured dissolved matter, exponential slope 0.014 /nm (Bricaud,
    Morel and Prieur, Limnol. Oceanogr. 26 (1981) 43); suspended minerals 0.031 m2/g at 443 nm, slope 0.0123 /nm
    (Babin et al., J. Geophys. Res. 108 (2003) 3211). Back-scattering: water 0.0006 (500/nm)^4.3 /m (Morel 1974);
    particles 0.0086 m2/g (550/nm)^0.7. Reflectance from u = b/(a+b): Lee et al., Appl. Opt. 38 (1999) 3831.

    Args:
        pure_absorption_per_m: (2101,) absorption coefficient of pure water, 1/m.
        chlorophyll_mg_m3: chlorophyll-a concentration.
        suspended_g_m3: concentration of suspended minerals.
        dissolved_per_m: absorption of dissolved organic matter at 440 nm.
        glint: share of sky and sun light that the surface reflects to the sensor, added to every band.
    """
    pigment = absorption_bands([(440, 70, 1.0), (480, 70, 0.55), (630, 50, 0.18), (675, 27, 0.5)])
    pigment /= pigment[np.searchsorted(GRID_NM, 440)]
    absorption = (
        pure_absorption_per_m
        + 0.06 * chlorophyll_mg_m3**0.65 * pigment
        + dissolved_per_m * np.exp(-0.014 * (GRID_NM - 440))
        + 0.031 * suspended_g_m3 * np.exp(-0.0123 * (GRID_NM - 443))
    )
    particles = 0.0086 * suspended_g_m3 + 0.003 * chlorophyll_mg_m3**0.62
    backscatter = 0.0006 * (500 / GRID_NM) ** 4.3 + particles * (550 / GRID_NM) ** 0.7
    share = backscatter / (absorption + backscatter)
    below = (0.0895 + 0.1247 * share) * share
    return np.pi * 0.52 * below / (1 - 1.7 * below) + glint


def sky_share(sun_zenith_deg: float) -> np.ndarray:
    """Share of sky light in the irradiance of a level surface under a clear sky, on the grid: (2101,), 0..1.

    Half of the light that molecules scatter out of the beam and 0.8 of what aerosol scatters reach the ground (Bird and
    Riordan, "Simple solar spectral model", J. Climate Appl. Meteorol. 25 (1986) 87); aerosol depth 0.1 at 550 nm.
    """
    air_mass = 1 / np.cos(np.deg2rad(sun_zenith_deg))
    molecules = 0.008735 * (GRID_NM / 1000) ** -4.08 * air_mass
    aerosol = 0.1 * (GRID_NM / 550) ** -1.3 * air_mass
    sky = 0.5 * -np.expm1(-molecules) + 0.8 * -np.expm1(-aerosol)
    return sky / (sky + np.exp(-molecules - aerosol))


def water_vapour_depth() -> np.ndarray:
    """Shape of the atmosphere's water-vapour absorption on the grid, (2101,), 1 at the centre of the 940 nm band.

    Band centres, widths and relative strengths approximate those in Gao and Goetz, "Column atmospheric water vapor and
    vegetation liquid water retrievals from airborne imaging spectrometer data", J. Geophys. Res. 95 (1990) 3549.
    """
    bands = [(720, 22, 0.12), (820, 26, 0.16), (940, 45, 1.0), (1133, 48, 1.2), (1382, 70, 4.0), (1876, 95, 5.0)]
    return absorption_bands(bands)


def convolve_to_bands(spectra: np.ndarray, wavelength_nm: np.ndarray, fwhm_nm: np.ndarray) -> np.ndarray:
    """Spectra on the grid, (N, 2101), as bands with Gaussian responses see them: (N, bands).

    Args:
        spectra: (N, 2101).
        wavelength_nm: (bands,) centres, within the grid's 400..2500 nm.
        fwhm_nm: (bands,) full widths at half maximum.
    """
    sigma = np.asarray(fwhm_nm, float)[:, None] / 2.3548
    response = np.exp(-0.5 * ((GRID_NM - np.asarray(wavelength_nm, float)[:, None]) / sigma) ** 2)
    response /= response.sum(1, keepdims=True)
    return spectra @ response.T
