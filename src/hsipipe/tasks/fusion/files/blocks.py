"""The windows of a scene: blocks to work through, with what surrounds them, and a sample to fit a model on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hsipipe.scenes.scene import Window


def block_windows(rows: int, cols: int, side: int) -> Iterator[Window]:
    """Windows of `side` x `side` LR pixels that tile an image, row by row; those at the end are smaller."""
    for row in range(0, rows, side):
        for col in range(0, cols, side):
            yield row, min(row + side, rows), col, min(col + side, cols)


def widened(window: Window, halo: int, rows: int, cols: int) -> Window:
    """The window with `halo` LR pixels more on each side, as far as the image (rows, cols) reaches."""
    return (
        max(window[0] - halo, 0),
        min(window[1] + halo, rows),
        max(window[2] - halo, 0),
        min(window[3] + halo, cols),
    )


def inner(cube: np.ndarray, window: Window, wide: Window, ratio: int) -> np.ndarray:
    """The part (..., H, W) of a widened block that belongs to the window itself."""
    row, col = ratio * (window[0] - wide[0]), ratio * (window[2] - wide[2])
    return cube[..., row : row + ratio * (window[1] - window[0]), col : col + ratio * (window[3] - window[2])]


def sample_windows(rows: int, cols: int, *, side: int, most: int) -> list[Window]:
    """Up to `most` windows of `side` LR pixels, spread evenly over an image; the whole of it where it is small enough.

    Args:
        rows, cols: of the image.
        side: of a window; an image of at most most * side**2 pixels is taken whole.
        most: number of windows.
    """
    if rows * cols <= most * side**2:
        return [(0, rows, 0, cols)]
    height, width = min(side, rows), min(side, cols)
    down = max(1, min(rows // height, round(np.sqrt(most * rows / cols))))
    along = max(1, min(cols // width, most // down))
    first_rows = _spread(rows - height, down)
    first_cols = _spread(cols - width, along)
    return [(row, row + height, col, col + width) for row in first_rows for col in first_cols]


def _spread(room: int, count: int) -> list[int]:
    """`count` starts from 0 to `room`, evenly; the middle for a single one."""
    return [room // 2] if count == 1 else np.linspace(0, room, count).round().astype(int).tolist()
