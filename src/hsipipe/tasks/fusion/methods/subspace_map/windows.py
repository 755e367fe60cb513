"""The parts of a large scene that Subspace MAP learns from; more would cost time and add little."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WINDOW_SIDE = 40  # LR pixels a side of the windows to learn from, in scenes larger than four of them
MOST_WINDOWS = 4
MOST_FINE = 512  # HR pixels a side of such a window


def learning_windows(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], ratio: int
) -> tuple[list[tuple[np.ndarray, np.ndarray]], bool]:
    """Windows to learn from, spread over the pairs, and whether they are the pairs themselves.

    Args:
        pairs: (lr_hsi (C, h, w), hr_msi (m, ratio h, ratio w)) each.
        ratio: HR pixels per LR pixel.
    """
    side = max(8, min(WINDOW_SIDE, MOST_FINE // ratio))
    most = MOST_WINDOWS * side**2
    if sum(lr_hsi[0].size for lr_hsi, _ in pairs) <= most:
        return list(pairs), True
    each = max(1, MOST_WINDOWS // len(pairs))
    chosen = []
    for lr_hsi, hr_msi in pairs[:: max(1, len(pairs) // MOST_WINDOWS)]:
        rows, cols = lr_hsi.shape[1:]
        down = 1 if each < 4 or rows < 2 * side else 2
        for top in _starts(rows, side, down):
            for left in _starts(cols, side, max(1, each // down)):
                fine = (slice(None), *(slice(ratio * first, ratio * (first + side)) for first in (top, left)))
                chosen.append((lr_hsi[:, top : top + side, left : left + side], hr_msi[fine]))
    return chosen, False


def _starts(size: int, side: int, count: int) -> list[int]:
    """First pixels of `count` windows spread evenly over an axis."""
    spare = max(0, size - side)
    return sorted({round(spare * (2 * index + 1) / (2 * count)) for index in range(count)})
