"""Bare arrays (MATLAB, NumPy, HDF5): which one is the cube, and which of its axes are bands, rows and columns."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np

from hsipipe.errors import UserError

log = logging.getLogger(__name__)

_ALIASES = {
    "hwc": "rows-cols-bands",
    "chw": "bands-rows-cols",
    "bip": "rows-cols-bands",
    "bsq": "bands-rows-cols",
    "bil": "rows-bands-cols",
}
_ROWS = ("nrow", "nrows", "rows", "lines", "height", "n_row", "n_rows", "num_rows")
_COLS = ("ncol", "ncols", "cols", "samples", "width", "n_col", "n_cols", "num_cols", "columns")
_BANDS = ("nband", "nbands", "bands", "n_band", "n_bands", "num_bands")
_LABEL_NAME = re.compile(
    r"(^|_)(gt|map|labels?|classes|ground_?truth|annotations?)$|^(gt|labels?|clas\w*lab\w*)", re.IGNORECASE
)


@dataclass(frozen=True)
class CubeArray:
    """A choice: the array's `key`, its `layout` by name, the cube's `shape` (bands, rows, cols), and how to get there.

    `axes` are the stored positions of bands, rows and columns for a 3-D array and None for a matrix; `to_cube` turns
    the stored array into a (bands, rows, cols) view or copy.
    """

    key: str
    layout: str
    shape: tuple[int, int, int]
    axes: tuple[int, int, int] | None
    to_cube: Callable[[np.ndarray], np.ndarray]


def choose_cube(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    scalars: Mapping[str, float],
    key: str | None = None,
    layout: str | None = None,
    table: bool = False,
    default: str = "rows-cols-bands",
    order: Literal["C", "F"] = "F",
) -> CubeArray:
    """Find the cube among the arrays of a file.

    A matrix beside scalars nRow and nCol (or lines and cols) whose product is its number of pixels is a cube, with
    pixels in `order` (MATLAB's is column-major). Otherwise the only 3-D array is. A matrix without such scalars is
    refused unless it is called a table.

    Args:
        path: named in errors.
        shapes: of the numeric arrays, by key.
        scalars: single numbers of the file, by key.
        key: the array to take; None finds it.
        layout: words rows, cols, bands in the stored order (or hwc, chw, bil, bip, bsq); for a matrix `rows-cols`,
            `pixels-bands` or `bands-pixels`.
        table: a matrix is (pixels, bands); it becomes an image one column wide.
        default: layout of 3-D arrays that say nothing.

    Raises:
        UserError: no cube, several, a key that is not there, a wrong number of axes, an unknown layout.
    """
    if not shapes:
        raise UserError("holds no numeric array", file=path)
    rows, cols = _scalar(scalars, _ROWS), _scalar(scalars, _COLS)
    if key is None:
        key = _find(path, shapes, rows, cols, _scalar(scalars, _BANDS), table or _is_matrix_layout(layout))
    elif key not in shapes:
        raise UserError("has no such array", file=path, key=key, remedy=f"there are {listing(shapes)}")
    shape = shapes[key]
    if len(shape) == 3:
        return _cube_of_three(path, key, shape, layout or default)
    if len(shape) == 2:
        return _cube_of_two(path, key, shape, rows, cols, layout, table, order)
    raise UserError(
        f"has {len(shape)} axes, an image has 3",
        file=path,
        key=key,
        found=_times(shape),
        remedy="save each image as an array of its own, (rows, cols, bands), and name the files or their folder"
        if len(shape) > 3
        else "give (rows, cols, bands)",
    )


def parse_layout(layout: str, *, file: Path) -> tuple[int, int, int]:
    """Stored positions of bands, rows and columns from a layout such as "rows-cols-bands" or "hwc".

    Raises:
        UserError: an unknown word, or one missing.
    """
    words = _ALIASES.get(layout.lower(), layout.lower()).split("-")
    if sorted(words) != ["bands", "cols", "rows"]:
        raise UserError(
            "is not a layout",
            file=file,
            key="layout",
            found=layout,
            remedy="use rows-cols-bands, bands-rows-cols, rows-bands-cols or another order of these words",
        )
    return words.index("bands"), words.index("rows"), words.index("cols")


def label_keys(shapes: Mapping[str, tuple[int, ...]], whole: Mapping[str, bool], cube: CubeArray) -> list[str]:
    """Keys of label maps beside a cube: of its rows and columns, and called so or made of integers."""
    size = cube.shape[1:]
    return [
        key
        for key, shape in shapes.items()
        if key != cube.key
        and tuple(n for n in shape if n > 1) == tuple(n for n in size if n > 1)
        and prod(size) > 1
        and (_LABEL_NAME.search(key.rsplit("/", 1)[-1]) or whole.get(key, False))
    ]


def listing(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Keys with their shapes, in one line.

    >>> listing({"gt": (3, 4), "cube": (3, 4, 5)})
    'gt 3x4, cube 3x4x5'
    """
    return ", ".join(f"{key} {_times(shape) or 'scalar'}" for key, shape in shapes.items())


def _find(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    rows: int | None,
    cols: int | None,
    bands: int | None,
    table: bool,
) -> str:
    if rows and cols:
        matrices = [
            k for k, s in shapes.items() if len(s) == 2 and rows * cols in s and min(s) > 1 and s != (rows, cols)
        ]
        exact = [k for k in matrices if bands and bands in shapes[k]]
        for found in (exact, matrices):
            if len(found) == 1:
                return found[0]
        if matrices:
            raise UserError(
                "holds several matrices that may be the cube",
                file=path,
                found=listing({k: shapes[k] for k in matrices}),
                remedy="choose one with --key",
            )
    cubes = [k for k, s in shapes.items() if len(s) == 3]
    if len(cubes) == 1:
        return cubes[0]
    if cubes:
        raise UserError(
            "holds several cubes",
            file=path,
            found=listing({k: shapes[k] for k in cubes}),
            remedy="choose one with --key",
        )
    large = [k for k, s in shapes.items() if prod(s) > 1]
    if len(large) == 1:
        return large[0]
    matrices = [k for k in large if len(shapes[k]) == 2 and min(shapes[k]) > 1]
    if table and len(matrices) == 1:
        return matrices[0]
    raise UserError(
        "holds no cube (an array with 3 axes)",
        file=path,
        found=listing(shapes),
        remedy="choose an array with --key",
    )


def _cube_of_three(path: Path, key: str, shape: tuple[int, ...], layout: str) -> CubeArray:
    axes = parse_layout(layout, file=path)
    bands, rows, cols = (shape[axis] for axis in axes)
    if min(shape) == 0:
        raise UserError("is empty", file=path, key=key, found=_times(shape))
    if axes[0] == 2 and shape[1] == shape[2] and shape[0] != shape[1] and shape[1] >= 32:
        log.warning(
            "%s: %s is %s, read as %s; if the bands come first, say --layout bands-rows-cols",
            path,
            key,
            _times(shape),
            layout,
        )
    return CubeArray(
        key,
        _ALIASES.get(layout.lower(), layout.lower()),
        (bands, rows, cols),
        axes,
        lambda stored: stored.transpose(axes),
    )


def _cube_of_two(
    path: Path,
    key: str,
    shape: tuple[int, ...],
    rows: int | None,
    cols: int | None,
    layout: str | None,
    table: bool,
    order: Literal["C", "F"],
) -> CubeArray:
    if min(shape) == 0:
        raise UserError("is empty", file=path, key=key, found=_times(shape))
    name = (layout or "").lower()
    if name == "rows-cols":
        return CubeArray(key, name, (1, shape[0], shape[1]), None, lambda stored: stored[None])
    if name and name not in ("pixels-bands", "bands-pixels"):
        raise UserError(
            "has 2 axes, which this layout does not fit",
            file=path,
            key=key,
            found=f"{_times(shape)} with layout {layout}",
            remedy="use pixels-bands, bands-pixels or rows-cols",
        )
    if rows and cols and rows * cols in shape and shape != (rows, cols):
        r, c = rows, cols
        first = shape[1] == r * c if not name else name == "bands-pixels"
        if shape[1 if first else 0] == r * c:
            bands = shape[0 if first else 1]

            def unfold(stored: np.ndarray) -> np.ndarray:
                spectra = stored if first else stored.T
                if order == "C":
                    return spectra.reshape(bands, r, c)
                # Column-major pixels: the row, the first index of each band's image, runs fastest.
                return spectra.reshape(bands, c, r).transpose(0, 2, 1)

            return CubeArray(key, "bands-pixels" if first else "pixels-bands", (bands, r, c), None, unfold)
    if not table and not name:
        raise UserError(
            "has 2 axes, an image has 3",
            file=path,
            key=key,
            found=_times(shape),
            remedy="say --table if it is pixels by bands, keep nRow and nCol beside an unfolded cube, "
            "give a label map to --labels",
        )
    if name == "bands-pixels":
        return CubeArray(key, name, (shape[0], shape[1], 1), None, lambda stored: stored[:, :, None])
    return CubeArray(key, "pixels-bands", (shape[1], shape[0], 1), None, lambda stored: stored.T[:, :, None])


def _is_matrix_layout(layout: str | None) -> bool:
    return (layout or "").lower() in ("pixels-bands", "bands-pixels", "rows-cols")


def _scalar(scalars: Mapping[str, float], names: tuple[str, ...]) -> int | None:
    lower = {key.lower().rsplit("/", 1)[-1]: value for key, value in scalars.items()}
    for name in names:
        if name in lower and lower[name] == int(lower[name]) and lower[name] >= 1:
            return int(lower[name])
    return None


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape)
