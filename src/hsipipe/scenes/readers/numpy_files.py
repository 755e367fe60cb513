"""NumPy's .npy (mapped, not read) and .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.enmap import enmap_bands
from hsipipe.scenes.readers.arrays import choose_cube, label_keys, listing
from hsipipe.scenes.readers.image import ImageFile, Loader
from hsipipe.scenes.readers.matlab import check_real
from hsipipe.scenes.readers.wavelengths import beside_cube

HYSPECNET_SUFFIX = "-DATA"


def open_npy(path: Path, *, key: str | None = None, layout: str | None = None, table: bool = False) -> ImageFile:
    """Open a .npy array: (rows, cols, bands), except HySpecNet's `*-DATA.npy`, whose bands come first.

    Raises:
        UserError: damaged or shorter than its header says, pickled objects, or as `choose_cube`.
    """
    if key is not None:
        raise UserError("holds one array without a name", file=path, key=key, remedy="leave out the key")
    stored = map_npy(path)
    check_real(stored.dtype, path, None)
    hyspecnet = path.stem.endswith(HYSPECNET_SUFFIX)
    cube = choose_cube(
        path,
        {"array": stored.shape},
        scalars={},
        layout=layout,
        table=table,
        default="bands-rows-cols" if hyspecnet else "rows-cols-bands",
    )
    name = path.stem.removesuffix(HYSPECNET_SUFFIX) if hyspecnet else path.stem
    image = ImageFile(
        path=path,
        format="npy",
        shape=cube.shape,
        dtype=stored.dtype,
        layout=cube.layout,
        load=_loader(stored, cube.to_cube),
        name=name,
    )
    table_of_bands = enmap_bands()
    if hyspecnet and image.shape[0] == int(table_of_bands.hyspecnet.sum()):
        image.wavelength_nm = table_of_bands.wavelength_nm[table_of_bands.hyspecnet]
        image.fwhm_nm = table_of_bands.fwhm_nm[table_of_bands.hyspecnet]
    return image


def open_npz(path: Path, *, key: str | None = None, layout: str | None = None, table: bool = False) -> ImageFile:
    """Open the cube of a .npz archive; only the arrays' headers are read, and the small arrays.

    Raises:
        UserError: damaged, or as `choose_cube`.
    """
    headers = npz_headers(path)
    numeric = {k: s for k, (s, d) in headers.items() if d.kind in "iufbc"}
    small = {k: read_npz(path, k) for k, s in numeric.items() if np.prod(s, dtype=int) <= 100_000 and len(s) <= 2}
    scalars = {k: float(v.ravel()[0]) for k, v in small.items() if v.size == 1 and v.dtype.kind != "c"}
    cube = choose_cube(path, numeric, scalars=scalars, key=key, layout=layout, table=table, order="C")
    dtype = headers[cube.key][1]
    check_real(dtype, path, cube.key)
    others = {s[axis] for k, s in numeric.items() if k != cube.key and len(s) == 3 for axis in (0, 2)}
    wavelength_nm, fwhm_nm = beside_cube(
        {k: v for k, v in small.items() if k != cube.key}, cube.shape[0], other_bands=others, file=path
    )

    def load(bands: np.ndarray | None) -> np.ndarray:
        return _loader(read_npz(path, cube.key), cube.to_cube)(bands)

    return ImageFile(
        path=path,
        format="npz",
        shape=cube.shape,
        dtype=dtype,
        layout=cube.layout,
        load=load,
        name=path.stem,
        key=cube.key,
        keys=numeric,
        wavelength_nm=wavelength_nm,
        fwhm_nm=fwhm_nm,
        labels=label_keys(numeric, {k: d.kind in "iub" for k, (_, d) in headers.items()}, cube),
    )


def map_npy(path: Path) -> np.ndarray:
    """A .npy file as a read-only memory map.

    Raises:
        UserError: not one, pickled, or shorter than its header says.
    """
    try:
        with open(path, "rb") as file:
            shape, dtype = _read_header(file)
            start = file.tell()
    except (ValueError, EOFError, OSError) as error:
        raise UserError("is not a readable .npy file", file=path, found=str(error)) from error
    if dtype.hasobject:
        raise UserError("holds Python objects, which are not loaded", file=path, remedy="save a numeric array")
    expected = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    found = path.stat().st_size
    if found < expected:
        raise UserError(
            "data is shorter than its header says",
            file=path,
            found=f"{found:,} bytes of {expected:,} for {'x'.join(map(str, shape))} of {dtype.name}",
            remedy="fetch or save it again",
        )
    if 0 in shape:
        raise UserError("is empty", file=path, found="x".join(map(str, shape)))
    return np.load(path, mmap_mode="r", allow_pickle=False)


def npz_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of each array of a .npz archive, without reading the arrays.

    Raises:
        UserError: not an archive of arrays.
    """
    headers: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".npy"):
                    with archive.open(name) as file:
                        headers[name.removesuffix(".npy")] = _read_header(file)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise UserError("is not a readable .npz file", file=path, found=str(error)) from error
    return headers


def read_npz(path: Path, key: str) -> np.ndarray:
    """One array of a .npz archive.

    Raises:
        UserError: damaged, or no such key.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if key not in archive.files:
                there = listing({name: shape for name, (shape, _) in npz_headers(path).items()})
                raise UserError("has no such array", file=path, key=key, remedy=f"there are {there}")
            return np.asarray(archive[key])
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise UserError("is not a readable .npz file", file=path, key=key, found=str(error)) from error


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _loader(stored: np.ndarray, to_cube: Callable[[np.ndarray], np.ndarray]) -> Loader:
    def load(bands: np.ndarray | None) -> np.ndarray:
        view = to_cube(stored)
        part = view if bands is None else view[bands]
        return np.array(part, stored.dtype.newbyteorder("="), order="C")

    return load
