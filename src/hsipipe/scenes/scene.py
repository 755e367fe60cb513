"""`Item`, one image cube in memory, and `Scene`, a store of items on disk (HDF5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.errors import UserError, unknown
from hsipipe.files import atomic_path

FORMAT = "hsipipe-scene-1"
Window = tuple[int, int, int, int]  # first row, end row, first column, end column


@dataclass
class Item:
    """One image cube as a method sees it, in the units of its file.

    Attributes:
        cube: (bands, rows, cols); values in the file's own units (`source["scale"]` times value is the physical one).
        name: unique within its scene.
        valid: (rows, cols) bool; False where the pixel holds no measurement (nodata, NaN, all zero, padding).
        good_bands: (bands,) bool; False for bands without a measurement anywhere (dead, constant, all nodata).
        wavelength_nm, fwhm_nm: (bands,) float64 in the sensor's order, or None if the file does not tell.
        labels: (rows, cols) integers, 0 = unlabelled, or None.
        abundances: (endmembers, rows, cols), or None.
        endmembers: (endmembers, bands), or None.
        class_names: names of labels 1, 2, ..., or empty.
        source: provenance: path, format, dtype, layout, key, scale, nodata, crs (WKT), transform (6 numbers), sha256.
    """

    cube: np.ndarray
    name: str = "image"
    valid: np.ndarray = None  # type: ignore[assignment]
    good_bands: np.ndarray = None  # type: ignore[assignment]
    wavelength_nm: np.ndarray | None = None
    fwhm_nm: np.ndarray | None = None
    labels: np.ndarray | None = None
    abundances: np.ndarray | None = None
    endmembers: np.ndarray | None = None
    class_names: list[str] = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bands, rows, cols = self.cube.shape
        if self.valid is None:
            self.valid = np.ones((rows, cols), bool)
        if self.good_bands is None:
            self.good_bands = np.ones(bands, bool)
        for name in ("wavelength_nm", "fwhm_nm"):
            value = getattr(self, name)
            if value is not None and len(value) != bands:
                raise UserError(
                    f"{len(value)} values of {name} for {bands} bands",
                    file=self.source.get("path"),
                    remedy="give one value per band, or none",
                )
        if self.labels is not None and self.labels.shape != (rows, cols):
            raise UserError(
                f"labels of {self.labels.shape} do not fit an image of {(rows, cols)}", file=self.source.get("path")
            )

    def with_bands(self, bands: Sequence[int] | np.ndarray) -> Item:
        """The same item with the bands of the given indices only, in the given order."""
        index = np.asarray(bands, int)
        return replace(
            self,
            cube=self.cube[index],
            good_bands=self.good_bands[index],
            wavelength_nm=None if self.wavelength_nm is None else self.wavelength_nm[index],
            fwhm_nm=None if self.fwhm_nm is None else self.fwhm_nm[index],
            endmembers=None if self.endmembers is None else self.endmembers[:, index],
        )


def write_scene(
    path: str | Path,
    items: Iterable[Item],
    *,
    name: str,
    simulated: bool = False,
    attributes: dict[str, Any] | None = None,
) -> None:
    """Write a scene file; items may come from a generator and differ in size (smaller ones are padded, mask False).

    Layout (all with dimension scales, so `xarray.open_dataset(path, engine="h5netcdf")` opens it):
    cube (item, band, row, col), valid (item, row, col), rows (item), cols (item), wavelength_nm (band),
    fwhm_nm (band), good_band (band), labels (item, row, col), abundances (item, endmember, row, col),
    endmembers (endmember, band). Integer cubes keep their type, others are float32. Padding takes no space.

    Raises:
        UserError: no item, items with different bands, or names that repeat.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["name"] = name
        file.attrs["simulated"] = int(simulated)
        file.attrs["code_version"] = __version__
        for key, value in (attributes or {}).items():
            file.attrs[key] = value if isinstance(value, (int, float, str)) else json.dumps(value, default=str)
        names: list[str] = []
        sources: list[str] = []
        sizes: list[tuple[int, int]] = []
        good: np.ndarray | None = None
        first: Item | None = None
        for item in items:
            if first is None:
                first, good = item, item.good_bands.copy()
                _create_datasets(file, item)
            if item.cube.shape[0] != first.cube.shape[0]:
                raise UserError(
                    f"item {item.name!r} has {item.cube.shape[0]} bands, {first.name!r} has {first.cube.shape[0]}",
                    file=item.source.get("path"),
                    remedy="items of one scene share their bands",
                )
            if item.name in names:
                raise UserError(f"two items are named {item.name!r}", file=item.source.get("path"))
            assert good is not None
            good &= item.good_bands
            _append(file, item, len(names))
            names.append(item.name)
            sources.append(json.dumps(item.source, default=str))
            sizes.append((item.cube.shape[1], item.cube.shape[2]))
        if first is None or good is None:
            raise UserError("a scene needs at least one item", file=path)
        _finish(file, first, names, sources, sizes, good)


