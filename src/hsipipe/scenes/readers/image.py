"""`ImageFile`: what a file says about its image, and a way to its pixels that reads no more than is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item
from hsipipe.scenes.validity import assess_validity

Loader = Callable[[np.ndarray | None], np.ndarray]


@dataclass
class ImageFile:
    """An image file that has been opened, not read.

    Attributes:
        path: the file that was named.
        format: envi, geotiff, matlab5, matlab7.3, npy, npz, hdf5, erdas, scene.
        shape: (bands, rows, cols).
        dtype: as stored.
        layout: order of the axes as stored: bil, bsq, bip for ENVI and ERDAS, otherwise such as rows-cols-bands.
        load: pixels of the given bands (indices, any order; None: all) as (bands, rows, cols), native byte order.
        name: what to call the item.
        key: the array of the file, where it holds several; keys: all of them with their shapes.
        wavelength_nm, fwhm_nm: (bands,) float64 or None.
        nodata: value without meaning, or None.
        scale: physical value per stored unit (reflectance), or None.
        crs: WKT or None; transform: (a, b, c, d, e, f) as in x = a col + b row + c, y = d col + e row + f, or None.
        class_names: names of labels 1, 2, ...
        declared_bad: (bands,) bool, bands that the header calls bad, or None.
        labels: keys of label maps in the same file, as `--labels` takes them.
        interleave: bil, bsq, bip, pixel, band where the format tells.
        mask: reads the file's own pixel mask, (rows, cols) bool with True for excluded, or None.
        extra: what a writer needs to make the like of this file.
        item: makes the Item, in place of the common way, for formats that store one (scene files).
    """

    path: Path
    format: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    layout: str
    load: Loader
    name: str = "image"
    key: str | None = None
    keys: dict[str, tuple[int, ...]] = field(default_factory=dict)
    wavelength_nm: np.ndarray | None = None
    fwhm_nm: np.ndarray | None = None
    nodata: float | None = None
    scale: float | None = None
    crs: str | None = None
    transform: tuple[float, ...] | None = None
    class_names: list[str] = field(default_factory=list)
    declared_bad: np.ndarray | None = None
    labels: list[str] = field(default_factory=list)
    interleave: str | None = None
    mask: Callable[[], np.ndarray] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    item: Callable[[np.ndarray | None], Item] | None = None

    @property
    def bad_bands(self) -> list[int]:
        """0-based indices of the bands that the header declares bad."""
        return [] if self.declared_bad is None else np.flatnonzero(self.declared_bad).tolist()

    def read(self, bands: Sequence[int] | np.ndarray | None = None) -> Item:
        """Read the pixels, whole or of some bands, with their mask.

        Args:
            bands: 0-based indices in any order; None reads all.

        Returns:
            The item. Integers keep their type, everything else becomes float32. Values are as stored: samples
            without a measurement keep the file's nodata or NaN, and `valid` and `good_bands` tell of them, judged
            on the bands that were read.

        Raises:
            UserError: a band that does not exist, unreadable data, or nothing valid in it.
        """
        index = self._band_index(bands)
        if self.item is not None:
            return self.item(index)
        cube = self.load(index)
        if cube.dtype.kind == "b":
            cube = cube.astype(np.uint8)
        elif cube.dtype.kind not in "iu":
            cube = cube.astype(np.float32, copy=False)
        valid, good = assess_validity(
            cube,
            nodata=self.nodata,
            declared_bad=_pick(self.declared_bad, index),
            masked=None if self.mask is None else self.mask(),
            file=self.path,
        )
        source = self.source()
        if self.nodata is None and not valid.all():
            # What stood in invalid pixels, for an output to put there again.
            source["fill"] = "nan" if cube.dtype.kind == "f" and not np.isfinite(cube[:, ~valid]).all() else 0
        return Item(
            cube=cube,
            name=self.name,
            valid=valid,
            good_bands=good,
            wavelength_nm=_pick(self.wavelength_nm, index),
            fwhm_nm=_pick(self.fwhm_nm, index),
            class_names=list(self.class_names),
            source=source,
        )

    def source(self) -> dict[str, Any]:
        """Provenance for `Item.source`, enough to write a file like this one."""
        return {
            "path": str(self.path),
            "format": self.format,
            "dtype": str(self.dtype.newbyteorder("=")),
            "layout": self.layout,
            "interleave": self.interleave,
            "key": self.key,
            "scale": self.scale,
            "nodata": self.nodata,
            "crs": self.crs,
            "transform": None if self.transform is None else list(self.transform),
            **self.extra,
        }

    def describe(self, *, pixels: bool = True) -> dict[str, Any]:
        """What the file holds, as JSON-able values; band indices are 0-based, `simulated` is None if nothing tells.

        Args:
            pixels: also read the pixels: `bad_bands` then includes those found (not only declared), and
                `valid_share` and `value_range` (over valid pixels and good bands) are given.
        """
        bands, rows, cols = self.shape
        about: dict[str, Any] = {
            "file": str(self.path),
            "format": self.format,
            "name": self.name,
            "rows": rows,
            "cols": cols,
            "bands": bands,
            "dtype": str(self.dtype.newbyteorder("=")),
            "layout": self.layout,
            "interleave": self.interleave,
            "key": self.key,
            "keys": {key: list(shape) for key, shape in self.keys.items()},
            "wavelength_nm": None if self.wavelength_nm is None else [round(float(v), 4) for v in self.wavelength_nm],
            "fwhm_nm": None if self.fwhm_nm is None else [round(float(v), 4) for v in self.fwhm_nm],
            "nodata": None if self.nodata is None else _number(self.nodata),
            "scale": self.scale,
            "crs": self.crs,
            "transform": None if self.transform is None else list(self.transform),
            "class_names": list(self.class_names),
            "labels": list(self.labels),
            "bad_bands": self.bad_bands,
            "simulated": self.extra.get("simulated"),
        }
        if pixels:
            item = self.read()
            about["bad_bands"] = np.flatnonzero(~item.good_bands).tolist()
            about["valid_share"] = float(item.valid.mean())
            about["invalid_pixels"] = int((~item.valid).sum())
            low, high = np.inf, -np.inf
            for band in np.flatnonzero(item.good_bands):
                values = item.cube[band][item.valid]
                low, high = min(low, values.min()), max(high, values.max())
            about["value_range"] = [_number(low), _number(high)]
        return about

    def _band_index(self, bands: Sequence[int] | np.ndarray | None) -> np.ndarray | None:
        if bands is None:
            return None
        index = np.asarray(bands)
        if index.dtype == bool and len(index) == self.shape[0]:
            index = np.flatnonzero(index)
        index = index.astype(int)
        wrong = index[(index < 0) | (index >= self.shape[0])]
        if len(wrong) or not len(index):
            raise UserError(
                "has no such band" if len(wrong) else "was asked for no band",
                file=self.path,
                found=f"bands {wrong.tolist()}" if len(wrong) else None,
                remedy=f"bands are 0 to {self.shape[0] - 1}",
            )
        return index


def _pick(values: np.ndarray | None, index: np.ndarray | None) -> np.ndarray | None:
    return values if values is None or index is None else values[index]


def _number(value: float) -> float | int | str:
    value = float(value)
    if not np.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
