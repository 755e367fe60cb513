"""ERDAS 7.x images: .lan cubes and .gis class maps, with band centres from the .spc file beside them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.readers.image import ImageFile
from hsipipe.scenes.readers.wavelengths import check_count, to_nanometres

_HEADER_BYTES = 128
_PACKING = {0: "u1", 2: "i2"}


def is_erdas(path: Path) -> bool:
    """Whether a file begins with the mark of an ERDAS 7.x header."""
    with open(path, "rb") as file:
        return file.read(6) in (b"HEAD74", b"HEADER")


def open_erdas(path: Path) -> ImageFile:
    """Open an ERDAS 7.x image: a header of 128 bytes, then lines of bands (BIL), 8 or 16 bits.

    Raises:
        UserError: truncated, 4-bit packing, or a .spc list of another length than the bands.
    """
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or header[:6] not in (b"HEAD74", b"HEADER"):
        raise UserError("is not an ERDAS 7.x image", file=path, found=f"{len(header)} bytes of header")
    order = "<"
    packing, bands, cols, rows = _sizes(header, order)
    if not (0 < bands < 4096 and 0 < cols < 1 << 20 and 0 < rows < 1 << 20):
        order = ">"  # the header does not tell its byte order, but wrong sizes do
        packing, bands, cols, rows = _sizes(header, order)
    if packing not in _PACKING:
        raise UserError(
            "is not a supported ERDAS packing", file=path, found=packing, remedy="convert to 8 or 16 bits per sample"
        )
    dtype = np.dtype(order + _PACKING[packing])
    expected = _HEADER_BYTES + bands * rows * cols * dtype.itemsize
    found = path.stat().st_size
    if found < expected:
        raise UserError(
            "data is shorter than its header says",
            file=path,
            found=f"{found:,} bytes of {expected:,} for {bands} bands x {rows} rows x {cols} cols of {dtype.name}",
            remedy="fetch the file again",
        )
    centres, widths = _band_centres(path, bands)

    def load(index: np.ndarray | None) -> np.ndarray:
        lines = np.memmap(path, dtype, "r", offset=_HEADER_BYTES, shape=(rows, bands, cols))
        part = lines if index is None else lines[:, index]
        return np.array(part.transpose(1, 0, 2), dtype.newbyteorder("="), order="C")

    return ImageFile(
        path=path,
        format="erdas",
        shape=(bands, rows, cols),
        dtype=dtype,
        layout="bil",
        interleave="bil",
        load=load,
        name=path.stem,
        wavelength_nm=centres,
        fwhm_nm=widths,
    )


def _sizes(header: bytes, order: str) -> tuple[int, int, int, int]:
    packing, bands = struct.unpack_from(order + "2h", header, 6)
    kind = "2i" if header[:6] == b"HEAD74" else "2f"  # the older version has sizes as floats
    cols, rows = struct.unpack_from(order + kind, header, 16)
    if not (abs(cols) < 1e9 and abs(rows) < 1e9):
        return packing, bands, 0, 0
    return packing, bands, int(cols), int(rows)


def _band_centres(path: Path, bands: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Centres and widths in nm from the first two columns of x.spc; lines that are not numbers are headings."""
    for suffix in (".spc", ".SPC"):
        beside = path.with_suffix(suffix)
        if beside.is_file():
            break
    else:
        return None, None
    if bands == 1:
        return None, None
    rows = []
    for line in beside.read_text(encoding="latin-1").splitlines():
        try:
            rows.append([float(word) for word in line.split()])
        except ValueError:
            continue
    table = [row for row in rows if row]
    centres = np.array([row[0] for row in table])
    check_count(centres, bands, file=beside, key="band centres")
    widths = np.array([row[1] for row in table]) if all(len(row) > 1 for row in table) else None
    return to_nanometres(centres), widths
