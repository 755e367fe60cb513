"""GeoTIFF, and every other raster that GDAL reads: band metadata, nodata, georeference, multi-page stacks."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.enmap import enmap_product_bands
from hsipipe.scenes.readers.image import ImageFile
from hsipipe.scenes.readers.wavelengths import check_count, in_nanometres, to_nanometres

log = logging.getLogger(__name__)

_LENGTH = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?)\s*(nm|nanomet(?:er|re)s?|um|µm|μm|microns?|micromet(?:er|re)s?)\b", re.IGNORECASE
)
_GENERIC = re.compile(r"^\s*(\d+\.\d+)\s*$")


@contextmanager
def open_raster(path: str | Path) -> Iterator[Any]:
    """A rasterio dataset; unreadable files raise UserError, missing georeferences are no matter."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as dataset:
                yield dataset
        except (RasterioIOError, RasterioError) as error:
            cause = error.__cause__ or error
            raise UserError("cannot be read as a raster", file=path, found=str(cause).splitlines()[0]) from error


def open_geotiff(path: Path, *, key: str | None = None) -> ImageFile:
    """Open a raster through GDAL.

    A file of several pages is one image if each page holds one band of the same size; otherwise `key` says which page
    (from 1). Wavelengths come from the bands' metadata (`wavelength` with units, GDAL's `CENTRAL_WAVELENGTH_UM`,
    or a description such as "418.24 nm"), then from that of the file.

    Raises:
        UserError: unreadable, complex, several images and no key, or a page that does not exist.
    """
    with open_raster(path) as dataset:
        pages = list(dataset.subdatasets)
        driver = dataset.driver
        if dataset.count == 0 and not pages:
            raise UserError("holds no band", file=path)
    if len(pages) > 1 and driver == "GTiff":
        return _open_pages(path, pages, key)
    if pages and (driver != "GTiff"):
        raise UserError(
            "holds several rasters", file=path, found=", ".join(pages[:4]), remedy="extract one with gdal_translate"
        )
    if key not in (None, "1"):
        raise UserError("has no such page", file=path, key=key, remedy="it has one")
    return _open_one(path, str(path), key=None)


def _open_pages(path: Path, pages: list[str], key: str | None) -> ImageFile:
    files = [_open_one(path, page, key=str(number)) for number, page in enumerate(pages, 1)]
    keys: dict[str, tuple[int, ...]] = {str(number): file.shape for number, file in enumerate(files, 1)}
    if key is not None:
        if key not in keys:
            raise UserError("has no such page", file=path, key=key, remedy=f"pages are 1 to {len(files)}")
        chosen = files[int(key) - 1]
        chosen.keys = keys
        chosen.name = f"{path.stem}_{key}"
        return chosen
    first = files[0]
    if any(file.shape != first.shape or file.dtype != first.dtype for file in files) or first.shape[0] != 1:
        listing = ", ".join("{}: {} bands {} x {}".format(k, *keys[k]) for k in list(keys)[:8])
        raise UserError(
            "holds several images",
            file=path,
            found=f"{len(files)} pages: {listing}" + (", ..." if len(files) > 8 else ""),
            remedy="choose a page with --key N",
        )
    loaders = [file.load for file in files]

    def load(bands: np.ndarray | None) -> np.ndarray:
        index = np.arange(len(files)) if bands is None else bands
        return np.concatenate([loaders[band](None) for band in index])

    first.shape = (len(files), *first.shape[1:])
    first.keys = {}
    first.key = None
    first.layout = "pages-rows-cols"
    first.load = load
    first.wavelength_nm = _joined([file.wavelength_nm for file in files])
    first.fwhm_nm = _joined([file.fwhm_nm for file in files])
    bad = [np.zeros(1, bool) if file.declared_bad is None else file.declared_bad for file in files]
    first.declared_bad = np.concatenate(bad) if np.any(bad) else None
    first.extra = {"pages": len(files)}
    return first


