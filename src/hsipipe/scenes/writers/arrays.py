"""Writing bare arrays, .npy and MATLAB v5, in the layout of the input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.files import atomic_path
from hsipipe.scenes.readers.arrays import parse_layout
from hsipipe.scenes.scene import Item

_BARE = ("npy", "npz", "matlab5", "matlab7.3", "hdf5")


def write_npy(path: Path, values: np.ndarray, source: dict[str, Any]) -> None:
    """Write an .npy array.

    Args:
        path: x.npy; a name that ends in -DATA.npy (HySpecNet's) gets the bands first, as readers expect of it.
        values: (bands, rows, cols).
        source: a bare array's `layout` is kept, a matrix of pixels only if the image is one column wide; everything
            else becomes (rows, cols, bands).
    """
    layout = _kept_layout(source)
    if path.stem.endswith("-DATA"):
        layout = "bands-rows-cols"
    if layout in ("pixels-bands", "bands-pixels"):
        array = _matrix(values, layout, order="C") if values.shape[2] == 1 else values.transpose(1, 2, 0)
    else:
        array = _arranged(values, layout, path)
    with atomic_path(path) as temporary:
        np.save(temporary, np.ascontiguousarray(array), allow_pickle=False)


def write_mat(path: Path, values: np.ndarray, item: Item, source: dict[str, Any]) -> None:
    """Write a MATLAB v5 file: the cube under the input's key (or `data`), `wavelength`, `fwhm` (nm) and `labels`.

    An unfolded input, (bands, pixels) with nRow and nCol, gives an unfolded output.

    Raises:
        UserError: larger than the format's 4 GiB per array.
    """
    from scipy.io import savemat

    if values.nbytes >= 1 << 32:
        remedy = "write .h5 or .hdr"
        raise UserError(
            "is too large for MATLAB v5 (4 GiB)", file=path, found=f"{values.nbytes:,} bytes", remedy=remedy
        )
    layout = _kept_layout(source)
    key = str(source.get("key") or "data").rsplit("/", 1)[-1]
    if not (key.isidentifier() and key[0].isalpha() and len(key) <= 63) or source.get("format") not in _BARE:
        key = "data"
    content: dict[str, Any] = {}
    if layout in ("pixels-bands", "bands-pixels"):
        content[key] = _matrix(values, layout, order="F")
        if values.shape[2] != 1:
            names = ("nBand", "nRow", "nCol")
            content |= {name: float(size) for name, size in zip(names, values.shape, strict=True)}
    else:
        content[key] = _arranged(values, layout, path)
    for name, value in (("wavelength", item.wavelength_nm), ("fwhm", item.fwhm_nm), ("labels", item.labels)):
        if value is not None and name != key:
            content[name] = value
    with atomic_path(path) as temporary:
        savemat(temporary, content, appendmat=False, do_compression=True, oned_as="column")


def _kept_layout(source: dict[str, Any]) -> str:
    return str(source.get("layout") or "rows-cols-bands") if source.get("format") in _BARE else "rows-cols-bands"


def _arranged(values: np.ndarray, layout: str, path: Path) -> np.ndarray:
    if layout == "rows-cols":
        return values[0] if len(values) == 1 else values.transpose(1, 2, 0)
    axes = parse_layout(layout, file=path)
    return values.transpose(np.argsort(axes))


def _matrix(values: np.ndarray, layout: str, *, order: str) -> np.ndarray:
    bands, rows, cols = values.shape
    spectra = (values.transpose(0, 2, 1) if order == "F" else values).reshape(bands, rows * cols)
    return spectra if layout == "bands-pixels" else spectra.T
