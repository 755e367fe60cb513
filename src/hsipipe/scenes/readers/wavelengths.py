"""Band centres and widths from whatever the file calls them, in nanometres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError

# Array names under which MATLAB, NumPy and HDF5 files keep band centres and widths (compared in lower case).
CENTRE_KEYS = ("wavelength", "wavelengths", "wavelength_nm", "wavelengths_nm", "wl", "lambda", "lambdas")
CENTRE_KEYS_LOOSE = ("band_centers", "band_centres", "bands", "band", "wave", "waves", "centers", "wvl")
WIDTH_KEYS = ("fwhm", "fwhm_nm", "bandwidth", "bandwidths")
_MICROMETRES = ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres")
_NANOMETRES = ("nm", "nanometer", "nanometers", "nanometre", "nanometres")


def to_nanometres(
    values: Iterable[float], units: str | None = None, *, file: str | Path | None = None, centres_nm: bool | None = None
) -> np.ndarray:
    """Band centres (or widths) in nm.

    Args:
        values: numbers, one per band.
        units: as the file says; unknown or None: values below 100 throughout are micrometres.
        centres_nm: for widths without units, whether the centres beside them were in nm.

    Raises:
        UserError: units that are not lengths (wavenumbers, frequencies, band indices).
    """
    array = np.asarray(list(values) if not isinstance(values, np.ndarray) else values, np.float64).ravel()
    name = (units or "").strip().lower()
    if name in _NANOMETRES:
        return array
    if name in _MICROMETRES:
        return array * 1000
    if name in ("m", "meter", "meters", "metre", "metres"):
        return array * 1e9
    if name in ("", "unknown", "none", "unitless"):
        if centres_nm is not None:
            return array if centres_nm else array * 1000
        return array if in_nanometres(array) else array * 1000
    raise UserError(
        "wavelength units are not understood", file=file, key="wavelength units", found=units, remedy="use nm or um"
    )


def in_nanometres(values: np.ndarray) -> bool:
    """Whether band centres without a unit are nm; no sensor's centres lie below 100 nm or above 100 um."""
    finite = values[np.isfinite(values)]
    return not len(finite) or bool(finite.max() >= 100)


def check_count(values: np.ndarray | None, bands: int, *, file: str | Path, key: str) -> None:
    """Refuse a list of wavelengths whose length is not the band count.

    Raises:
        UserError: naming both numbers.
    """
    if values is not None and len(values) != bands:
        raise UserError(
            "wavelengths do not match the bands",
            file=file,
            key=key,
            found=f"{len(values)} values for {bands} bands",
            remedy="correct or remove the list",
        )


def beside_cube(
    arrays: Mapping[str, np.ndarray], bands: int, *, other_bands: Iterable[int] = (), file: str | Path
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Centres and widths (nm) among the small arrays that stand beside a cube in the same file.

    Args:
        arrays: candidate arrays by key.
        bands: of the cube; a list of another length is an error under an unmistakable name, unless it fits one of
            `other_bands` (another cube of the file); under a loose name it is passed over.

    Returns:
        (bands,) float64 or None, each.
    """
    centres = widths = None
    lower = {key.lower().rsplit("/", 1)[-1]: key for key in arrays}
    for name in (*CENTRE_KEYS, *CENTRE_KEYS_LOOSE):
        if name not in lower or centres is not None:
            continue
        values = arrays[lower[name]]
        if values.dtype.kind not in "iuf" or values.size < 2 or max(values.shape) != values.size or _is_index(values):
            continue
        if values.size == bands:
            centres = to_nanometres(values, "nm" if name.endswith("_nm") else None)
        elif name in CENTRE_KEYS and values.size not in set(other_bands):
            check_count(values.ravel(), bands, file=file, key=lower[name])
    for name in WIDTH_KEYS:
        if name in lower and widths is None and arrays[lower[name]].size == bands and bands > 1:
            raw = arrays[lower[name]]
            widths = to_nanometres(raw, None, centres_nm=bool(np.median(raw) >= 0.5))
    return centres, widths


def _is_index(values: np.ndarray) -> bool:
    """Whether numbers are band indices, not lengths: whole numbers that start below 100 (or 0)."""
    flat = values.ravel().astype(float)
    return bool((flat == np.round(flat)).all() and flat.min() < 100)
