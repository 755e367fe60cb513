"""Which pixels of the LR HSI and the HR MSI belong together: the ratio, and the part that both cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Window
from hsipipe.tasks.fusion.files.symmetry import AS_IT_IS, SYMMETRIES, Symmetry

RATIO_TOLERANCE = 0.01  # of the pixel sizes' ratio, by which it may miss a whole number
GRID_TOLERANCE = 0.05  # HR pixels, by which two grids may miss one another without a word


@dataclass(frozen=True)
class Grid:
    """The common part of a pair.

    Attributes:
        ratio: HR pixels per LR pixel and axis.
        rows, cols: LR pixels in common, as the MSI lies.
        hsi_window: where they lie in the HSI as it is stored; msi_window: in the MSI.
        symmetry: what turns the HSI so that it lies as the MSI does.
        notes: what was left out, in words.
    """

    ratio: int
    rows: int
    cols: int
    hsi_window: Window
    msi_window: Window
    symmetry: Symmetry = AS_IT_IS
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Size (rows, cols), coordinate system (WKT) and transform (a, b, c, d, e, f) of an image."""

    size: tuple[int, int]
    crs: str | None = None
    transform: Sequence[float] | None = None


def find_grid(hsi: Place, msi: Place, *, turn: bool = False) -> Grid:
    """Match a pair by its georeferences if both have one, else by its sizes.

    Args:
        hsi, msi: the two images.
        turn: allow an HSI whose georeference or size says that it must be turned first.

    Raises:
        UserError: as `match_sizes` and `match_georeferences`.
    """
    if hsi.transform is not None and msi.transform is not None:
        return match_georeferences(hsi, msi, turn=turn)
    return match_sizes(hsi.size, msi.size, turn=turn)


def match_sizes(hsi: tuple[int, int], msi: tuple[int, int], *, turn: bool = False) -> Grid:
    """Match a pair by its sizes (rows, cols), both with the same first corner.

    Up to ratio - 1 rows or columns of the MSI that are too many are left out at the end; where as many are missing, the
    HSI's last row or column is left out.

    Raises:
        UserError: sizes that are not in one whole ratio of at least 2; sizes that fit only transposed, without `turn`.
    """
    found = _match(hsi, msi)
    if found is not None:
        return found
    turned = _match(hsi[::-1], msi)
    sizes = f"LR_HSI {hsi[0]} x {hsi[1]}, HR_MSI {msi[0]} x {msi[1]} rows x cols"
    if turned is None:
        swapped = _match(msi, hsi) is not None
        raise UserError(
            "the sizes are not in one whole ratio of at least 2",
            found=sizes,
            remedy="LR_HSI comes first, then HR_MSI"
            if swapped
            else "crop both to the same ground, or check --hsi-layout and --msi-layout",
        )
    if not turn:
        raise UserError(
            "the sizes fit only if one image is transposed or rotated by 90 degrees",
            found=sizes,
            remedy="check --hsi-layout and --msi-layout, or let --orient auto turn LR_HSI",
        )
    symmetry = Symmetry(transpose=True)
    window = symmetry.window((0, turned.rows, 0, turned.cols), hsi)
    return Grid(turned.ratio, turned.rows, turned.cols, window, turned.msi_window, symmetry, turned.notes)


