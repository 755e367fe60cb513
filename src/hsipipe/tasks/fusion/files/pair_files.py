"""The two files of a pair, read by windows of the part that both cover, on the MSI's axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Window
from hsipipe.scenes.windows import WindowedImage
from hsipipe.tasks.fusion.files.pairing import Grid


@dataclass(frozen=True)
class PairWindow:
    """A window of a pair.

    Attributes:
        lr_hsi: (C, h, w) float32, the good bands; hr_msi: (m, ratio h, ratio w) float32. Invalid pixels are filled from
            the nearest valid one of the window.
        lr_valid: (h, w) bool; hr_valid: (ratio h, ratio w) bool.
        ratio: HR pixels per LR pixel.
    """

    lr_hsi: np.ndarray
    hr_msi: np.ndarray
    lr_valid: np.ndarray
    hr_valid: np.ndarray
    ratio: int

    @property
    def is_empty(self) -> bool:
        """Whether either image has no valid pixel here."""
        return not (self.lr_valid.any() and self.hr_valid.any())

    @property
    def output_valid(self) -> np.ndarray:
        """(H, W) bool: where both images hold a measurement."""
        return self.hr_valid & _repeated(self.lr_valid, self.ratio)

    @property
    def both_valid(self) -> np.ndarray:
        """(h, w) bool: LR pixels that are valid, as are all HR pixels within."""
        rows, cols = self.lr_valid.shape
        whole = self.hr_valid.reshape(rows, self.ratio, cols, self.ratio).all(axis=(1, 3))
        return self.lr_valid & whole


@dataclass(frozen=True)
class PairFiles:
    """Two open files, how they lie on one another, and which of their bands are used.

    Attributes: hsi, msi (`WindowedImage`), grid, hsi_bands (all HSI bands,) and msi_bands (all MSI bands,) bool.
    """

    hsi: WindowedImage
    msi: WindowedImage
    grid: Grid
    hsi_bands: np.ndarray
    msi_bands: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the fused cube."""
        grid = self.grid
        return int(self.hsi_bands.sum()), grid.ratio * grid.rows, grid.ratio * grid.cols

    @property
    def wavelength_nm(self) -> np.ndarray | None:
        """(C,) centres of the HSI's usable bands, or None."""
        centres = self.hsi.file.wavelength_nm
        return None if centres is None else centres[self.hsi_bands]

    @property
    def fwhm_nm(self) -> np.ndarray | None:
        """(C,) widths of the HSI's usable bands, or None."""
        widths = self.hsi.file.fwhm_nm
        return None if widths is None else widths[self.hsi_bands]

    def read(self, window: Window | None = None) -> PairWindow:
        """Read a window in LR pixels of the common part, as the MSI lies; None reads all of it."""
        grid = self.grid
        first_row, end_row, first_col, end_col = window or (0, grid.rows, 0, grid.cols)
        top, bottom, left, right = grid.hsi_window
        stored = grid.symmetry.window((first_row, end_row, first_col, end_col), (bottom - top, right - left))
        place = (stored[0] + top, stored[1] + top, stored[2] + left, stored[3] + left)
        lr_hsi, lr_valid = self.hsi.read_valid(place, good_bands=self.hsi_bands)
        ratio, (msi_row, _, msi_col, _) = grid.ratio, grid.msi_window
        fine = (
            msi_row + ratio * first_row,
            msi_row + ratio * end_row,
            msi_col + ratio * first_col,
            msi_col + ratio * end_col,
        )
        hr_msi, hr_valid = self.msi.read_valid(fine, good_bands=self.msi_bands)
        lr_hsi, lr_valid = grid.symmetry.turn(lr_hsi), grid.symmetry.turn(lr_valid)
        return PairWindow(
            np.ascontiguousarray(fill_invalid(lr_hsi, lr_valid)),
            fill_invalid(hr_msi, hr_valid),
            lr_valid,
            hr_valid,
            ratio,
        )

    @property
    def transform(self) -> list[float] | None:
        """The output's transform (a, b, c, d, e, f): the MSI's; without one, what follows from the HSI's."""
        grid = self.grid
        if self.msi.file.transform is not None:
            own, col, row = _matrix(self.msi.file.transform), grid.msi_window[2], grid.msi_window[0]
            to_own = np.array([[1.0, 0, col], [0, 1.0, row], [0, 0, 1]])
        elif self.hsi.file.transform is not None:
            own = _matrix(self.hsi.file.transform)
            top, bottom, left, right = grid.hsi_window
            moved = np.array([[1.0, 0, left], [0, 1.0, top], [0, 0, 1]])
            finer = np.diag([1 / grid.ratio, 1 / grid.ratio, 1.0])
            to_own = moved @ grid.symmetry.pixel_map((bottom - top, right - left)) @ finer
        else:
            return None
        return [float(number) for number in (own @ to_own)[:2].ravel()]

    @property
    def crs(self) -> str | None:
        """The output's coordinate system (WKT)."""
        file = self.msi.file if self.msi.file.transform is not None else self.hsi.file
        return file.crs or self.msi.file.crs or self.hsi.file.crs


def fill_invalid(cube: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The cube (bands, rows, cols) with invalid pixels filled from the nearest valid one; zeros if there is none."""
    if valid.all():
        return cube
    if not valid.any():
        return np.zeros_like(cube)
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return cube[:, nearest[0], nearest[1]]


def require_bands(good: np.ndarray, name: str, file: object) -> None:
    """Refuse an image without a single band that can be used.

    Raises:
        UserError: naming the file.
    """
    if not good.any():
        raise UserError(
            "has no band that can be used: each is constant, without a measurement or declared bad",
            file=str(file),
            found=f"{len(good)} bands of {name}",
            remedy="check the file, its nodata value and its layout",
        )


def _repeated(mask: np.ndarray, ratio: int) -> np.ndarray:
    return mask.repeat(ratio, axis=0).repeat(ratio, axis=1)


def _matrix(transform: tuple[float, ...]) -> np.ndarray:
    return np.vstack([np.asarray(transform, float).reshape(2, 3), [0, 0, 1]])
