"""Blocks of pixels held out in turn, so that neighbours which share a blur do not vouch for one another.

Source: Roberts et al., "Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic
structure", Ecography 40(8), 2017, doi:10.1111/ecog.02881.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

FOLDS = 5


@dataclass(frozen=True)
class HoldOut:
    """A rectangle of an image, and the fold in which it is held out."""

    rows: slice
    cols: slice
    fold: int


def blocked_folds(rows: int, cols: int, *, side: int, folds: int = FOLDS, first: int = 0) -> list[HoldOut]:
    """Tile an image with blocks of about `side` pixels, each in one of the folds, so that neighbours differ.

    Args:
        rows, cols: size of the image.
        side: of a block; made smaller where the image would have fewer than two blocks along an axis.
        folds: number of folds; those of a small image may stay empty.
        first: fold of the first block, so that further images go on where the last ended.

    Returns:
        The blocks; together they cover every pixel once.
    """
    down, along = (np.linspace(0, size, _parts(size, side) + 1).astype(int) for size in (rows, cols))
    return [
        HoldOut(slice(top, bottom), slice(left, right), (first + 2 * i + j) % folds)
        for i, (top, bottom) in enumerate(pairwise(down))
        for j, (left, right) in enumerate(pairwise(along))
    ]


def _parts(size: int, side: int) -> int:
    return min(size, max(2, round(size / side)))