def _create_datasets(file: h5py.File, item: Item) -> None:
    bands, rows, cols = item.cube.shape
    dtype = item.cube.dtype if item.cube.dtype.kind in "iu" else np.dtype(np.float32)
    chunk_rows, chunk_cols = min(rows, 128), min(cols, 128)

    def create(name: str, shape: tuple[int, ...], dtype: Any) -> None:
        fixed = shape[1:-2]
        file.create_dataset(
            name,
            shape=(0, *fixed, *shape[-2:]),
            maxshape=(None, *fixed, None, None),
            chunks=(1, *fixed, chunk_rows, chunk_cols),
            dtype=dtype,
            compression="lzf" if np.dtype(dtype).kind in "iub" else None,
            shuffle=np.dtype(dtype).itemsize > 1 and np.dtype(dtype).kind in "iu",
        )

    create("cube", (0, bands, rows, cols), dtype)
    create("valid", (0, rows, cols), np.uint8)
    if item.labels is not None:
        create("labels", (0, rows, cols), np.int32)
    if item.abundances is not None:
        create("abundances", (0, item.abundances.shape[0], rows, cols), np.float32)


def _append(file: h5py.File, item: Item, index: int) -> None:
    rows, cols = item.cube.shape[-2:]
    for name in ("cube", "valid", "labels", "abundances"):
        value = getattr(item, name)
        if name not in file:
            continue
        if value is None:
            value = np.zeros((rows, cols), np.int32)
        dataset = file[name]
        if dataset.dtype.kind in "iu" and value.dtype.kind == "f":
            raise UserError(
                f"item {item.name!r} is {value.dtype}, the items before it {dataset.dtype}",
                file=item.source.get("path"),
                remedy="items of one scene share their type",
            )
        shape = dataset.shape
        dataset.resize((index + 1, *shape[1:-2], max(shape[-2], rows), max(shape[-1], cols)))
        dataset[index, ..., :rows, :cols] = value


def _finish(
    file: h5py.File,
    first: Item,
    names: list[str],
    sources: list[str],
    sizes: list[tuple[int, int]],
    good: np.ndarray,
) -> None:
    bands, rows, cols = file["cube"].shape[1:]
    text = h5py.string_dtype()
    file.create_dataset("item", data=np.array(names, dtype=object), dtype=text)
    for axis, length in (("band", bands), ("row", rows), ("col", cols)):
        file.create_dataset(axis, data=np.arange(length, dtype=np.int32))
    file.create_dataset("source", data=np.array(sources, dtype=object), dtype=text)
    file.create_dataset("rows", data=np.array([size[0] for size in sizes], np.int32))
    file.create_dataset("cols", data=np.array([size[1] for size in sizes], np.int32))
    file.create_dataset("good_band", data=good.astype(np.uint8))
    for name in ("wavelength_nm", "fwhm_nm"):
        value = getattr(first, name)
        if value is not None:
            file.create_dataset(name, data=np.asarray(value, np.float64))
            file[name].attrs["units"] = "nm"
    dimensions = {
        "cube": ("item", "band", "row", "col"),
        "valid": ("item", "row", "col"),
        "labels": ("item", "row", "col"),
        "abundances": ("item", "endmember", "row", "col"),
        "source": ("item",),
        "rows": ("item",),
        "cols": ("item",),
        "good_band": ("band",),
        "wavelength_nm": ("band",),
        "fwhm_nm": ("band",),
        "endmembers": ("endmember", "band"),
    }
    if first.endmembers is not None:
        file.create_dataset("endmembers", data=np.asarray(first.endmembers, np.float32))
    if first.endmembers is not None or first.abundances is not None:
        count = len(first.endmembers) if first.endmembers is not None else first.abundances.shape[0]  # type: ignore[union-attr]
        file.create_dataset("endmember", data=np.arange(count, dtype=np.int32))
    if first.class_names:
        file.attrs["class_names"] = json.dumps(first.class_names)
    for axis in ("item", "band", "row", "col", "endmember"):
        if axis in file:
            file[axis].make_scale(axis)
    for name, axes in dimensions.items():
        if name in file:
            for position, axis in enumerate(axes):
                file[name].dims[position].attach_scale(file[axis])


