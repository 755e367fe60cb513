"""What goes into an output: values in the type of the input, with its nodata where nothing is valid."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item
from hsipipe.scenes.validity import representable

log = logging.getLogger(__name__)


def target_dtype(item: Item, source: dict[str, Any], dtype: str | np.dtype | None) -> np.dtype:
    """The type to store: the one asked for, else the input's, else the cube's; float16 and bool are widened."""
    chosen = np.dtype(dtype if dtype is not None else source.get("dtype") or item.cube.dtype)
    if chosen.kind == "b":
        return np.dtype(np.uint8)
    if chosen == np.float16:
        return np.dtype(np.float32)
    if chosen.kind not in "iuf":
        raise UserError("is not a type to store an image in", key="dtype", found=chosen)
    return chosen.newbyteorder("=")


def stored_values(item: Item, source: dict[str, Any], dtype: np.dtype) -> tuple[np.ndarray, float | None]:
    """The cube as it is to be stored.

    Integers are rounded and clipped to the range of the type, and a valid sample never lands on nodata. Invalid
    pixels are refilled with nodata; where the input had none, with what stood there (NaN or zero).

    Returns:
        values (bands, rows, cols) of `dtype`, and the nodata to declare (None if the input had none or the type cannot
        hold it).
    """
    nodata = source.get("nodata")
    nodata = None if nodata is None else float(nodata)
    mark = representable(nodata, dtype)
    if mark is None and nodata is not None and not np.isnan(nodata):
        log.warning("%s: nodata %s does not fit %s and is left out", source.get("path", item.name), nodata, dtype)
        nodata = None
    if nodata is not None and np.isnan(nodata) and dtype.kind != "f":
        nodata = None
    fill: Any = mark
    if mark is None:
        zero = source.get("fill", "nan") != "nan" or dtype.kind != "f"
        fill = dtype.type(0) if zero else dtype.type(np.nan)
    values = np.empty(item.cube.shape, dtype)
    invalid = ~item.valid
    some_invalid = bool(invalid.any())
    for band, samples in enumerate(item.cube):
        values[band] = _converted(samples, dtype, mark, item.valid if item.good_bands[band] else None, fill)
        if some_invalid:
            values[band][invalid] = fill
    return values, nodata


def _converted(
    samples: np.ndarray, dtype: np.dtype, mark: np.generic | None, valid: np.ndarray | None, fill: Any
) -> np.ndarray:
    if samples.dtype == dtype or dtype.kind == "f":
        return samples.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    if samples.dtype.kind in "iu":
        own = np.iinfo(samples.dtype)
        return samples.clip(max(own.min, limits.min), min(own.max, limits.max)).astype(dtype)
    finite = np.isfinite(samples)
    wide = np.where(finite, samples, 0).astype(np.float64)
    # The largest 64-bit integers are no float64: clip just below them.
    top = float(limits.max) if dtype.itemsize < 8 else np.nextafter(float(limits.max), 0)
    out = np.rint(wide).clip(float(limits.min), top).astype(dtype)
    out[~finite] = fill
    if mark is not None and valid is not None:
        touched = (out == mark) & valid & finite
        if touched.any():
            up = (wide >= float(mark)) | (mark == limits.min)
            up &= mark != limits.max
            out[touched & up] = dtype.type(int(mark) + 1 if mark != limits.max else mark)
            out[touched & ~up] = dtype.type(int(mark) - 1 if mark != limits.min else mark)
    return out


def refuse_input(path: Path, source: dict[str, Any], targets: list[Path]) -> None:
    """Refuse to write over the file that the item was read from.

    Raises:
        UserError: naming it.
    """
    for key in ("path", "header", "data"):
        value = source.get(key)
        if value is None:
            continue
        original = Path(value)
        for target in targets:
            if target.exists() and original.exists() and target.samefile(original):
                raise UserError(
                    "is the input and would be overwritten",
                    file=path,
                    found=target.name,
                    remedy="choose another output",
                )
