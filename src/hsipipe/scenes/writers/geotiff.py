"""Writing GeoTIFF: georeference, nodata, scale, and the wavelength of each band."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.files import atomic_path
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
    """Write scale, wavelengths and band names of an item as tags of an opened rasterio dataset."""
    scale = source.get("scale")
    if isinstance(scale, (int, float)) and scale and scale != 1:
        dataset.scales = [float(scale)] * bands
    for band in range(bands):
        tags: dict[str, str] = {}
        if item.wavelength_nm is not None:
            centre = item.wavelength_nm[band]
            tags |= {"wavelength": f"{centre:.10g}", "wavelength_units": "Nanometers"}
            dataset.set_band_description(band + 1, f"band {band + 1} ({centre:.10g} Nanometers)")
            if item.fwhm_nm is not None:
                tags["fwhm"] = f"{item.fwhm_nm[band]:.10g}"
        if not item.good_bands.all():
            tags["bbl"] = str(int(item.good_bands[band]))
        if tags:
            dataset.update_tags(band + 1, **tags)
