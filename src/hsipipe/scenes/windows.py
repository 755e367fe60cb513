"""Reading an image window by window, so that an image larger than memory can be worked through."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.readers import ImageFile, open_image
from hsipipe.scenes.readers.arrays import parse_layout
from hsipipe.scenes.readers.envi_header import read_envi_header
from hsipipe.scenes.readers.numpy_files import map_npy
from hsipipe.scenes.scene import Scene, Window
from hsipipe.scenes.validity import representable

STRIP_BYTES = 32 << 20  # of one strip in float32, when an image is gone through from top to bottom
_STORED = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}  # positions of bands, rows, cols in an ENVI file
_CACHE_MB = 64  # of GDAL; its own default grows with the machine
MANY_BANDS = 10  # from so many on, a pixel that is zero in all of them holds no measurement; in fewer it may be black
HOLE_SHARE = 0.005  # of the image: the least that pixels of zeros, connected, must fill to be a hole of missing data,
HOLE_EDGE = 0.1  # if those around it are brighter than this share of the image's median: darkness comes gradually
HOLE_SIDE = 2048  # cells a side, at most, on which holes are sought

Reader = Callable[[Window], np.ndarray]


@dataclass(frozen=True)
class Survey:
    """What one pass over an image, or a window of it, tells.

    Attributes:
        good_bands: (bands,) bool: not declared bad by the file, with a measurement somewhere, and not constant.
        without: (bands,) bool: without any measurement.
        constant: (bands,) bool: one value wherever there is a measurement.
        thumbnail: (bands, rows, cols) float32: means over squares of `factor` pixels; zero where nothing was measured.
        thumbnail_valid: (rows, cols) bool: every good band is measured in at least half of the square.
    """

    good_bands: np.ndarray
    without: np.ndarray
    constant: np.ndarray
    thumbnail: np.ndarray
    thumbnail_valid: np.ndarray


class WindowedImage:
    """An image file whose pixels are read by windows.

    GeoTIFF and other GDAL rasters, .npy, ENVI, HDF5, MATLAB v7.3 and scene files give windows without reading the
    rest. Formats that are packed as a whole (MATLAB v5, .npz, gzip) are read once and kept.

    Attributes: file (`ImageFile`: shape, wavelengths, georeference), in_place (whether windows come from the disk).
    """

    def __init__(
        self, path: str | Path, *, key: str | None = None, layout: str | None = None, table: bool = False
    ) -> None:
        self.file: ImageFile = open_image(path, key=key, layout=layout, table=table)
        self._open = ExitStack()
        self._scene: Scene | None = None
        self._raster = None
        reader = self._reader()
        self.in_place = reader is not None
        self._read: Reader = reader or self._whole()
        self._holes: tuple[np.ndarray, int, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, rows, cols)."""
        return self.file.shape

    def read(self, window: Window | None = None) -> np.ndarray:
        """The pixels of a window (first row, end row, first column, end column): (bands, rows, cols), as stored.

        Raises:
            UserError: a window beyond the image, or unreadable data.
        """
        _, rows, cols = self.shape
        first_row, end_row, first_col, end_col = window = window or (0, rows, 0, cols)
        if not (0 <= first_row < end_row <= rows and 0 <= first_col < end_col <= cols):
            raise UserError(f"has {rows} rows and {cols} columns", file=self.file.path, found=f"window {window}")
        return self._read(window)

    def read_valid(
        self, window: Window | None = None, *, good_bands: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """A window of the good bands in float32, and where it holds a measurement in all of them.

        Args:
            window: as in `read`.
            good_bands: (bands,) bool; None takes all.

        Returns:
            cube (good bands, rows, cols) float32 as stored, and valid (rows, cols) bool: not nodata, finite, not masked
            by the file, and not missing by its zeros (see `holes`).
        """
        stored = self.read(window)
        if good_bands is not None:
            stored = stored[good_bands]
        bad = self._bad_samples(stored).any(axis=0) | self._missing(stored, window)
        masked = self._masked(window)
        if masked is not None:
            bad |= masked
        return stored.astype(np.float32), ~bad

    def survey(self, *, window: Window | None = None, factor: int = 1) -> Survey:
        """What bands hold, and a small picture of them, in one pass.

        Args:
            window: as in `read`.
            factor: pixels of the image per pixel of the thumbnail; what is left over at the end is not in it.
        """
        bands, rows, cols = self.shape
        first_row, end_row, first_col, end_col = window or (0, rows, 0, cols)
        small = ((end_row - first_row) // factor, (end_col - first_col) // factor)
        low, high = np.full(bands, np.inf), np.full(bands, -np.inf)
        mean, count = np.zeros((bands, *small), np.float32), np.zeros((bands, *small), np.float32)
        step = factor * max(1, STRIP_BYTES // (4 * bands * (end_col - first_col) * factor))
        for row in range(first_row, end_row, step):
            strip = (row, min(row + step, end_row), first_col, end_col)
            stored = self.read(strip)
            bad = self._bad_samples(stored) | self._missing(stored, strip)
            masked = self._masked(strip)
            if masked is not None:
                bad |= masked
            place = slice((row - first_row) // factor, (row - first_row) // factor + (strip[1] - row) // factor)
            for band in range(bands):
                values = stored[band][~bad[band]]
                if values.size:
                    low[band], high[band] = min(low[band], values.min()), max(high[band], values.max())
                filled = np.where(bad[band], 0, stored[band]).astype(np.float32, copy=False)
                mean[band, place] = _cell_sums(filled, factor, small[1])
                count[band, place] = _cell_sums((~bad[band]).astype(np.float32), factor, small[1])
        without, constant = ~np.isfinite(low), low == high
        declared = self.file.declared_bad
        good = ~(without | constant) if declared is None else ~(without | constant | declared)
        mean /= np.maximum(count, 1)
        valid = (count[good] >= factor**2 / 2).all(axis=0)
        return Survey(good, without, constant, mean, valid)

    def close(self) -> None:
        """Close the files."""
        self._open.close()

    def __enter__(self) -> WindowedImage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def holes(self) -> int:
        """How many pixels of an image of few bands are taken as missing because they are zero in every band.

        In an image of 10 bands or more all such pixels are (not counted here). In one of fewer, which may show black,
        only those are that form a hole, or a wedge at the border: connected, 0.5 % of the image at least, and without
        a gradual passage to their surroundings. None are where the file tells itself what is missing (nodata, mask).
        """
        return self._find_holes()[2]

    def _missing(self, stored: np.ndarray, window: Window | None) -> np.ndarray:
        """(rows, cols) bool: pixels of a window, of all or the good bands, without a measurement by their zeros."""
        zero = ~(stored != 0).any(axis=0)
        if self.shape[0] >= MANY_BANDS or not zero.any():
            return zero
        cells, side, count = self._find_holes()
        if not count:
            return np.zeros_like(zero)
        _, rows, cols = self.shape
        first_row, end_row, first_col, end_col = window or (0, rows, 0, cols)
        down, along = np.arange(first_row, end_row) // side, np.arange(first_col, end_col) // side
        return zero & cells[np.ix_(down, along)]

    def _find_holes(self) -> tuple[np.ndarray, int, int]:
        """The cells (rows, cols) bool in which zeros are missing, the side of a cell in pixels, how many pixels."""
        if self._holes is None:
            told = self.file.nodata is not None or self.file.mask is not None or self._scene is not None
            none = (np.zeros((1, 1), bool), max(self.shape[1:]), 0)
            self._holes = none if told or self.shape[0] >= MANY_BANDS else self._search_holes()
        return self._holes

    def _search_holes(self) -> tuple[np.ndarray, int, int]:
        from scipy.ndimage import binary_dilation, find_objects, label

        bands, rows, cols = self.shape
        side = max(1, -(-max(rows, cols) // HOLE_SIDE))
        size = (-(-rows // side), -(-cols // side))
        zeros, bright = np.zeros(size, np.int64), np.zeros(size)
        step = side * max(1, STRIP_BYTES // (4 * bands * cols * side))
        starts = np.arange(0, cols, side)
        for row in range(0, rows, step):
            stored = self.read((row, min(row + step, rows), 0, cols))
            highest = np.where(self._bad_samples(stored), 0, np.abs(stored.astype(np.float32))).max(axis=0)
            zero = ~(stored != 0).any(axis=0)
            place = slice(row // side, row // side - (-len(zero) // side))
            downs = np.arange(0, len(zero), side)
            zeros[place] = np.add.reduceat(np.add.reduceat(zero.astype(np.int64), downs, 0), starts, 1)
            bright[place] = np.add.reduceat(np.add.reduceat(highest.astype(np.float64), downs, 0), starts, 1)
        height, width = (np.minimum(side, length - np.arange(0, length, side)) for length in (rows, cols))
        pixels = np.outer(height, width)
        full = zeros == pixels
        found = np.zeros(size, bool)
        if full.any() and not full.all():
            mean = bright / np.maximum(pixels - zeros, 1)  # of the pixels that are not zero
            enough = HOLE_EDGE * np.median(mean[~full])
            every = np.ones((3, 3), bool)
            regions, _ = label(full, every)
            sizes = np.bincount(regions.ravel(), pixels.ravel())
            for number, box in enumerate(find_objects(regions), 1):
                if sizes[number] < HOLE_SHARE * rows * cols:
                    continue
                near = tuple(slice(max(part.start - 2, 0), part.stop + 2) for part in box)
                region = regions[near] == number
                around = binary_dilation(region, every)
                edge = mean[near][around & ~full[near]]
                if edge.size and np.median(edge) > enough:
                    # Where cells are larger than pixels, the hole ends within those next to it.
                    found[near] |= around if side > 1 else region
        return found, side, int(zeros[found].sum())

    def _bad_samples(self, stored: np.ndarray) -> np.ndarray:
        bad = ~np.isfinite(stored) if stored.dtype.kind == "f" else np.zeros(stored.shape, bool)
        target = representable(self.file.nodata, stored.dtype)
        if target is not None:
            bad |= stored == target
        return bad

    def _masked(self, window: Window | None) -> np.ndarray | None:
        _, rows, cols = self.shape
        window = window or (0, rows, 0, cols)
        if self._scene is not None:
            return ~self._scene.read_valid(self.file.name, window=window)
        if self.file.mask is None:
            return None
        space = (slice(window[0], window[1]), slice(window[2], window[3]))
        if self._raster is not None:
            from rasterio.windows import Window as RasterWindow

            return np.asarray(self._raster.dataset_mask(window=RasterWindow.from_slices(*space)) == 0)
        return self.file.mask()[space]

    def _whole(self) -> Reader:
        kept: list[np.ndarray] = []

        def read(window: Window) -> np.ndarray:
            if not kept:
                kept.append(self.file.load(None))
            return kept[0][:, window[0] : window[1], window[2] : window[3]]

        return read

    def _reader(self) -> Reader | None:
        """The way to windows of this format, or None if it must be read whole."""
        file = self.file
        if file.format == "scene":
            return self._scene_reader()
        if file.format == "geotiff" or file.format.startswith("gdal-"):
            return self._raster_reader() if file.key is None and "pages" not in file.extra else None
        if file.format == "envi":
            return self._envi_reader()
        if file.format == "npy" and file.layout == "rows-cols":
            return lambda window: _cut(map_npy(file.path)[None], (0, 1, 2), window)
        if file.format in ("npy", "hdf5", "matlab7.3") and len(file.layout.split("-")) == 3:
            axes = parse_layout(file.layout, file=file.path)
            if file.format == "npy":
                return lambda window: _cut(map_npy(file.path), axes, window)
            return self._hdf5_reader(axes)
        return None

    def _scene_reader(self) -> Reader:
        scene = self._scene = self._open.enter_context(Scene(self.file.path))
        return lambda window: scene.read(self.file.name, window=window).cube

    def _raster_reader(self) -> Reader:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
        from rasterio.windows import Window as RasterWindow

        self._open.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE_MB))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            raster = self._raster = self._open.enter_context(rasterio.open(self.file.path))

        def read(window: Window) -> np.ndarray:
            place = RasterWindow.from_slices(window[:2], window[2:])
            try:
                return np.asarray(raster.read(window=place), self.file.dtype)
            except RasterioError as error:
                raise UserError("cannot be read as a raster", file=self.file.path, found=error) from error

        return read

    def _envi_reader(self) -> Reader | None:
        file = self.file
        data = Path(file.extra["data"])
        with open(data, "rb") as stream:
            if stream.read(2) == b"\x1f\x8b" or file.layout not in _STORED:
                return None
        header = read_envi_header(file.extra["header"])
        axes = _STORED[file.layout]
        shape = tuple(np.array(file.shape)[np.argsort(axes)].tolist())

        def read(window: Window) -> np.ndarray:
            # Mapped anew for each window: pages that were read would otherwise stay counted as this process's memory.
            return _cut(np.memmap(data, header.dtype, "r", offset=header.offset, shape=shape), axes, window)

        return read

    def _hdf5_reader(self, axes: tuple[int, int, int]) -> Reader:
        import h5py

        # MATLAB's arrays arrive with their axes reversed.
        positions = tuple(2 - axis for axis in axes) if self.file.format == "matlab7.3" else axes
        dataset = self._open.enter_context(h5py.File(self.file.path, "r"))[self.file.key]
        return lambda window: _cut(dataset, positions, window)


def _cut(stored: np.ndarray, axes: tuple[int, ...], window: Window) -> np.ndarray:
    """A window of a stored 3-D array as (bands, rows, cols), contiguous, native byte order; `axes` as stored."""
    index: list[slice] = [slice(None)] * 3
    index[axes[1]], index[axes[2]] = slice(window[0], window[1]), slice(window[2], window[3])
    part = np.asarray(stored[tuple(index)])
    return np.array(part.transpose(axes), part.dtype.newbyteorder("="), order="C")


def _cell_sums(values: np.ndarray, factor: int, cols: int) -> np.ndarray:
    """Sums over squares of `factor` pixels, `cols` of them in a row; what is left over is dropped."""
    rows = len(values) // factor
    squares = values[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor)
    return squares.sum(axis=(1, 3))
