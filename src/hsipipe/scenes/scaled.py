"""Between a file's own units and the [0, 1] of each band that methods work in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hsipipe.degrade.normalise import band_minmax, denormalise, normalise
from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item


@dataclass(frozen=True)
class Scaled:
    """The good bands of an item, each scaled to [0, 1].

    Attributes: cube (good bands, rows, cols) float32; low, high and wavelength_nm (good bands,).
    """

    cube: np.ndarray
    low: np.ndarray
    high: np.ndarray
    wavelength_nm: np.ndarray | None


def scale_item(item: Item) -> Scaled:
    """Scale each good band by the smallest and largest value of its valid pixels; invalid pixels get its mean."""
    if not item.valid.any() or not item.good_bands.any():
        raise UserError("has no valid pixel in any band", file=item.source.get("path"))
    cube = item.cube[item.good_bands].astype(np.float32)
    low, high = band_minmax(cube, item.valid)
    cube = normalise(cube, low, high)
    if not item.valid.all():
        cube = np.where(item.valid, cube, cube[:, item.valid].mean(axis=1)[:, None, None])
    wavelength_nm = None if item.wavelength_nm is None else item.wavelength_nm[item.good_bands]
    return Scaled(cube.astype(np.float32), low, high, wavelength_nm)


def unscale_item(item: Item, scaled: Scaled, cube: np.ndarray, *, keep_type: bool = True) -> Item:
    """The item with its good bands replaced by `cube` in the item's units; invalid pixels and bad bands stay.

    With `keep_type` integers stay integers: rounded, and clipped to the range of the type.
    """
    restored = item.cube.astype(np.float32)
    back = denormalise(cube, scaled.low, scaled.high)
    restored[item.good_bands] = np.where(item.valid, back, restored[item.good_bands])
    if keep_type and item.cube.dtype.kind in "iu":
        limits = np.iinfo(item.cube.dtype)
        restored = np.clip(np.rint(restored), limits.min, limits.max).astype(item.cube.dtype)
    return replace(item, cube=restored)


def normalised_item(item: Item, cube: np.ndarray) -> Item:
    """The item with its good bands replaced by `cube`, which is scaled; all else is NaN.

    The item's scale and nodata are numbers in its own units, so they are left out: nodata becomes NaN.
    """
    scaled = np.full(item.cube.shape, np.nan, np.float32)
    scaled[item.good_bands] = np.where(item.valid, cube, np.nan)
    source = {**item.source, "dtype": "float32", "scale": None, "nodata": None, "fill": "nan"}
    return replace(item, cube=scaled, source=source)
