"""From arrays and xarray to items, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item
from hsipipe.scenes.validity import assess_validity

if TYPE_CHECKING:
    import xarray

BAND_AXES = ("band", "bands", "wavelength", "wavelength_nm", "wl", "lambda", "z")
ROW_AXES = ("y", "row", "rows", "lat", "latitude")
COL_AXES = ("x", "col", "cols", "lon", "longitude")
PER_NM = {"nm": 1.0, "nanometer": 1.0, "nanometers": 1.0, "nanometre": 1.0, "nanometres": 1.0}
PER_NM |= dict.fromkeys(("um", "µm", "μm", "micrometer", "micrometers", "micrometre", "micrometres"), 1000.0)


def item_of_array(
    values: Any,
    *,
    wavelength_nm: Any = None,
    valid: Any = None,
    name: str = "array",
    source: dict[str, Any] | None = None,
) -> Item:
    """An item of a bare array.

    Args:
        values: (bands, rows, cols), or (rows, cols) for one band; integers keep their type, all else becomes float32.
        wavelength_nm: (bands,), or None if not known.
        valid: (rows, cols) bool; None: where there is a finite value that is not zero throughout.
        name: what the image is called; it seeds random methods.
        source: what else is known, as in `Item.source`.

    Raises:
        UserError: not three axes, or other numbers of wavelengths or of mask pixels.
    """
    cube = np.asarray(values)
    if cube.ndim == 2:
        cube = cube[None]
    if cube.ndim != 3:
        raise UserError("a cube has bands, rows and columns", key="values", found=f"{cube.ndim} axes")
    if cube.dtype.kind not in "iu":
        cube = cube.astype(np.float32, copy=False)
    found, good = assess_validity(cube, nodata=(source or {}).get("nodata"), declared_bad=None, masked=None, file=name)
    if valid is not None:
        given = np.asarray(valid, bool)
        if given.shape != cube.shape[1:]:
            raise UserError(f"a mask of {given.shape} does not fit {cube.shape[1:]} pixels", key="valid")
        found &= given
    centres = None if wavelength_nm is None else np.asarray(wavelength_nm, np.float64)
    told = {"path": None, "format": "array", "dtype": str(cube.dtype), **(source or {})}
    return Item(cube, name, found, good, centres, source=told)


def item_of_xarray(array: xarray.DataArray) -> Item:
    """An item of a DataArray, as `rioxarray.open_rasterio` or `to_xarray` makes it.

    Axes are found by their names, in any order; wavelengths by a coordinate (`wavelength_nm`, or `wavelength` in nm or
    µm by its `units`) or an axis of that name; the map by `rio` or by x and y; nodata by `_FillValue`.

    Raises:
        UserError: axes that cannot be told apart.
    """
    order = [_axis(array, names, meaning) for names, meaning in _AXES if not (meaning == "band" and array.ndim == 2)]
    turned = array.transpose(*order)
    attributes = {**array.attrs, **array.encoding}
    nodata = attributes.get("_FillValue", attributes.get("nodata"))
    crs, transform = _georeference(array, order)
    source = {
        "nodata": None if nodata is None or not np.isfinite(nodata) else float(nodata),
        "scale": attributes.get("scale_factor") if "scale_factor" in array.attrs else None,
        "crs": crs,
        "transform": transform,
    }
    wavelength_nm = _wavelengths(array, str(order[0])) if array.ndim == 3 else None
    valid = turned.coords["valid"].transpose(*order[-2:]).values if "valid" in turned.coords else None
    name = str(array.name or array.attrs.get("long_name") or "array")
    return item_of_array(turned.values, wavelength_nm=wavelength_nm, valid=valid, name=name, source=source)


def to_xarray(item: Item) -> xarray.DataArray:
    """A DataArray (band, y, x); xarray must be installed.

    Coordinates: `wavelength_nm` (band) where known, `good_band` (band), `valid` (y, x), and, where the image is
    georeferenced without rotation, x and y of the pixel centres in the units of its map, else pixel numbers.
    Attributes: `crs` (WKT), `transform` (6 numbers), `scale_factor`, `_FillValue`, where known.
    """
    try:
        import xarray
    except ImportError as error:
        raise UserError("xarray is not installed", remedy="pip install xarray") from error

    _, rows, cols = item.cube.shape
    y, x = np.arange(rows, dtype=np.float64), np.arange(cols, dtype=np.float64)
    transform = item.source.get("transform")
    if transform is not None and transform[1] == transform[3] == 0:
        x = transform[2] + transform[0] * (x + 0.5)
        y = transform[5] + transform[4] * (y + 0.5)
    coordinates: dict[str, Any] = {
        "y": y,
        "x": x,
        "good_band": ("band", item.good_bands),
        "valid": (("y", "x"), item.valid),
    }
    if item.wavelength_nm is not None:
        coordinates["wavelength_nm"] = ("band", item.wavelength_nm, {"units": "nm"})
    known = {"crs": item.source.get("crs"), "transform": transform, "scale_factor": item.source.get("scale")}
    known["_FillValue"] = item.source.get("nodata")
    attributes = {name: value for name, value in known.items() if value is not None}
    return xarray.DataArray(item.cube, dims=("band", "y", "x"), coords=coordinates, name=item.name, attrs=attributes)


_AXES = ((BAND_AXES, "band"), (ROW_AXES, "row"), (COL_AXES, "column"))


def _axis(array: xarray.DataArray, names: tuple[str, ...], meaning: str) -> str:
    found = [str(axis) for axis in array.dims if str(axis).lower() in names]
    if len(found) != 1:
        remedy = f"rename the {meaning} axis to {names[0]!r}: array.rename({{'NAME': {names[0]!r}}})"
        raise UserError(f"no axis is known as that of {meaning}s", key="dims", found=list(array.dims), remedy=remedy)
    return found[0]


def _wavelengths(array: xarray.DataArray, axis: str) -> np.ndarray | None:
    for name in ("wavelength_nm", "wavelengths", "wavelength", "wl", axis):
        if name not in array.coords or array.coords[name].dims != (axis,):
            continue
        coordinate = array.coords[name]
        if name == axis and axis not in ("wavelength", "wavelength_nm", "wl", "lambda"):
            continue  # numbers of bands
        values = np.asarray(coordinate.values, np.float64)
        unit = str(coordinate.attrs.get("units", "")).lower()
        if not unit:
            unit = "nm" if name == "wavelength_nm" or values.max() > 100 else "um"
        if unit not in PER_NM:
            raise UserError("is no unit of wavelength", key=f"{name}.units", found=unit, remedy="give nm or um")
        return values * PER_NM[unit]
    return None


def _georeference(array: xarray.DataArray, order: list[str]) -> tuple[str | None, list[float] | None]:
    """The map's system as WKT and the affine transform, from `rio` where rioxarray is loaded, else from x and y."""
    crs, transform = array.attrs.get("crs"), array.attrs.get("transform")
    if "spatial_ref" in array.coords:
        known = array.coords["spatial_ref"].attrs
        crs = known.get("crs_wkt", known.get("spatial_ref", crs))
        if "GeoTransform" in known:
            c, a, b, f, d, e = (float(value) for value in str(known["GeoTransform"]).split())
            transform = [a, b, c, d, e, f]
    if transform is None and crs is not None:
        y, x = (np.asarray(array.coords[axis].values, np.float64) for axis in order[-2:])
        if len(x) > 1 and len(y) > 1:
            a, e = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
            transform = [a, 0.0, x[0] - a / 2, 0.0, e, y[0] - e / 2]
    return crs, None if transform is None else [float(value) for value in list(transform)[:6]]
