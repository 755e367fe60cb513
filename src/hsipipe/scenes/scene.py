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
from hsipipe.hdf5 import StackWriter, attach_axes, digest_of, open_checked, read_strings, write_strings

FORMAT = "hsipipe-scene-1"
AXES = {
    "cube": ("item", "band", "row", "col"),
    "valid": ("item", "row", "col"),
    "labels": ("item", "row", "col"),
    "abundances": ("item", "endmember", "row", "col"),
    "endmembers": ("endmember", "band"),
    "source": ("item",),
    "digest": ("item",),
    "rows": ("item",),
    "cols": ("item",),
    "good_band": ("item", "band"),
    "wavelength_nm": ("band",),
    "fwhm_nm": ("band",),
}
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
    fwhm_nm (band), good_band (item, band), labels (item, row, col), abundances (item, endmember, row, col),
    endmembers (endmember, band), digest (item). Integer cubes keep their type, others are float32.

    Raises:
        UserError: no item, items with different bands or types, or names that repeat.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"format": FORMAT, "name": name, "simulated": int(simulated), "code_version": __version__})
        for key, value in (attributes or {}).items():
            file.attrs[key] = value if isinstance(value, (int, float, str)) else json.dumps(value, default=str)
        first: Item | None = None
        stacks: dict[str, StackWriter] = {}
        good: list[np.ndarray] = []
        names: list[str] = []
        sources: list[str] = []
        digests: list[str] = []
        sizes: list[tuple[int, ...]] = []
        for item in items:
            if first is None:
                first = item
                dtype = item.cube.dtype if item.cube.dtype.kind in "iu" else np.float32
                # Measured values hardly shrink (by a sixth), and unpacking them takes four times as long as reading.
                cubes = StackWriter(file, "cube", dtype, compressed=False)
                stacks = {"cube": cubes, "valid": StackWriter(file, "valid", np.uint8)}
                if item.labels is not None:
                    stacks["labels"] = StackWriter(file, "labels", np.int32)
                if item.abundances is not None:
                    stacks["abundances"] = StackWriter(file, "abundances", np.float32)
            _check_alike(item, first, names)
            good.append(item.good_bands)
            for stack in stacks.values():
                value = getattr(item, stack.name)
                stack.append(np.zeros(item.valid.shape, np.int32) if value is None else value)
            names.append(item.name)
            sources.append(json.dumps(item.source, default=str))
            digests.append(digest_of(item.cube, item.valid, item.labels, item.abundances))
            sizes.append(item.cube.shape[1:])
        if first is None:
            raise UserError("a scene needs at least one item", file=path)
        write_strings(file, "item", names)
        write_strings(file, "source", sources)
        write_strings(file, "digest", digests)
        file["rows"], file["cols"] = np.array(sizes, np.int32).T
        file["good_band"] = np.stack(good).astype(np.uint8)
        for key in ("wavelength_nm", "fwhm_nm"):
            value = getattr(first, key)
            if value is not None:
                file[key] = np.asarray(value, np.float64)
                file[key].attrs["units"] = "nm"
        if first.endmembers is not None:
            file["endmembers"] = np.asarray(first.endmembers, np.float32)
        file.attrs["class_names"] = json.dumps(first.class_names)
        attach_axes(file, AXES)


def _check_alike(item: Item, first: Item, names: list[str]) -> None:
    """Refuse an item that does not fit the first of its scene."""
    where = item.source.get("path")
    if item.name in names:
        raise UserError(f"two items are named {item.name!r}", file=where)
    if item.cube.shape[0] != first.cube.shape[0]:
        raise UserError(
            f"item {item.name!r} has {item.cube.shape[0]} bands, {first.name!r} has {first.cube.shape[0]}",
            file=where,
            remedy="items of one scene share their bands",
        )
    if first.cube.dtype.kind in "iu" and item.cube.dtype != first.cube.dtype:
        raise UserError(
            f"item {item.name!r} is {item.cube.dtype}, {first.name!r} is {first.cube.dtype}",
            file=where,
            remedy="items of one scene share their type",
        )


class Scene:
    """A scene file, opened for reading; items are read one at a time.

    Attributes: path, name, simulated, items (names), sizes (item -> rows, cols), digests (item -> SHA-256 of its data),
    bands (count), dtype, good_bands (those that are good in more than half of the items: a band that is constant over
    one small patch of water is still a band of the scene), wavelength_nm, fwhm_nm, endmembers, class_names.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = open_checked(self.path, FORMAT, "make a scene file with `hsipipe convert IN OUT.h5`")
        self.name = str(self._file.attrs["name"])
        self.simulated = bool(self._file.attrs["simulated"])
        self.items: list[str] = read_strings(self._file, "item")
        sizes = zip(self._file["rows"][()].tolist(), self._file["cols"][()].tolist(), strict=True)
        self.sizes: dict[str, tuple[int, int]] = dict(zip(self.items, sizes, strict=True))
        self.digests: dict[str, str] = dict(zip(self.items, read_strings(self._file, "digest"), strict=True))
        self.bands: int = self._file["cube"].shape[1]
        self.dtype: np.dtype = self._file["cube"].dtype
        self._good_band: np.ndarray = self._file["good_band"][()].astype(bool)
        self.good_bands: np.ndarray = self._good_band.mean(axis=0) > 0.5
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

    def read_source(self, item: str) -> dict[str, Any]:
        """The provenance of one item."""
        return json.loads(self._file["source"][self.items.index(item)].decode())

    def read_valid(self, item: str, *, window: Window | None = None) -> np.ndarray:
        """The validity mask of an item, or of a window of it: (rows, cols) bool."""
        rows, cols = self.sizes[item]
        first_row, end_row, first_col, end_col = window or (0, rows, 0, cols)
        index = self.items.index(item)
        return self._file["valid"][index, first_row:end_row, first_col:end_col].astype(bool)

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
            good_bands=self._good_band[index, chosen],
            wavelength_nm=None if self.wavelength_nm is None else self.wavelength_nm[chosen],
            fwhm_nm=None if self.fwhm_nm is None else self.fwhm_nm[chosen],
            labels=labels,
            abundances=abundances,
            endmembers=None if self.endmembers is None else self.endmembers[:, chosen],
            class_names=self.class_names,
            source=self.read_source(item),
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
