"""Means over square windows, over the pixels that hold a measurement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hsipipe.errors import UserError


def window_means(cube: np.ndarray, valid: np.ndarray, *, windows: Sequence[int]) -> np.ndarray:
    """The mean of every band over a window round each pixel, for windows of several sizes.

    Only valid pixels within the image are averaged; a window of 1 is the pixel itself. Where no pixel of the window is
    valid the mean is 0.

    Args:
        cube: (bands, rows, cols), in any unit.
        valid: (rows, cols) bool.
        windows: sides in pixels, odd.

    Returns:
        (windows * bands, rows, cols) float32: all bands of the first window, then of the next.

    Raises:
        UserError: a window that is even or below 1, or a mask of another size.
    """
    from scipy.ndimage import uniform_filter

    check_windows(windows)
    if valid.shape != cube.shape[1:]:
        raise UserError(f"a mask of {valid.shape} does not fit an image of {cube.shape[1:]}")
    bands = len(cube)
    # What stands at pixels that are not valid (NaN, nodata) must not enter any sum.
    known = np.where(valid, cube, np.float32(0)).astype(np.float32)
    means = np.empty((len(windows) * bands, *valid.shape), np.float32)
    for number, side in enumerate(windows):
        out = means[number * bands : (number + 1) * bands]
        if side == 1:
            out[:] = known
            continue
        share = uniform_filter(valid.astype(np.float64), side, mode="constant")
        # Shares are multiples of 1 / side^2; less than half of that is rounding, not a pixel.
        share = np.where(share * side * side > 0.5, share, np.inf)
        for band, values in zip(out, known, strict=True):
            band[:] = uniform_filter(values.astype(np.float64), side, mode="constant") / share
    return means


def check_windows(windows: Sequence[int]) -> None:
    """Raise UserError unless `windows` are odd whole numbers from 1 on, at least one."""
    whole = all(isinstance(side, (int, np.integer)) for side in windows)
    if not len(windows) or not whole or any(side < 1 or side % 2 == 0 for side in windows):
        raise UserError("must be odd numbers of pixels", key="windows", found=list(windows), remedy="such as [1, 3, 5]")
