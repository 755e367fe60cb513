"""HDF5 files: MATLAB v7.3 (whose axes arrive reversed) and plain ones with a 3-D dataset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.readers.arrays import choose_cube, label_keys
from hsipipe.scenes.readers.image import ImageFile
from hsipipe.scenes.readers.matlab import check_real
from hsipipe.scenes.readers.wavelengths import beside_cube


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading; damage raises UserError."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise UserError("is not a readable HDF5 file", file=path, found=str(error), remedy="fetch it again") from error


def hdf5_arrays(file: h5py.File, *, matlab: bool) -> dict[str, h5py.Dataset]:
    """Numeric datasets by path within the file; MATLAB's own (#refs#), text and empty ones are left out."""
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, node: object) -> None:
        if not isinstance(node, h5py.Dataset) or name.startswith("#") or node.dtype.kind not in "iufb":
            return
        kind = node.attrs.get("MATLAB_class", b"")
        if matlab and (kind in (b"char", b"cell") or node.attrs.get("MATLAB_empty", 0)):
            return
        found[name] = node

    file.visititems(visit)
    return found


def open_hdf5_image(
    path: Path, *, matlab: bool, key: str | None = None, layout: str | None = None, table: bool = False
) -> ImageFile:
    """Open the 3-D dataset of an HDF5 file; pixels are read when asked for.

    MATLAB stores column-major and HDF5 row-major, so a v7.3 array arrives with its axes reversed; they are turned
    back, and `shape`, `layout` and `keys` are those that MATLAB shows. Plain HDF5 is (rows, cols, bands) unless
    `layout` says otherwise.

    Raises:
        UserError: damaged, or as `choose_cube`.
    """
    with open_hdf5(path) as file:
        arrays = hdf5_arrays(file, matlab=matlab)
        shapes = {k: _logical(d.shape, matlab) for k, d in arrays.items()}
        small = {k: _turn(d[()], matlab) for k, d in arrays.items() if d.size <= 100_000 and d.ndim <= 2}
        scalars = {k: float(v.ravel()[0]) for k, v in small.items() if v.size == 1}
        cube = choose_cube(
            path, shapes, scalars=scalars, key=key, layout=layout, table=table, order="F" if matlab else "C"
        )
        dtype = arrays[cube.key].dtype
        check_real(dtype, path, cube.key)
        whole = {k: d.dtype.kind in "iub" for k, d in arrays.items()}
        others = {s[axis] for k, s in shapes.items() if k != cube.key and len(s) == 3 for axis in (0, 2)}
        wavelength_nm, fwhm_nm = beside_cube(
            {k: v for k, v in small.items() if k != cube.key}, cube.shape[0], other_bands=others, file=path
        )

    def load(bands: np.ndarray | None) -> np.ndarray:
        with open_hdf5(path) as source:
            dataset = source[cube.key]
            if bands is None or cube.axes is None:
                view = cube.to_cube(_turn(dataset[()], matlab))
                return np.ascontiguousarray(view if bands is None else view[bands], dtype.newbyteorder("="))
            axis = 2 - cube.axes[0] if matlab else cube.axes[0]
            order = np.unique(bands)  # h5py wants indices that rise
            part = dataset[(*(slice(None),) * axis, order)]
            view = _turn(part, matlab).transpose(cube.axes)
            return np.ascontiguousarray(view[np.searchsorted(order, bands)], dtype.newbyteorder("="))

    return ImageFile(
        path=path,
        format="matlab7.3" if matlab else "hdf5",
        shape=cube.shape,
        dtype=dtype,
        layout=cube.layout,
        load=load,
        name=path.stem,
        key=cube.key,
        keys=shapes,
        wavelength_nm=wavelength_nm,
        fwhm_nm=fwhm_nm,
        labels=label_keys(shapes, whole, cube),
    )


def _logical(shape: tuple[int, ...], matlab: bool) -> tuple[int, ...]:
    return tuple(reversed(shape)) if matlab else tuple(shape)


def _turn(array: np.ndarray, matlab: bool) -> np.ndarray:
    return array.T if matlab else array
