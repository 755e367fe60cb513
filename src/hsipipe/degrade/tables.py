"""Two-dimensional tables (kernels, response matrices, curves) from .mat (v5 and v7.3), .npy and .csv files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError, unknown

SUFFIXES = (".mat", ".npy", ".csv")


def is_table_path(text: str) -> bool:
    """Whether a text names a file of this kind (FILE or FILE:KEY), going by its ending."""
    return split_table_key(text)[0].suffix.lower() in SUFFIXES


def read_table(path: str | Path, *, key: str | None = None) -> np.ndarray:
    """Read a table of numbers: (rows, columns) float64, finite.

    Args:
        path: FILE or FILE:KEY with the ending .mat, .npy or .csv (separated by commas, semicolons, tabs or spaces; a
            first line of names is allowed, and so are comments after #).
        key: the name of the array in a .mat file; needed only where the file holds several tables.

    Raises:
        UserError: no such file or key, several tables and no key, text among the numbers, not two axes, not real,
            not finite.
    """
    file, inside = split_table_key(str(path))
    key = key or inside
    if not file.is_file():
        raise UserError("no such file", file=file)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise unknown("kind of table", suffix, SUFFIXES, file=file)
    if key and suffix != ".mat":
        raise UserError("only .mat files have keys", file=file, key=key, remedy="leave the key out")
    if suffix == ".mat":
        values = _read_mat(file, key)
    elif suffix == ".npy":
        values = _read_npy(file)
    else:
        values = _read_csv(file)
    if values.ndim != 2 or values.size == 0:
        raise UserError("must be a table of two axes", file=file, key=key, found=f"shape {values.shape}")
    if values.dtype.kind not in "iufb":
        raise UserError("must hold real numbers", file=file, key=key, found=values.dtype)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise UserError("holds values that are not finite", file=file, key=key, found=f"{(~np.isfinite(values)).sum()}")
    return values


def split_table_key(text: str) -> tuple[Path, str | None]:
    """FILE or FILE:KEY as its parts; a colon without a table's ending before it belongs to the name."""
    head, colon, tail = text.rpartition(":")
    if colon and Path(head).suffix.lower() in SUFFIXES:
        return Path(head), tail
    return Path(text), None


def _read_npy(file: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise UserError("is not a readable NumPy file", file=file, found=str(error)) from error


def _read_mat(file: Path, key: str | None) -> np.ndarray:
    import h5py

    if h5py.is_hdf5(file):
        with h5py.File(file, "r") as content:
            found = {name: item for name, item in content.items() if isinstance(item, h5py.Dataset)}
            shapes = {name: item.shape for name, item in found.items() if item.dtype.kind in "iufb"}
            # MATLAB stores its columns first, so the axes of an HDF5 file arrive reversed.
            return np.asarray(found[_choose(file, key, shapes)][()]).T
    from hsipipe.scenes.readers.matlab import load_matlab5, matlab5_arrays

    name = _choose(file, key, matlab5_arrays(file)[0])
    return load_matlab5(file, [name])[name]


def _choose(file: Path, key: str | None, shapes: dict[str, tuple[int, ...]]) -> str:
    listing = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items()) or "none"
    if key is not None:
        if key not in shapes:
            raise UserError("no such array", file=file, key=key, remedy=f"there are: {listing}")
        return key
    tables = [name for name, shape in shapes.items() if len(shape) == 2 and min(shape) > 0 and shape != (1, 1)]
    if len(tables) != 1 and len(shapes) != 1:
        raise UserError(
            f"holds {len(tables)} tables", file=file, found=listing, remedy="name one as FILE:KEY or by `key`"
        )
    return tables[0] if tables else next(iter(shapes))


def _read_csv(file: Path) -> np.ndarray:
    try:
        lines = [line.split("#")[0].strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise UserError("is not a text file", file=file, found=str(error)) from error
    lines = [line for line in lines if line]
    if not lines:
        raise UserError("is empty", file=file)
    separator = next((mark for mark in (";", "\t", ",") if mark in lines[0]), None)
    rows = list(csv.reader(lines, delimiter=separator)) if separator else [line.split() for line in lines]
    rows = [[cell.strip() for cell in row] for row in rows]
    named = not any(_is_number(cell) for cell in rows[0])
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise UserError("its lines have unequal lengths", file=file, found=lengths)
    rows = rows[1:] if named else rows
    for number, row in enumerate(rows, start=1 + named):
        for cell in row:
            if not _is_number(cell):
                raise UserError("must hold numbers", file=file, key=f"line {number}", found=repr(cell))
    return np.array(rows, dtype=np.float64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
