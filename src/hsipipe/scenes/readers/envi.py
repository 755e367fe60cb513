"""ENVI images: header and data file found from either, pixels through a memory map."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.readers.envi_header import EnviHeader, is_envi_header, read_envi_header
from hsipipe.scenes.readers.image import ImageFile

log = logging.getLogger(__name__)

DATA_SUFFIXES = (".bil", ".bsq", ".bip", ".raw", ".img", ".dat", ".bin", ".cue", ".sli")
_AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}  # positions of bands, rows, cols in the file
_MAX_RATIO = 1100  # no deflate stream unpacks to more than 1032 times its size
_PIECE = 1 << 20


def find_header(path: Path) -> Path | None:
    """The ENVI header of a data file (x.raw.hdr or x.hdr for x.raw), or the file itself if it is one."""
    if path.suffix.lower() == ".hdr":
        return path if is_envi_header(path) else None
    bases = [path.name]
    if path.suffix:
        bases.append(path.stem)
        if path.suffix.lower() == ".gz":
            bases.append(Path(path.stem).stem)
    for base in bases:
        for suffix in (".hdr", ".HDR"):
            candidate = path.with_name(base + suffix)
            if candidate.is_file() and is_envi_header(candidate):
                return candidate
    return None


def open_envi(path: Path, *, table: bool = False) -> ImageFile:
    """Open an ENVI image by its header or its data file.

    Args:
        path: x.hdr, or the data file beside it; gzip-compressed data (`file compression = 1` or .gz) is unpacked.
        table: allow a spectral library: spectra become the pixels of an image one column wide.

    Raises:
        UserError: no header, no data file, data shorter than the header says (compressed data are measured when they
            are read), or a bad header.
    """
    header_path = path if path.suffix.lower() == ".hdr" else find_header(path)
    if header_path is None:
        raise UserError(
            "has no ENVI header", file=path, remedy=f"expected {path.name}.hdr or {path.stem}.hdr beside it"
        )
    header = read_envi_header(header_path)
    data_path = path if path.suffix.lower() != ".hdr" else _find_data(header)
    if data_path.stat().st_size == 0:
        raise UserError("is empty", file=data_path)
    with open(data_path, "rb") as file:
        # Some writers set `file compression` and yet leave the data as they are.
        compressed = file.read(2) == b"\x1f\x8b" and (header.compressed or data_path.suffix.lower() == ".gz")
    _check_size(header, data_path, compressed)
    shape, layout, axes = header.shape, header.interleave, _AXES[header.interleave]
    if "spectral library" in header.kind:
        if not table:
            raise UserError(
                "is a spectral library, not an image", file=header.path, remedy="read it with --table, a pixel each"
            )
        shape, layout, axes = (shape[2], shape[1], 1), "spectral-library", (2, 1, 0)

    def load(bands: np.ndarray | None) -> np.ndarray:
        return _gather(_map(header, data_path, compressed), axes, bands)

    name = data_path.name.removesuffix(".gz")
    if name.lower().endswith(DATA_SUFFIXES):
        name = Path(name).stem
    return ImageFile(
        path=path,
        format="envi",
        shape=shape,
        dtype=header.dtype,
        layout=layout,
        interleave=header.interleave,
        load=load,
        name=name,
        wavelength_nm=header.wavelength_nm,
        fwhm_nm=header.fwhm_nm,
        nodata=header.nodata,
        scale=header.scale,
        crs=header.crs,
        transform=header.transform,
        class_names=list(header.class_names),
        declared_bad=header.declared_bad,
        extra={
            "header": str(header.path),
            "data": str(data_path),
            **({"map_info": header.fields["map info"]} if "map info" in header.fields else {}),
            **({"default_bands": header.fields["default bands"]} if "default bands" in header.fields else {}),
        },
    )


def _find_data(header: EnviHeader) -> Path:
    base = header.path.with_suffix("")
    suffixes = [f".{header.interleave}", *(s for s in DATA_SUFFIXES if s != f".{header.interleave}")]
    candidates = [base] if base.suffix.lower() in DATA_SUFFIXES else []
    candidates += [base.with_name(base.name + s) for suffix in suffixes for s in (suffix, suffix.upper())] + [base]
    for candidate in [*candidates, *(c.with_name(c.name + ".gz") for c in candidates)]:
        if candidate.is_file():
            return candidate
    raise UserError(
        "has no data file beside it", file=header.path, remedy=f"expected {base.name} or {base.name}{suffixes[0]}"
    )


def _check_size(header: EnviHeader, data: Path, compressed: bool) -> None:
    size = data.stat().st_size
    if not compressed:
        _compare(header, data, size)
    elif _expected(header) > _MAX_RATIO * size:
        # Settled without unpacking, and without the memory for what a wrong header promises.
        raise _too_short(header, data, f"at most {_MAX_RATIO * size:,} bytes unpacked")


def _expected(header: EnviHeader) -> int:
    """Bytes of the data file, unpacked, by its header."""
    bands, rows, cols = header.shape
    return header.offset + bands * rows * cols * header.dtype.itemsize


def _compare(header: EnviHeader, data: Path, found: int, unpacked: str = "") -> None:
    expected = _expected(header)
    if found < expected:
        raise _too_short(header, data, f"{found:,} bytes{unpacked}")
    if found > expected:
        log.warning(
            "%s: data is longer than its header says (%s bytes%s, %s expected); the rest is ignored",
            data,
            f"{found:,}",
            unpacked,
            f"{expected:,}",
        )


def _too_short(header: EnviHeader, data: Path, found: str) -> UserError:
    bands, rows, cols = header.shape
    return UserError(
        "data is shorter than its header says",
        file=data,
        found=f"{found} of {_expected(header):,} for {bands} bands x {rows} rows x {cols} cols of {header.dtype.name}",
        remedy=f"fetch the file again or correct {header.path.name}",
    )


def _map(header: EnviHeader, data: Path, compressed: bool) -> np.ndarray:
    bands, rows, cols = header.shape
    shape = {"bsq": (bands, rows, cols), "bil": (rows, bands, cols), "bip": (rows, cols, bands)}[header.interleave]
    if not compressed:
        return np.memmap(data, header.dtype, "r", offset=header.offset, shape=shape)
    content = _unpack(header, data)
    return np.frombuffer(content, header.dtype, bands * rows * cols, header.offset).reshape(shape)


def _unpack(header: EnviHeader, data: Path) -> np.ndarray:
    """What a gzip file of one or several members holds, as bytes, as far as the header describes it.

    The size that gzip notes at the end is that of its last member, modulo 4 GiB, so the real one is counted.
    """
    content = np.empty(_expected(header), np.uint8)
    view, count = content.data, 0
    try:
        with gzip.open(data) as file:
            while count < len(content) and (read := file.readinto(view[count : count + _PIECE])):
                count += read
            # On to the end even so: there stand the checksum and whatever the header does not tell of.
            while piece := file.read(_PIECE):
                count += len(piece)
    except EOFError as error:
        found = f"{count:,} bytes unpacked of {len(content):,}"
        raise UserError("compressed data is cut short", file=data, found=found, remedy="fetch it again") from error
    except (OSError, zlib.error) as error:
        raise UserError("compressed data is damaged", file=data, found=str(error), remedy="fetch it again") from error
    _compare(header, data, count, " unpacked")
    return content


def _gather(stored: np.ndarray, axes: tuple[int, ...], bands: np.ndarray | None) -> np.ndarray:
    """Copy bands out of a map into (bands, rows, cols), contiguous, native byte order."""
    plain, native = np.asarray(stored), stored.dtype.newbyteorder("=")
    cube = plain.transpose(axes)
    if axes[0] != 2:
        if bands is not None:
            # NumPy lays the result of an index array out with that axis first, so nothing is copied twice.
            cube = plain[(slice(None),) * axes[0] + (bands,)].transpose(axes)
            return np.ascontiguousarray(cube).astype(native, copy=False)
        return np.array(cube, native, order="C")
    index = np.arange(cube.shape[0]) if bands is None else bands
    out = np.empty((len(index), *cube.shape[1:]), native)
    # Band-interleaved by pixel: each page holds every band, so go through the file once, a few rows at a time.
    step = max(1, (1 << 21) // max(1, stored.itemsize * cube.shape[0] * cube.shape[2]))
    for row in range(0, cube.shape[1], step):
        block = cube[:, row : row + step]
        out[:, row : row + step] = block if bands is None else block[index]
    return out
