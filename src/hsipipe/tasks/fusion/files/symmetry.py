"""The eight ways in which one image may lie on another: mirrored, rotated by quarters of a turn, transposed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.scenes.scene import Window

_NAMES = {
    (False, False, False): "as it is",
    (False, False, True): "mirrored left-right",
    (False, True, False): "mirrored upside down",
    (False, True, True): "rotated by 180 degrees",
    (True, False, False): "transposed",
    (True, False, True): "rotated by 90 degrees clockwise",
    (True, True, False): "rotated by 90 degrees counter-clockwise",
    (True, True, True): "transposed along the other diagonal",
}


@dataclass(frozen=True)
class Symmetry:
    """First transpose, then flip the rows, then the columns, each if so said."""

    transpose: bool = False
    flip_rows: bool = False
    flip_cols: bool = False

    @property
    def name(self) -> str:
        """What an image looks like to which it was applied."""
        return _NAMES[self.transpose, self.flip_rows, self.flip_cols]

    @property
    def is_identity(self) -> bool:
        """Whether it leaves everything as it is."""
        return not (self.transpose or self.flip_rows or self.flip_cols)

    def turn(self, image: np.ndarray) -> np.ndarray:
        """The image (..., rows, cols) turned; a view."""
        if self.transpose:
            image = np.swapaxes(image, -1, -2)
        if self.flip_rows:
            image = image[..., ::-1, :]
        return image[..., ::-1] if self.flip_cols else image

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(rows, cols) of the turned image."""
        return (size[1], size[0]) if self.transpose else size

    def window(self, window: Window, size: tuple[int, int]) -> Window:
        """Where a window of the turned image lies in the image as it was.

        Args:
            window: first row, end row, first column, end column.
            size: (rows, cols) of the image as it was.
        """
        rows, cols = self.size(size)
        first_row, end_row, first_col, end_col = window
        if self.flip_rows:
            first_row, end_row = rows - end_row, rows - first_row
        if self.flip_cols:
            first_col, end_col = cols - end_col, cols - first_col
        if self.transpose:
            return first_col, end_col, first_row, end_row
        return first_row, end_row, first_col, end_col

    def pixel_map(self, size: tuple[int, int]) -> np.ndarray:
        """(3, 3): homogeneous (col, row) of the turned image to those of the image of `size` (rows, cols) as it was."""
        rows, cols = self.size(size)
        flips = np.eye(3)
        if self.flip_cols:
            flips[0] = (-1, 0, cols)
        if self.flip_rows:
            flips[1] = (0, -1, rows)
        return flips[[1, 0, 2]] if self.transpose else flips


SYMMETRIES = tuple(Symmetry(*flags) for flags in _NAMES)
AS_IT_IS = SYMMETRIES[0]
