"""How the two images of a pair relate: matched grids, orientation, shift, spectral response, radiometry."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Window
from hsipipe.scenes.validity import ranges
from hsipipe.scenes.windows import Survey, WindowedImage
from hsipipe.tasks.fusion.files.alignment import better_symmetry, estimate_shift, find_symmetry
from hsipipe.tasks.fusion.files.blocks import sample_windows
from hsipipe.tasks.fusion.files.pair_files import PairFiles, require_bands
from hsipipe.tasks.fusion.files.pairing import Grid, Place, find_grid, turned_further
from hsipipe.tasks.fusion.files.radiometry import Sample, Scaling, joint_scaling, low_resolution, match_blur, shifted
from hsipipe.tasks.fusion.files.responses import ChosenResponse, choose_response

log = logging.getLogger(__name__)

SAMPLE_BYTES = 128 << 20  # of all windows together that are looked at, and fitted on
SAMPLES = 16
THUMBNAIL_SIDE = 256  # LR pixels
SHIFT_HR = 0.5  # HR pixels from which a shift is warned of, if it is also
SHIFT_LR = 0.05  # LR pixels: what the estimate can tell


@dataclass(frozen=True)
class Relations:
    """How the two images relate: PSF given or roughly matched (None: block means), shift, response, scaling."""

    kernel: np.ndarray | None
    shift: dict[str, float] | None
    response: ChosenResponse
    scaling: Scaling


def common_grid(hsi: WindowedImage, msi: WindowedImage, *, turn: bool) -> Grid:
    """Ratio and common part of two open files, by their georeferences or sizes; no pixel is read.

    Raises:
        UserError: as `find_grid`.
    """
    places = [Place(image.shape[1:], image.file.crs, image.file.transform) for image in (hsi, msi)]
    return find_grid(*places, turn=turn)


def match_files(
    hsi: WindowedImage, msi: WindowedImage, grid: Grid, *, turn: bool
) -> tuple[PairFiles, dict[str, Any], list[str]]:
    """Match two open files: usable bands, orientation.

    Args:
        hsi, msi: the files.
        grid: of `common_grid`.
        turn: turn an HSI that lies otherwise than the MSI; False refuses it.

    Returns:
        The pair, facts on its orientation for the report, and what is to be warned of once nothing can be refused.

    Raises:
        UserError: images that do not match, or that have no usable band.
    """
    told = list(grid.notes)
    factor = max(1, -(-max(grid.rows, grid.cols) // THUMBNAIL_SIDE))
    coarse = hsi.survey(window=grid.hsi_window, factor=factor)
    fine = msi.survey(window=grid.msi_window, factor=factor * grid.ratio)
    for image, survey, name in ((hsi, coarse, "LR_HSI"), (msi, fine, "HR_MSI")):
        require_bands(survey.good_bands, name, image.file.path)
        told += _bad_bands(image, survey, name)
        if image.holes:
            told.append(f"{name}: {image.holes:,} pixels are a hole or wedge of zeros in every band, taken as no data")
    grid, orientation = _orient(grid, coarse, fine, turn=turn)
    if orientation["turned"]:
        told.append(f"LR_HSI is turned to lie as HR_MSI does: {grid.symmetry.name}")
    del orientation["turned"]
    return PairFiles(hsi, msi, grid, coarse.good_bands, fine.good_bands), orientation, told


def _bad_bands(image: WindowedImage, survey: Survey, name: str) -> list[str]:
    told = []
    declared = image.file.declared_bad
    rest = survey.without | survey.constant
    for kind, which in (
        ("declared bad", np.zeros_like(rest) if declared is None else declared & ~rest),
        ("without a measurement", survey.without),
        ("constant", survey.constant & ~survey.without),
    ):
        if which.any():
            told.append(f"{name}: {which.sum()} of {len(which)} bands {kind}, left out: {ranges(which)}")
    return told


def _orient(grid: Grid, coarse: Survey, fine: Survey, *, turn: bool) -> tuple[Grid, dict[str, Any]]:
    turned = grid.symmetry.turn(coarse.thumbnail[coarse.good_bands])
    picture = fine.thumbnail[fine.good_bands]
    shares = find_symmetry(turned, picture, (grid.symmetry.turn(coarse.thumbnail_valid), fine.thumbnail_valid))
    better = better_symmetry(shares)
    told = {symmetry.name: round(share, 4) for symmetry, share in shares.items()}
    if better is None:
        return grid, {"applied": grid.symmetry.name, "explained": told, "turned": False}
    if not turn:
        raise UserError(
            f"HR_MSI looks {better.name} against LR_HSI",
            found=f"{shares[better]:.0%} of its variance explained so, {next(iter(shares.values())):.0%} as it is",
            remedy="let --orient auto turn LR_HSI, or check --hsi-layout and --msi-layout",
        )
    grid = turned_further(grid, better)
    return grid, {"applied": grid.symmetry.name, "explained": told, "turned": True}


def report_shift(samples: Sequence[Sample], ratio: int) -> dict[str, float] | None:
    """The shift between the images in HR pixels, the median over windows; a warning if it matters.

    Args:
        samples: windows of the pair, the MSI's block means as soft as the HSI: otherwise a lopsided detail that only
            the MSI shows would pass for a shift.
        ratio: HR pixels per LR pixel.
    """
    found = [shift for shift in (estimate_shift(*sample) for sample in samples) if shift is not None]
    if not found:
        return None
    rows, cols, error, explained = (
        float(np.median([getattr(shift, name) for shift in found])) for name in ("rows", "cols", "error", "explained")
    )
    error /= math.sqrt(len(found))
    size = max(abs(rows), abs(cols))
    if size > max(SHIFT_HR / ratio, SHIFT_LR, 2 * error):
        log.warning(
            "HR_MSI lies %+.2f rows and %+.2f columns of its pixels off LR_HSI; registered images would fuse better",
            ratio * rows,
            ratio * cols,
        )
    return {
        "rows_hr_pixels": round(ratio * rows, 3),
        "cols_hr_pixels": round(ratio * cols, 3),
        "error_hr_pixels": round(ratio * error, 3),
        "explained": round(explained, 4),
    }


def survey_windows(pair: PairFiles) -> list[Window]:
    """The windows (LR pixels) on which relations are estimated and methods fitted: few enough to be kept in memory."""
    bands, fine = pair.shape[0], int(pair.msi_bands.sum()) * pair.grid.ratio**2
    side = max(16, int(np.sqrt(SAMPLE_BYTES / SAMPLES / 4 / (bands + fine))))
    return sample_windows(pair.grid.rows, pair.grid.cols, side=side, most=SAMPLES)


def estimate_relations(
    pair: PairFiles, windows: list[Window], *, psf: np.ndarray | None, srf: Any, axis: str, edge: str
) -> Relations:
    """Estimate blur, shift, response and radiometry on windows of the pair, and warn of what is odd.

    Args:
        pair: the files.
        windows: LR pixels, of `survey_windows`.
        psf: (n, n) if it is known; None matches a Gaussian.
        srf, axis: as in `choose_response`.
        edge: as in `Blur`.

    Raises:
        UserError: as `choose_response` and `joint_scaling`.
    """
    parts = [pair.read(window) for window in windows]

    def at_low_resolution(kernel: np.ndarray | None) -> list[Sample]:
        return [low_resolution(part, kernel, edge=edge, margin=len(parts) > 1) for part in parts]

    kernel = psf if psf is not None else match_blur(parts, edge=edge)
    samples = at_low_resolution(kernel)
    shift = report_shift(samples, pair.grid.ratio)
    if shift is not None:
        rows, cols = shift["rows_hr_pixels"], shift["cols_hr_pixels"]
        if max(abs(rows), abs(cols)) > SHIFT_LR * pair.grid.ratio:
            parts = [shifted(part, rows, cols) for part in parts]
            kernel = psf if psf is not None else match_blur(parts, edge=edge)
            samples = at_low_resolution(kernel)
    chosen = choose_response(srf, pair, samples, axis=axis)
    scaling = joint_scaling(samples, chosen.response.matrix)
    _warn_of_radiometry(scaling, pair)
    return Relations(kernel, shift, chosen, scaling)


def _warn_of_radiometry(scaling: Scaling, pair: PairFiles) -> None:
    numbers = np.flatnonzero(pair.msi_bands)
    for band in scaling.poor_bands:
        log.warning(
            "HR_MSI band %d is badly explained by LR_HSI through the response (r^2 = %.2f)",
            numbers[band] + 1,
            scaling.r2[band],
        )
