"""Writing GeoTIFF: georeference, nodata, scale, and the wavelength of each band."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.files import atomic_path
from hsipipe.report.style import rgb_bands
from hsipipe.scenes.scene import Item


def write_geotiff(path: Path, values: np.ndarray, item: Item, source: dict[str, Any], nodata: float | None) -> None:
    """Write a GeoTIFF, compressed without loss.

    Args:
        path: x.tif or x.tiff.
        values: (bands, rows, cols) of the type to store.
        item: for wavelengths, widths and bad bands, which become band metadata (`wavelength`, `fwhm`, `bbl`).
        source: for crs, transform and scale.
        nodata: to declare, or None.

    Raises:
        UserError: GDAL refuses.
    """
    import rasterio
    from rasterio.crs import CRS
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    bands, rows, cols = values.shape
    crs, transform = source.get("crs"), source.get("transform")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": bands,
        "height": rows,
        "width": cols,
        "dtype": str(values.dtype),
        "nodata": nodata,
        "compress": "deflate",
        "predictor": 3 if values.dtype.kind == "f" else 2,
        "zlevel": 1,
        "interleave": "pixel" if str(source.get("interleave")) == "pixel" else "band",
        "bigtiff": "IF_SAFER",
    }
    if crs:
        profile["crs"] = CRS.from_wkt(crs, morph_from_esri_dialect="AUTHORITY" not in crs)
    if transform is not None:
        profile["transform"] = rasterio.Affine(*transform)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(temporary, "w", **profile) as dataset:
                dataset.write(values)
                write_tags(dataset, item, source, bands)
        except RasterioError as error:
            raise UserError("cannot be written as GeoTIFF", file=path, found=error) from error


def write_tags(dataset: Any, item: Item, source: dict[str, Any], bands: int) -> None:
    """Write scale, wavelengths, band names and colours of an item as tags of an opened rasterio dataset.

    Wavelengths go where programs look for them: in the band's own tags as GDAL's ENVI driver writes them (EnMAP-Box,
    and this package), in its domain IMAGERY in micrometres (GDAL from 3.10 on), and in the description (QGIS). Bands
    near red, green and blue are called so, and a viewer shows them first.
    """
    scale = source.get("scale")
    if isinstance(scale, (int, float)) and scale and scale != 1:
        dataset.scales = [float(scale)] * bands
    for band in range(bands):
        tags: dict[str, str] = {}
        if item.wavelength_nm is not None:
            centre = item.wavelength_nm[band]
            tags |= {"wavelength": f"{centre:.10g}", "wavelength_units": "Nanometers"}
            imagery = {"CENTRAL_WAVELENGTH_UM": f"{centre / 1000:.10g}"}
            dataset.set_band_description(band + 1, f"band {band + 1} ({centre:.10g} Nanometers)")
            if item.fwhm_nm is not None:
                tags["fwhm"] = f"{item.fwhm_nm[band]:.10g}"
                imagery["FWHM_UM"] = f"{item.fwhm_nm[band] / 1000:.10g}"
            dataset.update_tags(band + 1, ns="IMAGERY", **imagery)
        if not item.good_bands.all():
            tags["bbl"] = str(int(item.good_bands[band]))
        if tags:
            dataset.update_tags(band + 1, **tags)
    shown = shown_bands(item, source)
    if shown is not None:
        from rasterio.enums import ColorInterp

        names = [ColorInterp.undefined] * bands
        names[0] = ColorInterp.gray
        for band, name in zip(shown, (ColorInterp.red, ColorInterp.green, ColorInterp.blue), strict=True):
            names[band - 1] = name
        dataset.colorinterp = names


def shown_bands(item: Item, source: dict[str, Any]) -> list[int] | None:
    """Numbers, from 1, of the bands to be shown as red, green and blue: those that the input names (`default_bands`),
    else those nearest to 640, 550 and 460 nm where there is visible light; None without either."""
    bands = len(item.cube)
    named = source.get("default_bands")
    if isinstance(named, list) and len(named) == 3 and all(str(b).isdigit() and 1 <= int(b) <= bands for b in named):
        return [int(band) for band in named]
    good = np.flatnonzero(item.good_bands)
    centres = None if item.wavelength_nm is None else item.wavelength_nm[good]
    if centres is None or len(good) < 3 or not (centres.min() < 500 and centres.max() > 600):
        return None
    chosen = [int(good[index]) + 1 for index in rgb_bands(len(good), centres)]
    return chosen if len(set(chosen)) == 3 else None
