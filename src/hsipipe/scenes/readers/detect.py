"""Opening any supported file: the format is told by content first, by extension second."""

from __future__ import annotations

from pathlib import Path

import h5py

from hsipipe.errors import UserError
from hsipipe.scenes.readers.envi import DATA_SUFFIXES, find_header, open_envi
from hsipipe.scenes.readers.erdas import is_erdas, open_erdas
from hsipipe.scenes.readers.geotiff import open_geotiff
from hsipipe.scenes.readers.hdf5 import open_hdf5_image
from hsipipe.scenes.readers.image import ImageFile
from hsipipe.scenes.readers.matlab import open_matlab5
from hsipipe.scenes.readers.numpy_files import open_npy, open_npz
from hsipipe.scenes.readers.scene_file import open_scene_file
from hsipipe.scenes.scene import FORMAT

SUFFIXES = (".hdr", *DATA_SUFFIXES, ".tif", ".tiff", ".mat", ".npy", ".npz", ".h5", ".hdf5", ".he5", ".lan", ".gis")
_HDF5_MARK = b"\x89HDF\r\n\x1a\n"


def detect_format(path: str | Path) -> str:
    """One of envi, tiff, matlab5, matlab7.3, hdf5, scene, npy, npz, erdas, picture, gdal.

    Raises:
        UserError: the file does not exist, is empty, or is a folder.
    """
    file = Path(path)
    if file.is_dir():
        raise UserError("is a folder", file=file, remedy="name one file, or `hsipipe convert` the folder to a scene")
    if not file.is_file():
        raise UserError("does not exist", file=file)
    size = file.stat().st_size
    if size == 0:
        raise UserError("is empty", file=file)
    with open(file, "rb") as stream:
        head = stream.read(520)
    suffix = file.suffix.lower()
    if suffix == ".hdr" or (suffix == ".gz" and find_header(file)):
        return "envi"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:8] == _HDF5_MARK or head[512:520] == _HDF5_MARK:
        return _detect_hdf5(file, head)
    if head[:6] == b"\x93NUMPY":
        return "npy"
    if head[:4] == b"PK\x03\x04" and suffix == ".npz":
        return "npz"
    if head[:6] in (b"HEAD74", b"HEADER") and is_erdas(file):
        return "erdas"
    if head[:8] == b"\x89PNG\r\n\x1a\n" or head[:3] == b"\xff\xd8\xff" or head[:2] == b"BM":
        return "picture"
    if head[:6] == b"MATLAB" or suffix == ".mat":
        return "matlab5"
    if find_header(file):
        return "envi"
    by_suffix = {".npy": "npy", ".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5", ".he5": "hdf5", ".lan": "erdas"}
    if suffix in by_suffix:
        return by_suffix[suffix]
    return "gdal"


def open_image(
    path: str | Path, *, key: str | None = None, layout: str | None = None, table: bool = False
) -> ImageFile:
    """Open an image of any supported format without reading its pixels where the format allows that.

    Args:
        path: ENVI header or data file, GeoTIFF, MATLAB, NumPy, HDF5, ERDAS .lan/.gis, scene file, or any raster that
            GDAL reads.
        key: array of a MATLAB, .npz or HDF5 file, page of a TIFF (from 1), item of a scene; None finds the only one.
        layout: order of the axes of a bare array, such as rows-cols-bands (the default) or bands-rows-cols.
        table: a 2-D array is a table, pixels by bands.

    Raises:
        UserError: whatever is wrong with the file or the choice, in one line.
    """
    file = Path(path)
    kind = detect_format(file)
    bare = kind in ("matlab5", "matlab7.3", "hdf5", "npy", "npz")
    if layout is not None and not bare:
        raise UserError(
            "tells its own layout", file=file, key="layout", found=layout, remedy="leave out --layout for this format"
        )
    if key is not None and kind in ("envi", "erdas"):
        raise UserError("holds one image without a name", file=file, key=key, remedy="leave out the key")
    if kind == "envi":
        return open_envi(file, table=table)
    if kind == "matlab5":
        return open_matlab5(file, key=key, layout=layout, table=table)
    if kind in ("matlab7.3", "hdf5"):
        return open_hdf5_image(file, matlab=kind == "matlab7.3", key=key, layout=layout, table=table)
    if kind == "npy":
        return open_npy(file, key=key, layout=layout, table=table)
    if kind == "npz":
        return open_npz(file, key=key, layout=layout, table=table)
    if kind == "erdas":
        return open_erdas(file)
    if kind == "scene":
        return open_scene_file(file, key=key)
    if kind == "picture":
        raise UserError(
            "is a picture, which holds colours and not spectra",
            file=file,
            remedy="give the cube it was drawn from (a label map in PNG goes to --labels)",
        )
    try:
        return open_geotiff(file, key=key)
    except UserError as error:
        if kind == "tiff" or file.suffix.lower() not in DATA_SUFFIXES:
            raise
        raise UserError(
            "is raw data without an ENVI header",
            file=file,
            remedy=f"expected {file.name}.hdr or {file.stem}.hdr beside it",
        ) from error


def _detect_hdf5(file: Path, head: bytes) -> str:
    if b"MATLAB 7.3" in head[:128]:
        return "matlab7.3"
    try:
        with h5py.File(file, "r") as content:
            if content.attrs.get("format") == FORMAT:
                return "scene"
            if any("MATLAB_class" in node.attrs for node in content.values()):
                return "matlab7.3"
    except OSError as error:
        raise UserError("is not a readable HDF5 file", file=file, found=str(error), remedy="fetch it again") from error
    return "hdf5"
