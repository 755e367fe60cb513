"""Stacks of cubes that differ in size, in one HDF5 dataset that xarray opens too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsipipe.errors import UserError

CHUNK_PIXELS = 128  # chunks hold all bands of at most 128 x 128 pixels of one item


class StackWriter:
    """Appends arrays (..., rows, cols) to a dataset (item, ..., row, col); smaller ones are padded with zeros.

    Padding takes no space on disk, because chunks that were never written are not stored.
    """

    def __init__(self, file: h5py.File, name: str, dtype: Any, *, compressed: bool = True) -> None:
        """`compressed`: integers only, which maps of labels and masks gain from."""
        self.file, self.name, self.dtype = file, name, np.dtype(dtype)
        self.compressed = compressed and self.dtype.kind in "iub"
        self.count = 0

    def append(self, value: np.ndarray) -> None:
        """Append one array; all share their leading axes."""
        *fixed, rows, cols = value.shape
        if self.name not in self.file:
            self.file.create_dataset(
                self.name,
                shape=(0, *fixed, rows, cols),
                maxshape=(None, *fixed, None, None),
                chunks=(1, *fixed, min(rows, CHUNK_PIXELS), min(cols, CHUNK_PIXELS)),
                dtype=self.dtype,
                compression="lzf" if self.compressed else None,
                shuffle=self.compressed and self.dtype.itemsize > 1,
            )
        dataset = self.file[self.name]
        shape = dataset.shape
        dataset.resize((self.count + 1, *fixed, max(shape[-2], rows), max(shape[-1], cols)))
        dataset[self.count, ..., :rows, :cols] = value
        self.count += 1


def write_strings(file: h5py.File, name: str, values: Sequence[str]) -> None:
    """Write a 1-D dataset of text."""
    file.create_dataset(name, data=np.array(list(values), dtype=object), dtype=h5py.string_dtype())


def read_strings(file: h5py.File, name: str) -> list[str]:
    """Read a 1-D dataset of text."""
    return [value.decode() for value in file[name][()]]


def attach_axes(file: h5py.File, axes: Mapping[str, Sequence[str]]) -> None:
    """Give the datasets of `axes` (name -> axis names) their dimension scales; index axes are made where absent."""
    present = {name: names for name, names in axes.items() if name in file}
    for name, names in present.items():
        for position, axis in enumerate(names):
            if axis not in file:
                file.create_dataset(axis, data=np.arange(file[name].shape[position], dtype=np.int32))
    for axis in {axis for names in present.values() for axis in names}:
        file[axis].make_scale(axis)
    for name, names in present.items():
        for position, axis in enumerate(names):
            file[name].dims[position].attach_scale(file[axis])


def open_checked(path: str | Path, expected: str, remedy: str) -> h5py.File:
    """Open an HDF5 file for reading whose `format` attribute is `expected`; a `UserError` says what it is otherwise."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError("is not a readable HDF5 file", file=path, found=str(error), remedy=remedy) from error
    found = file.attrs.get("format", "no format attribute")
    if found != expected:
        file.close()
        raise UserError(f"is not a file of format {expected}", file=path, found=found, remedy=remedy)
    return file


def digest_of(*arrays: np.ndarray | None) -> str:
    """A SHA-256 over the bytes, types and shapes of arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
            continue
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
