"""Writing ENVI images: a text header and a flat data file, both or neither."""

from __future__ import annotations

import logging
from math import atan2, degrees, hypot
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.files import atomic_path
from hsipipe.scenes.readers.envi_header import DATA_TYPES
from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers.geotiff import shown_bands

log = logging.getLogger(__name__)

_CODES = {code: number for number, code in DATA_TYPES.items()}
_INTERLEAVE = {"bands-rows-cols": "bsq", "pages-rows-cols": "bsq", "rows-cols-bands": "bip", "rows-bands-cols": "bil"}
_ORDER = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


def envi_paths(path: Path, source: dict[str, Any]) -> tuple[Path, Path, str]:
    """Header, data file and interleave of an output: x.bil makes x.bil and x.hdr; x.hdr keeps the interleave."""
    suffix = path.suffix.lower().lstrip(".")
    layout = str(source.get("layout"))
    kept = layout if layout in _ORDER else _INTERLEAVE.get(layout, "bsq")
    interleave = suffix if suffix in _ORDER else kept
    if suffix == "hdr":
        base = path.with_suffix("")  # x.raw.hdr stands for x.raw
        return path, base if base.suffix.lower() == ".raw" else path.with_suffix(f".{interleave}"), interleave
    return path.with_suffix(".hdr"), path, interleave


def write_envi(path: Path, values: np.ndarray, item: Item, source: dict[str, Any], nodata: float | None) -> None:
    """Write an ENVI image, little-endian.

    Args:
        path: x.hdr or the data file (.bil, .bsq, .bip, .img, .raw, .dat).
        values: (bands, rows, cols) of the type to store.
        item: for wavelengths, bad bands and name.
        source: for interleave, scale, georeference and default bands.
        nodata: to declare, or None.

    Raises:
        UserError: a type that ENVI does not have.
    """
    if values.dtype == np.int8:
        values = values.astype(np.int16)
    code = _CODES.get(values.dtype.str[1:])
    if code is None:
        raise UserError("has a type that ENVI cannot store", file=path, found=values.dtype)
    header, data, interleave = envi_paths(path, source)
    text = header_text(values, code, interleave, item, source, nodata)
    # The data file is renamed before the header, so that a header never stands without its data.
    with atomic_path(header) as new_header, atomic_path(data) as new_data:
        new_header.write_text(text, encoding="utf-8")
        ordered = values.transpose(_ORDER[interleave])
        step = max(1, (1 << 24) // max(1, ordered[0].nbytes))
        with open(new_data, "wb") as file:
            for first in range(0, len(ordered), step):
                block = np.ascontiguousarray(ordered[first : first + step], values.dtype.newbyteorder("<"))
                block.tofile(file)


def header_text(
    values: np.ndarray, code: str, interleave: str, item: Item, source: dict[str, Any], nodata: float | None
) -> str:
    """The text of an ENVI header for values of this shape, with what the item and its source tell."""
    bands, rows, cols = values.shape
    fields: dict[str, Any] = {
        "description": "{" + item.name.replace("}", ")") + "}",
        "samples": cols,
        "lines": rows,
        "bands": bands,
        "header offset": 0,
        "file type": "ENVI Standard",
        "data type": code,
        "interleave": interleave,
        "byte order": 0,
    }
    if nodata is not None:
        fields["data ignore value"] = f"{nodata:.17g}"
    scale = source.get("scale")
    if isinstance(scale, (int, float)) and scale:
        fields["reflectance scale factor"] = f"{1 / scale:.10g}"
    fields.update(_georeference(source))
    default = source.get("default_bands")
    if not (isinstance(default, list) and all(str(b).isdigit() and 1 <= int(b) <= bands for b in default)):
        default = shown_bands(item, source)
    if default:
        fields["default bands"] = "{" + ", ".join(map(str, default)) + "}"
    if not item.good_bands.all():
        fields["bbl"] = "{" + ", ".join(str(int(good)) for good in item.good_bands) + "}"
    if item.wavelength_nm is not None:
        fields["wavelength units"] = "Nanometers"
        fields["wavelength"] = _numbers(item.wavelength_nm)
        if item.fwhm_nm is not None:
            fields["fwhm"] = _numbers(item.fwhm_nm)
    return "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in fields.items())


def _georeference(source: dict[str, Any]) -> dict[str, str]:
    fields: dict[str, str] = {}
    crs, transform = source.get("crs"), source.get("transform")
    if isinstance(source.get("map_info"), list):
        fields["map info"] = "{" + ", ".join(source["map_info"]) + "}"
    elif transform is not None:
        info = _map_info(crs, [float(number) for number in transform])
        if info is None:
            log.warning("%s: a sheared georeference has no ENVI form and is left out", source.get("path"))
            return fields
        fields["map info"] = "{" + info + "}"
    if crs:
        fields["coordinate system string"] = "{" + _esri(crs) + "}"
    return fields


def _map_info(crs: str | None, transform: list[float]) -> str | None:
    a, b, c, d, e, f = transform
    step_x, step_y = hypot(a, b), hypot(d, e)
    turn = atan2(-b, a)
    if abs(a * d + b * e) > 1e-6 * step_x * step_y or a * e - b * d > 0:
        return None
    words = ["Arbitrary", "1", "1", f"{c:.12g}", f"{f:.12g}", f"{step_x:.12g}", f"{step_y:.12g}"]
    if crs:
        from rasterio.crs import CRS

        known = CRS.from_wkt(crs, morph_from_esri_dialect="AUTHORITY" not in crs)
        code = known.to_epsg() or 0
        if 32601 <= code <= 32660 or 32701 <= code <= 32760:
            words[0] = "UTM"
            words += [str(code % 100), "North" if code < 32700 else "South", "WGS-84", "units=Meters"]
        elif known.is_geographic:
            words[0] = "Geographic Lat/Lon"
            words += ["WGS-84" if code == 4326 else "Unknown", "units=Degrees"]
    if abs(turn) > 1e-12:
        words.append(f"rotation={degrees(-turn):.10g}")
    return ", ".join(words)


def _esri(wkt: str) -> str:
    from rasterio.crs import CRS

    if "AUTHORITY" not in wkt:
        return wkt
    return str(CRS.from_wkt(wkt).to_wkt(version="WKT1_ESRI"))


def _numbers(values: np.ndarray) -> str:
    return "{\n " + ",\n ".join(f"{value:.10g}" for value in values) + "}"
