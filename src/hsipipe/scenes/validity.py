"""Which pixels and bands of a cube hold a measurement: one rule for all file formats."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError

log = logging.getLogger(__name__)


class NothingValidError(UserError):
    """A file in which no pixel or no band holds a measurement."""


def assess_validity(
    cube: np.ndarray,
    *,
    nodata: float | None = None,
    declared_bad: np.ndarray | None = None,
    masked: np.ndarray | None = None,
    file: str | Path | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the valid pixels and the good bands of a cube.

    A sample is invalid if it equals `nodata` or is NaN or infinite. A band is bad if the file declares it so, if it has
    no valid sample, or if it is constant over all valid pixels. A pixel is invalid if the file masks it, if any good
    band is invalid there, or if it is zero in every good band. Single zeros and negative values are measurements.

    Args:
        cube: (bands, rows, cols), any real type.
        nodata: the value that stands for "no measurement", or None.
        declared_bad: (bands,) bool, True where the file's header says that the band is bad.
        masked: (rows, cols) bool, True where the file's own mask excludes the pixel.
        file: named in errors and warnings.

    Returns:
        valid (rows, cols) bool and good_bands (bands,) bool.

    Raises:
        NothingValidError: no good band or no valid pixel is left.
        UserError: an empty cube.
    """
    bands, rows, cols = cube.shape
    if cube.size == 0:
        raise UserError("holds no pixel", file=file, found=f"bands x rows x cols = {bands} x {rows} x {cols}")
    good = np.ones(bands, bool) if declared_bad is None else ~np.asarray(declared_bad, bool)
    target = representable(nodata, cube.dtype)
    partial: dict[int, np.ndarray] = {}  # band -> its invalid samples, only for bands that have some of both
    dead = np.zeros(bands, bool)
    for band in range(bands):
        bad = _invalid_samples(cube[band], target)
        if bad is not None:
            dead[band] = bool(bad.all())
            if not dead[band]:
                partial[band] = bad
    constant = np.zeros(bands, bool)
    good &= ~dead
    while True:
        valid = np.ones((rows, cols), bool) if masked is None else ~masked
        for band, bad in partial.items():
            if good[band]:
                valid &= ~bad
        _drop_zero_pixels(cube, good, valid)
        found = _constant_bands(cube, good, valid)
        if not found.any():
            break
        constant |= found
        good &= ~found
    if not good.any():
        raise NothingValidError(
            "has no good band",
            file=file,
            found=f"{_share(dead)} without a measurement, {_share(constant)} constant",
            remedy="check the nodata value and whether this is the right file",
        )
    if not valid.any():
        raise NothingValidError(
            "has no valid pixel",
            file=file,
            found=f"nodata {nodata}; every pixel is nodata, NaN, masked or zero",
            remedy="check the nodata value and whether this is the right file",
        )
    declared = np.zeros(bands, bool) if declared_bad is None else np.asarray(declared_bad, bool)
    for name, which in (("without a measurement", dead & ~declared), ("constant", constant)):
        if which.any():
            log.warning("%s: %d of %d bands %s, marked bad: %s", file, which.sum(), bands, name, ranges(which))
    return valid, good


def representable(nodata: float | None, dtype: np.dtype) -> np.generic | None:
    """`nodata` in the type of the data, or None if no sample of that type can equal it (or if it is NaN)."""
    if nodata is None or np.isnan(nodata):
        return None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if nodata != int(nodata) or not limits.min <= nodata <= limits.max:
            return None
        return dtype.type(int(nodata))
    return dtype.type(nodata)


def ranges(which: np.ndarray) -> str:
    """Indices (0-based) of True values in short form.

    >>> ranges(np.array([False, True, True, True, False, True]))
    '1-3, 5'
    """
    index = np.flatnonzero(which)
    runs = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs if len(run))


def _invalid_samples(band: np.ndarray, target: np.generic | None) -> np.ndarray | None:
    """(rows, cols) bool of invalid samples, or None when there are none; the common case costs one pass."""
    bad: np.ndarray | None = None
    # A sum is finite only if all its terms are, and costs half of `isfinite` on every sample.
    with np.errstate(over="ignore", invalid="ignore"):
        if band.dtype.kind == "f" and not np.isfinite(band.sum()):
            bad = ~np.isfinite(band)
    if target is not None:
        equal = band == target
        bad = equal if bad is None else bad | equal
    return bad if bad is not None and bad.any() else None


def _drop_zero_pixels(cube: np.ndarray, good: np.ndarray, valid: np.ndarray) -> None:
    """Clear `valid`, in place, where a pixel is zero in every good band; stops as soon as no candidate is left."""
    index = np.flatnonzero(good)
    if not len(index):
        return
    candidates = np.flatnonzero(cube[index[0]].ravel() == 0)
    for band in index[1:]:
        if not len(candidates):
            return
        candidates = candidates[cube[band].ravel()[candidates] == 0]
    valid.ravel()[candidates] = False


def _constant_bands(cube: np.ndarray, good: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(bands,) bool: good bands that hold one value at all valid pixels; a single pixel tells nothing."""
    found = np.zeros(len(good), bool)
    index = np.flatnonzero(valid.ravel())
    if len(index) < 2:
        return found
    some = index[:: max(1, len(index) // 64)]
    for band in np.flatnonzero(good):
        values = cube[band].ravel()
        first = values[index[0]]
        if (values[some] == first).all():  # the few settle nearly every band; only then look at all
            found[band] = bool((values[index] == first).all())
    return found


def _share(which: np.ndarray) -> str:
    return f"{int(which.sum())} of {len(which)} bands"