def _joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def _open_one(path: Path, address: str, *, key: str | None) -> ImageFile:
    from rasterio.enums import MaskFlags

    with open_raster(address) as dataset:
        dtypes = {str(dtype) for dtype in dataset.dtypes}
        dtype = np.result_type(*(np.dtype(name) for name in dtypes if not name.startswith("complex")), np.uint8)
        if any(name.startswith("complex") for name in dtypes):
            raise UserError(
                "complex images are not supported", file=path, found=", ".join(dtypes), remedy="save the magnitude"
            )
        if len(dtypes) == 1:
            dtype = np.dtype(next(iter(dtypes)))
        bands = dataset.count
        tags = [dataset.tags(band) for band in range(1, bands + 1)]
        imagery = [dataset.tags(band, ns="IMAGERY") for band in range(1, bands + 1)]
        wavelength_nm, fwhm_nm = _wavelengths(dataset.tags(), tags, imagery, list(dataset.descriptions), path)
        if wavelength_nm is None:
            wavelength_nm, fwhm_nm = enmap_product_bands(path, bands) or (None, None)
        bad = [tag.get("bbl", tag.get("BBL")) for tag in tags]
        declared = np.array([value is not None and float(value) == 0 for value in bad])
        scales = set(dataset.scales)
        if len(scales) > 1 or set(dataset.offsets) != {0.0}:
            log.warning("%s: bands have scales or offsets of their own; values are left as stored", path)
        nodatas = {str(value) for value in dataset.nodatavals if value is not None}  # as text, since NaN is unlike NaN
        if len(nodatas) > 1:
            log.warning("%s: bands differ in nodata; the first, %s, is taken", path, dataset.nodata)
        has_mask = bands > 0 and MaskFlags.per_dataset in dataset.mask_flag_enums[0]
        georeferenced = not dataset.transform.is_identity

        def load(index: np.ndarray | None) -> np.ndarray:
            with open_raster(address) as raster:
                cube = raster.read(None if index is None else [int(band) + 1 for band in index])
                return np.asarray(cube, dtype)

        def mask() -> np.ndarray:
            with open_raster(address) as raster:
                return np.asarray(raster.dataset_mask() == 0)

        return ImageFile(
            path=path,
            format="geotiff" if dataset.driver in ("GTiff", "COG") else f"gdal-{dataset.driver.lower()}",
            shape=(bands, dataset.height, dataset.width),
            dtype=dtype,
            layout="bands-rows-cols",
            interleave=str(dataset.interleaving.value).lower() if dataset.interleaving else None,
            load=load,
            name=path.stem,
            key=key,
            wavelength_nm=wavelength_nm,
            fwhm_nm=fwhm_nm,
            nodata=None if not nodatas else float(dataset.nodata if dataset.nodata is not None else nodatas.pop()),
            scale=next(iter(scales)) if len(scales) == 1 and scales != {1.0} else None,
            crs=dataset.crs.to_wkt() if dataset.crs else None,
            transform=tuple(dataset.transform)[:6] if georeferenced else None,
            declared_bad=declared if declared.any() else None,
            mask=mask if has_mask else None,
        )


def _wavelengths(
    file_tags: dict[str, str],
    tags: list[dict[str, str]],
    imagery: list[dict[str, str]],
    descriptions: list[str | None],
    path: Path,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    lower = [{key.lower(): value for key, value in tag.items()} for tag in tags]
    try:
        if lower and all("wavelength" in tag for tag in lower):
            units = lower[0].get("wavelength_units") or lower[0].get("wavelength_unit")
            raw = np.array([float(tag["wavelength"]) for tag in lower])
            centres = to_nanometres(raw, units, file=path)
            widths = [tag.get("fwhm") for tag in lower]
            if any(width is None for width in widths):
                return centres, None
            values = np.array([float(width) for width in widths if width is not None])
            return centres, to_nanometres(values, units, file=path, centres_nm=in_nanometres(raw))
        if imagery and all("CENTRAL_WAVELENGTH_UM" in tag for tag in imagery):
            centres = 1000 * np.array([float(tag["CENTRAL_WAVELENGTH_UM"]) for tag in imagery])
            if all("FWHM_UM" in tag for tag in imagery):
                return centres, 1000 * np.array([float(tag["FWHM_UM"]) for tag in imagery])
            return centres, None
    except ValueError as error:
        raise UserError("holds a wavelength that is no number", file=path, found=str(error)) from error
    found = _from_descriptions(descriptions)
    if found is not None:
        return found, None
    known = {key.lower(): value for key, value in file_tags.items()}
    for key in ("wavelength", "wavelengths", "wavelength_nm"):
        numbers = re.findall(r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", known.get(key, ""))
        if numbers:
            values = np.array([float(number) for number in numbers])
            check_count(values, len(tags), file=path, key=key)
            return to_nanometres(values, known.get("wavelength_units"), file=path), None
    return _from_descriptions([known.get(f"band_{band}") for band in range(1, len(tags) + 1)]), None


def _from_descriptions(descriptions: list[str | None]) -> np.ndarray | None:
    """Centres from texts such as "band 1 (418.24 Nanometers)" or "0.418", if every band has one."""
    if not descriptions or any(text is None for text in descriptions):
        return None
    texts = [text for text in descriptions if text is not None]
    matches = [_LENGTH.search(text) for text in texts]
    if all(matches):
        pairs = [(match.group(1), match.group(2)) for match in matches if match]
        return np.array([to_nanometres([float(value)], unit)[0] for value, unit in pairs])
    plain = [_GENERIC.match(text) for text in texts]
    if len(texts) > 1 and all(plain):
        values = np.array([float(match.group(1)) for match in plain if match])
        plausible = (values != np.round(values)).any() and values.min() >= 0.2  # not 1.0, 2.0, ...: band numbers
        return to_nanometres(values) if plausible else None
    return None
