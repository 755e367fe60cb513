"""MATLAB files: version 5 through SciPy, version 7.3 (HDF5, axes reversed) through h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.readers.arrays import choose_cube, label_keys, listing
from hsipipe.scenes.readers.image import ImageFile
from hsipipe.scenes.readers.wavelengths import beside_cube

_NUMERIC = {"double", "single", "logical", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
_SMALL = 100_000  # arrays up to this many elements are read on opening: scalars, wavelengths


def open_matlab5(path: Path, *, key: str | None = None, layout: str | None = None, table: bool = False) -> ImageFile:
    """Open a MATLAB file of version 4, 5, 6 or 7. The cube is read on opening: the format is compressed as a whole.

    Args:
        path, key, layout, table: as in `choose_cube`.

    Raises:
        UserError: damaged, or as `choose_cube`.
    """
    shapes, kinds = matlab5_arrays(path)
    if key is not None and key in kinds and key not in shapes:
        raise UserError(
            "is not a numeric array", file=path, key=key, found=kinds[key], remedy=f"there are {listing(shapes)}"
        )
    small = load_matlab5(path, [k for k, s in shapes.items() if np.prod(s, dtype=int) <= _SMALL and len(s) <= 2])
    scalars = {k: float(v.ravel()[0]) for k, v in small.items() if v.size == 1}
    cube = choose_cube(path, shapes, scalars=scalars, key=key, layout=layout, table=table)
    stored = load_matlab5(path, [cube.key])[cube.key]
    check_real(stored.dtype, path, cube.key)
    others = {s[axis] for k, s in shapes.items() if k != cube.key and len(s) == 3 for axis in (0, 2)}
    wavelength_nm, fwhm_nm = beside_cube(
        {k: v for k, v in small.items() if k != cube.key}, cube.shape[0], other_bands=others, file=path
    )
    whole = {k: kinds[k] == "logical" or "int" in kinds[k] for k in shapes}

    def load(bands: np.ndarray | None) -> np.ndarray:
        view = cube.to_cube(stored)
        return np.ascontiguousarray(view if bands is None else view[bands])

    return ImageFile(
        path=path,
        format="matlab5",
        shape=cube.shape,
        dtype=stored.dtype,
        layout=cube.layout,
        load=load,
        name=path.stem,
        key=cube.key,
        keys=shapes,
        wavelength_nm=wavelength_nm,
        fwhm_nm=fwhm_nm,
        labels=label_keys(shapes, whole, cube),
    )


def matlab5_arrays(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes of the numeric arrays, and the MATLAB class of every variable, by key.

    Raises:
        UserError: not a MATLAB file, or a damaged one.
    """
    from scipy.io import whosmat

    try:
        found = whosmat(str(path))
    except Exception as error:  # SciPy raises whatever the damaged byte leads to: zlib, struct, index, key, type errors
        raise _damaged(path, error) from error
    kinds = {name: kind for name, _, kind in found}
    shapes = {name: tuple(int(n) for n in shape) for name, shape, kind in found if kind in _NUMERIC}
    if not shapes:
        raise UserError(
            "holds no numeric array", file=path, found=", ".join(f"{k} ({v})" for k, v in kinds.items()) or "nothing"
        )
    return shapes, kinds


def load_matlab5(path: Path, keys: list[str]) -> dict[str, np.ndarray]:
    """Read the named variables.

    Raises:
        UserError: damaged.
    """
    from scipy.io import loadmat

    if not keys:
        return {}
    try:
        content: dict[str, Any] = loadmat(str(path), variable_names=keys)
    except Exception as error:  # as above
        raise _damaged(path, error) from error
    return {key: np.asarray(content[key]) for key in keys if key in content}


def check_real(dtype: np.dtype, path: Path, key: str | None) -> None:
    """Refuse arrays that are not real numbers.

    Raises:
        UserError: complex, text, structures.
    """
    if dtype.kind == "c":
        raise UserError(
            "complex images are not supported", file=path, key=key, found=dtype, remedy="save the magnitude as float32"
        )
    if dtype.kind not in "iufb":
        raise UserError("is not a numeric array", file=path, key=key, found=dtype)


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        "is not a readable MATLAB file",
        file=path,
        found=f"{path.stat().st_size:,} bytes; {str(error) or type(error).__name__}",
        remedy="fetch or save it again",
    )
