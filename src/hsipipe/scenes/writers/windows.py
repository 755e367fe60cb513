"""Writing an image window by window, whole or not at all, in bounded memory."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import lcm
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.errors import UserError
from hsipipe.files import atomic_path
from hsipipe.hdf5 import CHUNK_PIXELS, attach_axes, write_strings
from hsipipe.scenes.readers.arrays import parse_layout
from hsipipe.scenes.readers.envi_header import DATA_TYPES
from hsipipe.scenes.scene import AXES, FORMAT, Item, Window
from hsipipe.scenes.writers.arrays import write_mat
from hsipipe.scenes.writers.check import ENVI_SUFFIXES, check_output
from hsipipe.scenes.writers.envi import envi_paths, header_text
from hsipipe.scenes.writers.geotiff import write_tags

# Writes the values of a window: (window, cube (bands, rows, cols) float32, valid (rows, cols) bool).
WindowWriter = Callable[[Window, np.ndarray, np.ndarray], None]

MAT_BYTES = (1 << 32) - 1  # of one array in a MATLAB v5 file
TILE_MOST = 512
_STORED = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}
_CACHE_MB = 64


def block_side(wanted: int, multiple: int) -> int:
    """The side of blocks nearest above `wanted` that is whole LR pixels and whole tiles of a GeoTIFF."""
    unit = lcm(16, multiple)
    return max(unit, -(-wanted // unit) * unit)


@contextmanager
def write_windows(path: str | Path, item: Item, *, side: int) -> Iterator[WindowWriter]:
    """Open an output that is written by windows; it appears under its name when all went well.

    Args:
        path: .npy, .tif, ENVI, .h5 (scene file) or .mat (assembled in memory: the format is packed as a whole).
        item: what describes the output: shape, wavelengths, name, and in `source` layout, georeference and nodata.
            Its pixels are not read, so that `outline` will do.
        side: pixels that the corners of windows are multiples of; a multiple of 16 for GeoTIFF.

    Yields:
        A function that writes one window in float32; invalid pixels hold nodata, NaN if there is none.

    Raises:
        UserError: an extension that cannot be written, or more than fits into it.
    """
    target = check_output(path)
    suffix = target.suffix.lower()
    nodata = item.source.get("nodata")
    fill = np.float32(np.nan if nodata is None else nodata)
    if suffix == ".npy":
        opened = _npy(target, item)
    elif suffix in (".tif", ".tiff"):
        opened = _geotiff(target, item, side, nodata)
    elif suffix == ".h5":
        opened = _scene(target, item)
    elif suffix == ".mat":
        opened = _matlab(target, item)
    else:
        opened = _envi(target, item, nodata)
    with opened as put:

        def write(window: Window, cube: np.ndarray, valid: np.ndarray) -> None:
            # A scene file has a mask; elsewhere the value tells.
            put(window, np.where(valid, cube, fill).astype(np.float32, copy=False), valid)

        yield write


def outline(
    shape: tuple[int, int, int],
    *,
    name: str,
    wavelength_nm: np.ndarray | None,
    fwhm_nm: np.ndarray | None,
    source: dict[str, Any],
) -> Item:
    """An item of the given shape whose pixels take no memory and must not be used."""
    return Item(
        cube=np.broadcast_to(np.float32(0), shape),
        name=name,
        valid=np.broadcast_to(np.True_, shape[1:]),
        wavelength_nm=wavelength_nm,
        fwhm_nm=fwhm_nm,
        source=source,
    )


def check_size(path: str | Path, shape: tuple[int, int, int]) -> None:
    """Refuse an output in float32 that its format cannot hold.

    Raises:
        UserError: MATLAB v5 above 4 GiB.
    """
    size = 4 * int(np.prod(shape, dtype=np.int64))
    if Path(path).suffix.lower() == ".mat" and size > MAT_BYTES:
        raise UserError(
            "is too large for MATLAB v5 (4 GiB)", file=path, found=f"{size:,} bytes", remedy="write .h5, .tif or .hdr"
        )


def _space(window: Window) -> tuple[slice, slice]:
    return slice(window[0], window[1]), slice(window[2], window[3])


@contextmanager
def _npy(target: Path, item: Item) -> Iterator[WindowWriter]:
    layout = _bare_layout(item, "bands-rows-cols" if target.stem.endswith("-DATA") else None)
    axes = parse_layout(layout, file=target)
    shape = tuple(np.array(item.cube.shape)[np.argsort(axes)].tolist())
    with atomic_path(target) as temporary:
        np.lib.format.open_memmap(temporary, "w+", np.float32, shape).flush()

        def put(window: Window, cube: np.ndarray, _: np.ndarray) -> None:
            # Mapped anew for each window, so that written pages do not stay in this process's memory.
            stored = np.lib.format.open_memmap(temporary, "r+")
            stored.transpose(axes)[(slice(None), *_space(window))] = cube
            stored.flush()

        yield put


@contextmanager
def _envi(target: Path, item: Item, nodata: float | None) -> Iterator[WindowWriter]:
    if target.suffix.lower() not in ENVI_SUFFIXES:
        raise UserError("is no format that is written by windows", file=target)
    header, data, interleave = envi_paths(target, item.source)
    axes = _STORED[interleave]
    shape = tuple(np.array(item.cube.shape)[np.argsort(axes)].tolist())
    code = next(code for code, name in DATA_TYPES.items() if name == "f4")
    text = header_text(item.cube, code, interleave, item, item.source, nodata)
    with atomic_path(header) as new_header, atomic_path(data) as new_data:
        new_header.write_text(text, encoding="utf-8")
        np.memmap(new_data, "<f4", "w+", shape=shape).flush()

        def put(window: Window, cube: np.ndarray, _: np.ndarray) -> None:
            stored = np.memmap(new_data, "<f4", "r+", shape=shape)
            stored.transpose(axes)[(slice(None), *_space(window))] = cube
            stored.flush()

        yield put


@contextmanager
def _geotiff(target: Path, item: Item, side: int, nodata: float | None) -> Iterator[WindowWriter]:
    import rasterio
    from rasterio.crs import CRS
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.windows import Window as RasterWindow

    bands, rows, cols = item.cube.shape
    # A tile that straddles two windows would be packed twice and leave a hole in the file.
    tile = max(size for size in range(16, min(side, TILE_MOST) + 1, 16) if side % size == 0)
    crs, transform = item.source.get("crs"), item.source.get("transform")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": bands,
        "height": rows,
        "width": cols,
        "dtype": "float32",
        "nodata": nodata,
        "tiled": True,
        "blockxsize": tile,
        "blockysize": tile,
        "compress": "deflate",
        "predictor": 3,
        "zlevel": 1,
        "interleave": "band",
        "bigtiff": "IF_SAFER",
    }
    if crs:
        profile["crs"] = CRS.from_wkt(crs, morph_from_esri_dialect="AUTHORITY" not in crs)
    if transform is not None:
        profile["transform"] = rasterio.Affine(*transform)
    with atomic_path(target) as temporary, rasterio.Env(GDAL_CACHEMAX=_CACHE_MB), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(temporary, "w", **profile) as dataset:
                write_tags(dataset, item, item.source, bands)

                def put(window: Window, cube: np.ndarray, _: np.ndarray) -> None:
                    dataset.write(cube, window=RasterWindow.from_slices(window[:2], window[2:]))

                yield put
        except RasterioError as error:
            raise UserError("cannot be written as GeoTIFF", file=target, found=error) from error


@contextmanager
def _scene(target: Path, item: Item) -> Iterator[WindowWriter]:
    bands, rows, cols = item.cube.shape
    with atomic_path(target) as temporary, h5py.File(temporary, "w") as file:
        simulated = bool(item.source.get("simulated"))
        file.attrs.update({"format": FORMAT, "name": item.name, "simulated": int(simulated)})
        file.attrs.update({"code_version": __version__, "class_names": json.dumps([])})
        chunk = (min(rows, CHUNK_PIXELS), min(cols, CHUNK_PIXELS))
        file.create_dataset(
            "cube", (1, bands, rows, cols), np.float32, maxshape=(None, bands, None, None), chunks=(1, bands, *chunk)
        )
        file.create_dataset("valid", (1, rows, cols), np.uint8, maxshape=(None, None, None), chunks=(1, *chunk))
        # Of the windows in the order in which they come: the whole is never in memory.
        digest = hashlib.sha256(f"{item.cube.shape}".encode())

        def put(window: Window, cube: np.ndarray, valid: np.ndarray) -> None:
            file["cube"][(0, slice(None), *_space(window))] = cube
            file["valid"][(0, *_space(window))] = valid
            digest.update(np.ascontiguousarray(cube).data)
            digest.update(np.ascontiguousarray(valid).data)

        yield put
        for name, text in (("item", item.name), ("source", json.dumps(item.source, default=str))):
            write_strings(file, name, [text])
        write_strings(file, "digest", [digest.hexdigest()])
        file["rows"], file["cols"] = np.array([rows], np.int32), np.array([cols], np.int32)
        file["good_band"] = np.ones((1, bands), np.uint8)
        for key in ("wavelength_nm", "fwhm_nm"):
            if getattr(item, key) is not None:
                file[key] = np.asarray(getattr(item, key), np.float64)
                file[key].attrs["units"] = "nm"
        attach_axes(file, AXES)


@contextmanager
def _matlab(target: Path, item: Item) -> Iterator[WindowWriter]:
    check_size(target, item.cube.shape)
    values = np.empty(item.cube.shape, np.float32)

    def put(window: Window, cube: np.ndarray, _: np.ndarray) -> None:
        values[(slice(None), *_space(window))] = cube

    yield put
    write_mat(target, values, item, item.source)


def _bare_layout(item: Item, forced: str | None) -> str:
    """The input's layout if it was a bare 3-D array, else (rows, cols, bands)."""
    layout = str(item.source.get("layout"))
    bare = item.source.get("format") in ("npy", "npz", "matlab5", "matlab7.3", "hdf5")
    return forced or (layout if bare and sorted(layout.split("-")) == ["bands", "cols", "rows"] else "rows-cols-bands")
