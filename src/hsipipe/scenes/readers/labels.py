"""Label maps from any supported format."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.readers.arrays import listing
from hsipipe.scenes.readers.detect import detect_format, open_image
from hsipipe.scenes.readers.geotiff import open_raster
from hsipipe.scenes.readers.hdf5 import hdf5_arrays, open_hdf5
from hsipipe.scenes.readers.matlab import load_matlab5, matlab5_arrays
from hsipipe.scenes.readers.numpy_files import map_npy, npz_headers, read_npz
from hsipipe.scenes.readers.scene_file import choose_item
from hsipipe.scenes.scene import Scene

log = logging.getLogger(__name__)


def split_key(address: str | Path) -> tuple[Path, str | None]:
    """FILE[:KEY] taken apart; a colon that belongs to the file's name stays with it."""
    text = str(address)
    if Path(text).exists() or ":" not in text:
        return Path(text), None
    file, key = text.rsplit(":", 1)
    return Path(file), key or None


def read_labels(address: str | Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Read a label map.

    Args:
        address: FILE or FILE:KEY (array of a MATLAB, HDF5 or .npz file, page of a TIFF, item of a scene).
        shape: (rows, cols) of the image it belongs to; a map that fits only when turned is turned, and among
            several arrays the one that fits is taken.

    Returns:
        (rows, cols) int32; 0 is unlabelled (also where the map is NaN or its file's nodata).

    Raises:
        UserError: unreadable, not one 2-D map of whole numbers, or of another size than `shape`.
    """
    path, key = split_key(address)
    kind = detect_format(path)
    nodata: float | None = None
    if kind == "matlab5":
        shapes = matlab5_arrays(path)[0]
        key = _choose(path, shapes, key, shape)
        values = load_matlab5(path, [key])[key]
    elif kind in ("matlab7.3", "hdf5"):
        turn = kind == "matlab7.3"
        with open_hdf5(path) as file:
            arrays = hdf5_arrays(file, matlab=turn)
            key = _choose(path, {k: d.shape[::-1] if turn else d.shape for k, d in arrays.items()}, key, shape)
            values = arrays[key][()].T if turn else arrays[key][()]
    elif kind == "npy":
        values = np.array(map_npy(path))
    elif kind == "npz":
        headers = npz_headers(path)
        key = _choose(path, {k: s for k, (s, d) in headers.items() if d.kind in "iufb"}, key, shape)
        values = read_npz(path, key)
    elif kind == "scene":
        with Scene(path) as scene:
            labels = scene.read(choose_item(scene, key), bands=[0]).labels
            if labels is None:
                raise UserError("has no labels", file=path, key=key)
            values = labels
    elif kind == "picture":
        with open_raster(path) as picture:
            values = picture.read()
        if len(values) > 1 and (values[:3] == values[:1]).all():
            values = values[:1]  # grey levels stored as colours
    else:
        image = open_image(path, key=key)
        values, nodata = image.load(None), image.nodata
    return _as_map(values, path, key, shape, nodata)


def _choose(path: Path, shapes: Mapping[str, tuple[int, ...]], key: str | None, shape: tuple[int, int] | None) -> str:
    if key is not None:
        if key not in shapes:
            raise UserError("has no such array", file=path, key=key, remedy=f"there are {listing(shapes)}")
        return key
    maps = {k: s for k, s in shapes.items() if sum(n > 1 for n in s) == 2 or (shape and _fits(s, shape))}
    if shape is not None and len(maps) > 1:
        maps = {k: s for k, s in maps.items() if _fits(s, shape)} or maps
    if len(maps) != 1:
        raise UserError(
            "holds several maps" if maps else "holds no 2-D array",
            file=path,
            found=listing(maps or shapes),
            remedy="say which: FILE:KEY",
        )
    return next(iter(maps))


def _fits(found: tuple[int, ...], shape: tuple[int, int]) -> bool:
    sizes = [n for n in found if n > 1]
    wanted = [n for n in shape if n > 1]
    return sizes in (wanted, wanted[::-1])


def _as_map(
    values: np.ndarray, path: Path, key: str | None, shape: tuple[int, int] | None, nodata: float | None
) -> np.ndarray:
    if values.dtype.kind not in "iufb":
        raise UserError("labels are not numbers", file=path, key=key, found=values.dtype)
    if values.ndim != 2:
        squeezed = tuple(n for n in values.shape if n > 1)
        if values.ndim == 3 and 1 in values.shape and len(squeezed) <= 2:
            axis = values.shape.index(1) if values.shape[0] == 1 or values.shape[-1] != 1 else values.ndim - 1
            values = values.squeeze(axis)
        else:
            raise UserError(
                "is not a label map, which has rows and columns",
                file=path,
                key=key,
                found="x".join(map(str, values.shape)),
                remedy="name a file or an array with one label per pixel",
            )
    if shape is not None and values.shape != tuple(shape):
        if values.T.shape != tuple(shape):
            raise UserError(
                "labels do not fit the image",
                file=path,
                key=key,
                found="{} x {} for an image of {} x {} (rows x cols)".format(*values.shape, *shape),
            )
        log.info("%s: label map turned to fit the image of %s x %s", path, *shape)
        values = values.T
    unlabelled = np.zeros(values.shape, bool)
    if nodata is not None and not np.isnan(nodata):
        unlabelled |= values == nodata
    if values.dtype.kind == "f":
        unlabelled |= ~np.isfinite(values)
        rest = values[~unlabelled]
        if (rest != np.round(rest)).any():
            fraction = float(rest[rest != np.round(rest)][0])
            raise UserError(
                "labels are not whole numbers", file=path, key=key, found=fraction, remedy="is this the label map?"
            )
    if unlabelled.any():
        values = np.where(unlabelled, 0, values)
    limits = np.iinfo(np.int32)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise UserError("labels exceed 32 bits", file=path, key=key, found=f"{values.min()} to {values.max()}")
    return np.ascontiguousarray(values, np.int32)