class Scene:
    """A scene file, opened for reading; items are read one at a time.

    Attributes: path, name, simulated, items (names), bands, wavelength_nm, fwhm_nm, good_bands, class_names, shape
    (largest rows and cols). Use as a context manager or call `close`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise UserError("is not a readable HDF5 file", file=path, found=str(error)) from error
        if self._file.attrs.get("format") != FORMAT:
            raise UserError(
                "is not a scene file",
                file=path,
                found=self._file.attrs.get("format", "no format attribute"),
                remedy="make one with `hsipipe convert IN OUT.h5`",
            )
        self.name = str(self._file.attrs["name"])
        self.simulated = bool(self._file.attrs["simulated"])
        self.items: list[str] = [name.decode() for name in self._file["item"][()]]
        self.sizes = dict(
            zip(self.items, zip(self._file["rows"][()].tolist(), self._file["cols"][()].tolist(), strict=True), strict=True)
        )
        self.bands: int = self._file["cube"].shape[1]
        self.dtype: np.dtype = self._file["cube"].dtype
        self.good_bands: np.ndarray = self._file["good_band"][()].astype(bool)
        self.wavelength_nm: np.ndarray | None = self._optional("wavelength_nm")
        self.fwhm_nm: np.ndarray | None = self._optional("fwhm_nm")
        self.endmembers: np.ndarray | None = self._optional("endmembers")
        self.class_names: list[str] = json.loads(self._file.attrs.get("class_names", "[]"))

    def _optional(self, name: str) -> np.ndarray | None:
        return self._file[name][()] if name in self._file else None

    @property
    def attributes(self) -> dict[str, Any]:
        """Provenance attributes of the file."""
        return dict(self._file.attrs)

    def read(self, item: str, *, bands: Sequence[int] | np.ndarray | None = None, window: Window | None = None) -> Item:
        """Read one item as float32, whole or a window, all bands or those of `bands` (indices, any order)."""
        if item not in self.sizes:
            raise unknown("item", item, self.items, file=self.path)
        index = self.items.index(item)
        rows, cols = self.sizes[item]
        first_row, end_row, first_col, end_col = window or (0, rows, 0, cols)
        space = (slice(first_row, end_row), slice(first_col, end_col))
        chosen = np.arange(self.bands) if bands is None else np.asarray(bands, int)
        order = np.sort(np.unique(chosen))
        if len(order) == self.bands:
            cube = self._file["cube"][(index, slice(None), *space)][chosen]
        else:
            cube = self._file["cube"][(index, order, *space)][np.searchsorted(order, chosen)]
        abundances = self._file["abundances"][(index, slice(None), *space)] if "abundances" in self._file else None
        labels = self._file["labels"][(index, *space)] if "labels" in self._file else None
        return Item(
            cube=cube.astype(np.float32),
            name=item,
            valid=self._file["valid"][(index, *space)].astype(bool),
            good_bands=self.good_bands[chosen],
            wavelength_nm=None if self.wavelength_nm is None else self.wavelength_nm[chosen],
            fwhm_nm=None if self.fwhm_nm is None else self.fwhm_nm[chosen],
            labels=labels,
            abundances=abundances,
            endmembers=None if self.endmembers is None else self.endmembers[:, chosen],
            class_names=self.class_names,
            source=json.loads(self._file["source"][index].decode()),
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
