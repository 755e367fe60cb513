"""ENVI headers: parsed by Spectral Python, checked and put into our terms here."""

from __future__ import annotations

import logging
import tempfile
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from math import cos, radians, sin
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.readers.wavelengths import check_count, in_nanometres, to_nanometres

log = logging.getLogger(__name__)

DATA_TYPES = {
    "1": "u1",
    "2": "i2",
    "3": "i4",
    "4": "f4",
    "5": "f8",
    "12": "u2",
    "13": "u4",
    "14": "i8",
    "15": "u8",
}
_COMPLEX = {"6": "complex64", "9": "complex128"}


@dataclass(frozen=True)
class EnviHeader:
    """An ENVI header in our terms; attributes as in `ImageFile`, `offset` in bytes, `fields` as text in lower case."""

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype
    interleave: str
    offset: int = 0
    compressed: bool = False
    wavelength_nm: np.ndarray | None = None
    fwhm_nm: np.ndarray | None = None
    nodata: float | None = None
    scale: float | None = None
    declared_bad: np.ndarray | None = None
    crs: str | None = None
    transform: tuple[float, ...] | None = None
    class_names: tuple[str, ...] = ()
    kind: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def read_envi_header(path: str | Path) -> EnviHeader:
    """Read and check an ENVI header; one that has not changed since the last call is not parsed again.

    Raises:
        UserError: not an ENVI header, a required field missing or not a number, an unknown or complex data type, an
            unknown interleave, or as many wavelengths as there are not bands.
    """
    status = Path(path).stat()
    return _read(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _read(path: str, _mtime_ns: int, _size: int) -> EnviHeader:
    file = Path(path)
    fields = _parse(file)
    bands, rows, cols = (_whole(fields, key, file) for key in ("bands", "lines", "samples"))
    if min(bands, rows, cols) < 1:
        raise UserError("is empty", file=file, found=f"bands {bands}, lines {rows}, samples {cols}")
    interleave = str(fields.get("interleave", "")).lower()
    if interleave not in ("bil", "bsq", "bip"):
        raise UserError(
            "is not an interleave",
            file=file,
            key="interleave",
            found=interleave or "none",
            remedy="use bil, bsq or bip",
        )
    if any(int(v) for v in _list(fields, "major frame offsets") + _list(fields, "minor frame offsets")):
        raise UserError("frame offsets are not supported", file=file, remedy="save the image without them")
    kind = str(fields.get("file type", "")).lower()
    count = cols if "spectral library" in kind else bands  # a library's bands are its samples
    wavelength_nm, fwhm_nm = _wavelengths(fields, count, file)
    good = _numbers(fields, "bbl", file)
    check_count(good, count, file=file, key="bbl")
    factor = _number(fields, "reflectance scale factor", file)
    gains = _numbers(fields, "data gain values", file)
    scale = 1 / factor if factor else None
    if scale is None and gains is not None and len(set(gains)) == 1 and gains[0] != 1:
        scale = float(gains[0])
    transform, crs = _georeference(fields, file)
    names = _list(fields, "class names")
    return EnviHeader(
        path=file,
        shape=(bands, rows, cols),
        dtype=_dtype(fields, file),
        interleave=interleave,
        offset=_whole(fields, "header offset", file, default=0),
        compressed=_whole(fields, "file compression", file, default=0) != 0,
        wavelength_nm=wavelength_nm,
        fwhm_nm=fwhm_nm,
        nodata=_number(fields, "data ignore value", file),
        scale=scale,
        declared_bad=None if good is None else good == 0,
        crs=crs,
        transform=transform,
        class_names=tuple(names[1:]),  # the first is that of label 0, "Unclassified"
        kind=kind,
        fields=fields,
    )


def is_envi_header(path: Path) -> bool:
    """Whether a file starts as an ENVI header does."""
    try:
        with open(path, "rb") as file:
            return file.read(16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"ENVI")
    except OSError:
        return False


def _parse(path: Path) -> dict[str, Any]:
    from spectral.io import envi

    if not is_envi_header(path):
        raise UserError("is not an ENVI header", file=path, remedy="its first line must read ENVI")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of keys in capitals, which are lowered here
            try:
                fields = envi.read_envi_header(str(path))
            except (UnicodeDecodeError, envi.FileNotAnEnviHeader, envi.EnviHeaderParsingError):
                # Headers with a byte order mark or written in Latin-1 (the micro sign): the same text, as UTF-8.
                text = path.read_bytes()
                try:
                    decoded = text.decode("utf-8-sig")
                except UnicodeDecodeError:
                    decoded = text.decode("latin-1")
                with tempfile.NamedTemporaryFile("w", suffix=".hdr", encoding="utf-8") as copy:
                    copy.write("\n".join(line for line in decoded.splitlines() if line.strip()) + "\n")
                    copy.flush()
                    fields = envi.read_envi_header(copy.name)
    except (envi.EnviHeaderParsingError, envi.FileNotAnEnviHeader, UnicodeDecodeError) as error:
        raise UserError("is a broken ENVI header", file=path, remedy="check that every { has its }") from error
    return {key.lower(): value for key, value in fields.items()}


def _dtype(fields: dict[str, Any], file: Path) -> np.dtype:
    code = str(fields.get("data type", "")).strip()
    if code in _COMPLEX:
        raise UserError(
            "complex images are not supported",
            file=file,
            key="data type",
            found=f"{code} ({_COMPLEX[code]})",
            remedy="save the magnitude as float32",
        )
    if code not in DATA_TYPES:
        raise UserError(
            "is not a known ENVI data type",
            file=file,
            key="data type",
            found=code or "none",
            remedy=f"there are {', '.join(DATA_TYPES)}",
        )
    dtype = np.dtype(DATA_TYPES[code])
    if "byte order" not in fields and dtype.itemsize > 1:
        log.warning("%s: no byte order in the header; taken as little-endian (0)", file)
    order = _whole(fields, "byte order", file, default=0)
    if order not in (0, 1):
        raise UserError("is not a byte order", file=file, key="byte order", found=order, remedy="use 0 or 1")
    return dtype.newbyteorder("<" if order == 0 else ">")


def _wavelengths(fields: dict[str, Any], bands: int, file: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    centres = _numbers(fields, "wavelength", file)
    widths = _numbers(fields, "fwhm", file)
    check_count(centres, bands, file=file, key="wavelength")
    check_count(widths, bands, file=file, key="fwhm")
    units = str(fields.get("wavelength units", ""))
    if centres is None:
        return None, None
    if units.strip().lower() == "index":
        return None, None
    nanometres = in_nanometres(centres)
    centres = to_nanometres(centres, units, file=file)
    return centres, None if widths is None else to_nanometres(widths, units, file=file, centres_nm=nanometres)


def _georeference(fields: dict[str, Any], file: Path) -> tuple[tuple[float, ...] | None, str | None]:
    info = _list(fields, "map info")
    wkt = ",".join(_list(fields, "coordinate system string")) or None
    if len(info) < 7:
        return None, wkt
    try:
        ref_x, ref_y, east, north, step_x, step_y = (float(value) for value in info[1:7])
        angle = next((float(v.split("=")[1]) for v in info if v.lower().replace(" ", "").startswith("rotation=")), 0.0)
    except ValueError as error:
        raise UserError("is not a map info", file=file, key="map info", found=",".join(info)) from error
    turn = -radians(angle)
    a, b = cos(turn) * step_x, -sin(turn) * step_x
    d, e = -sin(turn) * step_y, -cos(turn) * step_y
    # Reference pixels count from 1 at the upper left corner of the first pixel.
    c = east - (ref_x - 1) * a - (ref_y - 1) * b
    f = north - (ref_x - 1) * d - (ref_y - 1) * e
    if wkt is None:
        wkt = _crs_of_map_info(info)
    return tuple(number + 0.0 for number in (a, b, c, d, e, f)), wkt  # + 0.0: no negative zeros


def _crs_of_map_info(info: list[str]) -> str | None:
    projection = info[0].lower()
    words = [word.lower().replace(" ", "") for word in info[7:]]
    if not any(word in ("wgs-84", "wgs84") for word in words):
        return None  # without WGS-84 said, the datum is a guess
    if projection.startswith("geographic"):
        code = 4326
    elif projection == "utm" and len(info) > 8 and info[7].strip().isdigit():
        code = (32700 if words[1].startswith("s") else 32600) + int(info[7])
    else:
        return None
    from rasterio.crs import CRS

    return str(CRS.from_epsg(code).to_wkt())


def _list(fields: dict[str, Any], key: str) -> list[str]:
    value = fields.get(key)
    if value is None:
        return []
    parts = value if isinstance(value, list) else str(value).strip("{}").split(",")
    return [part.strip() for part in parts if part.strip()]


def _numbers(fields: dict[str, Any], key: str, file: Path) -> np.ndarray | None:
    parts = _list(fields, key)
    try:
        return np.array([float(part) for part in parts]) if parts else None
    except ValueError as error:
        raise UserError("holds something that is no number", file=file, key=key, found=str(error)) from error


def _number(fields: dict[str, Any], key: str, file: Path) -> float | None:
    numbers = _numbers(fields, key, file)
    return None if numbers is None else float(numbers[0])


def _whole(fields: dict[str, Any], key: str, file: Path, *, default: int | None = None) -> int:
    if key not in fields:
        if default is None:
            raise UserError("is missing from the ENVI header", file=file, key=key)
        return default
    try:
        return int(fields[key])
    except (TypeError, ValueError) as error:
        raise UserError("is not a whole number", file=file, key=key, found=fields[key]) from error