def _match(hsi: tuple[int, int], msi: tuple[int, int]) -> Grid | None:
    for ratio in sorted({round(msi[0] / hsi[0]), round(msi[1] / hsi[1])}, reverse=True):
        over = [fine - ratio * coarse for fine, coarse in zip(msi, hsi, strict=True)]
        if ratio < 2 or max(map(abs, over)) >= ratio:
            continue
        rows, cols = (min(coarse, fine // ratio) for fine, coarse in zip(msi, hsi, strict=True))
        if min(rows, cols) < 1:
            continue
        return Grid(
            ratio,
            rows,
            cols,
            (0, rows, 0, cols),
            (0, ratio * rows, 0, ratio * cols),
            notes=_cropped((rows, cols), hsi, "LR_HSI") + _cropped((ratio * rows, ratio * cols), msi, "HR_MSI"),
        )
    return None


def _cropped(kept: tuple[int, int], size: tuple[int, int], name: str) -> tuple[str, ...]:
    if kept == size:
        return ()
    return (f"{name} is cropped from {size[0]} x {size[1]} to {kept[0]} x {kept[1]} pixels",)


def match_georeferences(hsi: Place, msi: Place, *, turn: bool = False) -> Grid:
    """Match a pair by its georeferences: the whole LR pixels that both images cover.

    Raises:
        UserError: different coordinate systems, pixel sizes not in a whole ratio of at least 2, grids turned against
            one another by other than quarters of a turn, nothing in common; an HSI that must be turned, without `turn`.
    """
    _check_same_crs(hsi.crs, msi.crs)
    to_msi = np.linalg.inv(_matrix(msi)) @ _matrix(hsi)
    side = float(np.sqrt(abs(np.linalg.det(to_msi[:2, :2]))))
    ratio = round(side)
    if ratio < 2 or abs(side - ratio) > RATIO_TOLERANCE * ratio:
        raise UserError(
            "the georeferences' pixel sizes are not in a whole ratio of at least 2",
            found=f"LR_HSI's pixels are {side:.4g} times as large as HR_MSI's",
            remedy="LR_HSI comes first; otherwise resample one image, or leave out its georeference",
        )
    for symmetry in SYMMETRIES:
        mapped = to_msi @ symmetry.pixel_map(hsi.size)
        if np.abs(mapped[:2, :2] / ratio - np.eye(2)).max() <= RATIO_TOLERANCE:
            break
    else:
        raise UserError(
            "the georeferences turn one image against the other", remedy="resample one to the grid of the other"
        )
    if not symmetry.is_identity and not turn:
        raise UserError(
            f"by its georeference HR_MSI is {symmetry.name} against LR_HSI",
            remedy="let --orient auto turn LR_HSI",
        )
    rows, cols = symmetry.size(hsi.size)
    offset_col, offset_row = (float(value) for value in mapped[:2, 2])
    first_row, end_row, msi_row = _overlap(offset_row, rows, msi.size[0], ratio)
    first_col, end_col, msi_col = _overlap(offset_col, cols, msi.size[1], ratio)
    if end_row <= first_row or end_col <= first_col:
        raise UserError(
            "the images have no whole LR pixel in common",
            found=f"LR_HSI begins {offset_row:.1f} rows and {offset_col:.1f} columns from HR_MSI's corner",
            remedy="check that both show the same ground",
        )
    common = (end_row - first_row, end_col - first_col)
    notes = _cropped(common, (rows, cols), "LR_HSI")
    notes += _cropped((ratio * common[0], ratio * common[1]), msi.size, "HR_MSI")
    missed = [value - round(value) for value in (offset_row, offset_col)]
    if max(map(abs, missed)) > GRID_TOLERANCE:
        notes += (f"the grids miss one another by {missed[0]:+.2f} rows and {missed[1]:+.2f} columns of HR_MSI",)
    return Grid(
        ratio,
        *common,
        symmetry.window((first_row, end_row, first_col, end_col), hsi.size),
        (msi_row, msi_row + ratio * common[0], msi_col, msi_col + ratio * common[1]),
        symmetry,
        notes,
    )


def _overlap(offset: float, coarse: int, fine: int, ratio: int) -> tuple[int, int, int]:
    """Along one axis: first and end LR pixel that lie wholly in the MSI, and the MSI's first pixel."""
    start = round(offset)
    first = max(0, ceil(-start / ratio))
    end = min(coarse, floor((fine - start) / ratio))
    return first, end, start + ratio * first


def _matrix(place: Place) -> np.ndarray:
    a, b, c, d, e, f = map(float, place.transform or ())
    return np.array([[a, b, c], [d, e, f], [0, 0, 1]])


def _check_same_crs(hsi: str | None, msi: str | None) -> None:
    if not hsi or not msi:
        return
    from rasterio.crs import CRS

    first, second = CRS.from_user_input(hsi), CRS.from_user_input(msi)
    if first != second:
        raise UserError(
            "the images have different coordinate systems",
            found=f"LR_HSI {_short(first)}, HR_MSI {_short(second)}",
            remedy="reproject one (gdalwarp)",
        )


def _short(crs: object) -> str:
    text = str(crs)
    return text if len(text) < 40 else text[:37] + "..."


def turned_further(grid: Grid, symmetry: Symmetry) -> Grid:
    """The same grid with its part of the HSI turned once more, by a symmetry that keeps (rows, cols)."""
    probe = np.arange(4).reshape(2, 2)
    wanted = symmetry.turn(grid.symmetry.turn(probe))
    combined = next(candidate for candidate in SYMMETRIES if np.array_equal(candidate.turn(probe), wanted))
    return replace(grid, symmetry=combined)
