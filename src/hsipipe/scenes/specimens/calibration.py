"""From counts to reflectance, and whether the wavelengths are those of one well-behaved spectrometer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.readers import open_image
from hsipipe.scenes.readers.envi_header import EnviHeader

SPACING_TOLERANCE = 0.25  # of the local spacing; dispersion changes it slowly, a lost band doubles it
SAME_NM = 0.05


def check_wavelengths(
    wavelength_nm: np.ndarray | None,
    *,
    file: Path,
    reference: np.ndarray | None = None,
    reference_file: Path | None = None,
) -> np.ndarray:
    """The band centres of a specimen, if they can be those of a line spectrometer.

    They must rise, lie in 200..20000 nm, and their spacing must not jump: each step is compared with the median of the
    five about it, which lets the slow change through that dispersion brings.

    Args:
        wavelength_nm: (bands,) or None.
        file: named in errors.
        reference: (bands,) of the first specimen of the folder, or None; equal within 0.05 nm.
        reference_file: named in errors.

    Returns:
        (bands,) float64, nm.

    Raises:
        UserError: none given, not rising, out of range, uneven, or other than the reference.
    """
    remedy = "correct `wavelength` in the header"
    if wavelength_nm is None:
        raise UserError(
            "has no wavelengths", file=file, key="wavelength", remedy="add `wavelength = {...}` in nm to the header"
        )
    centres = np.asarray(wavelength_nm, np.float64)
    steps = np.diff(centres)
    if not np.isfinite(centres).all() or centres.min() < 200 or centres.max() > 20000:
        raise UserError(
            "has wavelengths outside 200 to 20000 nm",
            file=file,
            key="wavelength",
            found=f"{centres.min():g} to {centres.max():g} nm",
            remedy=remedy,
        )
    if (steps <= 0).any():
        at = int(np.flatnonzero(steps <= 0)[0])
        raise UserError(
            "has wavelengths that do not rise",
            file=file,
            key="wavelength",
            found=f"{centres[at]:g} nm, then {centres[at + 1]:g} nm at band {at + 1}",
            remedy=remedy,
        )
    if len(steps) >= 5:
        around = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(steps, 2, mode="reflect"), 5), axis=1)
        jump = np.abs(steps / around - 1)
        at = int(jump.argmax())
        if jump[at] > SPACING_TOLERANCE:
            raise UserError(
                "has wavelengths with a jump in their spacing",
                file=file,
                key="wavelength",
                found=f"{centres[at]:g} to {centres[at + 1]:g} nm where the bands about are {around[at]:.4g} nm apart",
                remedy=remedy,
            )
    if reference is not None:
        differ = len(reference) != len(centres) or not np.allclose(centres, reference, rtol=0, atol=SAME_NM)
        if differ:
            raise UserError(
                "has other wavelengths than the first specimen",
                file=file,
                key="wavelength",
                found=f"{_range(centres)}; {_range(reference)} in {reference_file or 'the first'}",
                remedy="specimens of one scene share their bands",
            )
    return centres


def _range(wavelength_nm: np.ndarray) -> str:
    return f"{len(wavelength_nm)} bands, {wavelength_nm[0]:.6g} to {wavelength_nm[-1]:.6g} nm"


@dataclass(frozen=True)
class Scaling:
    """How counts become reflectance by what a header says: reflectance = counts x gain + offset.

    Attributes:
        how: the header's field, or "none".
        gain, offset: numbers, or (bands,) arrays.
    """

    how: str
    gain: float | np.ndarray
    offset: float | np.ndarray

    @property
    def plain(self) -> bool:
        """One number for all bands and no offset, so that counts can stay as they are."""
        return np.ndim(self.gain) == 0 and np.ndim(self.offset) == 0 and float(self.offset) == 0


def scaling_of(header: EnviHeader, *, gain: bool = True) -> Scaling:
    """What the header says of the scale: `reflectance scale factor`, or `data gain values` (with `data offset values`),
    or the single `gain` that some line scanners write; the last two multiply.

    Args:
        header: of the specimen.
        gain: whether `gain` is applied; some writers mean the detector's amplification by it.

    Raises:
        UserError: something that is no number, or as many values as there are not bands.
    """
    factor = _values(header, "reflectance scale factor")
    if factor is not None and len(factor) == 1 and factor[0] != 0:
        return Scaling("reflectance scale factor", 1 / float(factor[0]), 0.0)
    gains, offsets = _values(header, "data gain values"), _values(header, "data offset values")
    if gains is not None or offsets is not None:
        return Scaling("data gain values", _one(gains, 1.0), _one(offsets, 0.0))
    single = _values(header, "gain") if gain else None
    if single is not None:
        return Scaling("gain", _one(single, 1.0), 0.0)
    return Scaling("none", 1.0, 0.0)


def _values(header: EnviHeader, key: str) -> np.ndarray | None:
    value = header.fields.get(key)
    if value is None:
        return None
    parts = value if isinstance(value, list) else str(value).strip("{} ").split(",")
    try:
        numbers = np.array([float(part) for part in parts])
    except ValueError as error:
        raise UserError("holds something that is no number", file=header.path, key=key, found=value) from error
    if len(numbers) not in (1, header.shape[0]) or not np.isfinite(numbers).all():
        raise UserError(
            "needs one number, or one per band",
            file=header.path,
            key=key,
            found=f"{len(numbers)} for {header.shape[0]}",
        )
    return numbers


def _one(values: np.ndarray | None, default: float) -> float | np.ndarray:
    if values is None:
        return default
    return float(values[0]) if (values == values[0]).all() else values


@dataclass(frozen=True)
class Reference:
    """White and dark of one session.

    Attributes:
        white, dark: (bands, cols) float32, mean counts; cols is 1 where one spectrum serves all columns.
        files: that they come from.
    """

    white: np.ndarray
    dark: np.ndarray
    files: tuple[str, str]


def read_reference(white: Path, dark: Path, shape: tuple[int, int, int]) -> Reference:
    """Read the references of a session: means over their lines, column by column if they are as wide as the specimens.

    Args:
        white, dark: headers.
        shape: (bands, rows, cols) of a specimen.

    Raises:
        UserError: unreadable, or of another number of bands.
    """
    means = []
    for path in (white, dark):
        cube = open_image(path).load(None)
        if len(cube) != shape[0]:
            raise UserError(
                "is a reference of another number of bands", file=path, found=f"{len(cube)}, specimens have {shape[0]}"
            )
        mean = cube.mean(axis=1, dtype=np.float64)
        means.append((mean if cube.shape[2] == shape[2] else mean.mean(axis=1, keepdims=True)).astype(np.float32))
    return Reference(means[0], means[1], (white.name, dark.name))


def to_reflectance(
    counts: np.ndarray, reference: Reference, *, white_reflectance: float = 0.99
) -> tuple[np.ndarray, np.ndarray]:
    """Flat-field calibration: reflectance = white_reflectance x (counts - dark) / (white - dark).

    Args:
        counts: (bands, rows, cols), any real type.
        reference: of the same bands.
        white_reflectance: of the white panel, 0..1.

    Returns:
        (bands, rows, cols) float32, about 0..1, and (bands,) bool: bands in which the white is above the dark in most
        columns; elsewhere the values are 0.
    """
    span = reference.white - reference.dark
    usable = span > 0
    factor = np.where(usable, white_reflectance / np.where(usable, span, 1), 0).astype(np.float32)
    reflectance = counts.astype(np.float32)
    reflectance -= reference.dark[:, None, :]
    reflectance *= factor[:, None, :]
    return reflectance, usable.mean(axis=1) > 0.5
