"""From items of scenes to images of one size: specimens cropped to their mask, or patches round labelled pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item
from hsipipe.tasks.representation.case import Identity, Prepared

MARGIN = 0.04  # of the longer side, left free round a specimen
PERCENTILE = 99.0  # what the scaling of values without a known unit brings to 1


def reflectance(item: Item) -> np.ndarray:
    """The cube (bands, rows, cols) float32 as reflectance, about in [0, 1], 0 where not valid.

    By the scale that the file tells; without one by the 99th percentile of the valid values, which keeps spectra in
    proportion but says nothing of how bright one item is beside another.
    """
    scale = item.source.get("scale")
    cube = np.where(item.valid & item.good_bands[:, None, None], item.cube, 0).astype(np.float32)
    if not scale:
        high = float(np.percentile(np.abs(cube[:, item.valid]), PERCENTILE))
        scale = 1 / high if high > 0 else 1.0
    return np.nan_to_num(cube * np.float32(scale))


def crop_to_mask(cube: np.ndarray, mask: np.ndarray, *, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A specimen in the middle of a square of size x size, all of it, its proportions kept.

    Smaller by means over areas (no fine pattern turns into a coarse one), larger by linear interpolation; pixels of the
    background have no part in either.

    Args:
        cube: (bands, rows, cols), 0 outside the mask.
        mask: (rows, cols) bool.
        size: side in pixels.

    Returns:
        (bands, size, size) float32, 0 outside; (size, size) bool.

    Raises:
        UserError: an empty mask.
    """
    rows, cols = np.nonzero(mask)
    if not len(rows):
        raise UserError("there is no specimen in the image", found="an empty mask")
    top, bottom, left, right = rows.min(), rows.max() + 1, cols.min(), cols.max() + 1
    side = max(bottom - top, right - left) * (1 + 2 * MARGIN)
    # Edges of the output pixels in the input, along rows and columns.
    across = [
        np.linspace((low + high - side) / 2, (low + high + side) / 2, size + 1)
        for low, high in ((top, bottom), (left, right))
    ]
    down, over = (_shares(edges, length) for edges, length in zip(across, mask.shape, strict=True))
    weight = down @ mask.astype(np.float32) @ over.T
    known = weight > 0.5
    summed = np.einsum("ri,bij,cj->brc", down, np.where(mask, cube, 0).astype(np.float32), over, optimize=True)
    return np.where(known, summed / np.where(known, weight, 1), 0).astype(np.float32), known


def _shares(edges: np.ndarray, length: int) -> np.ndarray:
    """How much each input pixel has in each output pixel, (outputs, length): areas; linear where outputs are finer."""
    width = edges[1] - edges[0]
    starts = np.arange(length)
    if width >= 1:
        overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
        return (np.clip(overlap, 0, None) / width).astype(np.float32)
    centres = (edges[:-1] + edges[1:]) / 2 - 0.5
    return np.clip(1 - np.abs(centres[:, None] - starts), 0, None).astype(np.float32)


def patches_of(item: Item, unit: str, *, side: int, stride: int, block: int) -> Iterator[tuple[int, int, Prepared]]:
    """The patch round each labelled valid pixel: row, column, image. What lies beyond the scene is no part of its mask.

    Args:
        item: with labels.
        unit: its name.
        side: of a patch, odd.
        stride: every so many rows and columns.
        block: side of the blocks that stand for individuals.

    Raises:
        UserError: an item without labels.
    """
    if item.labels is None or not ((item.labels > 0) & item.valid).any():
        raise UserError(f"item {item.name!r} has no labelled pixel", file=item.source.get("path"), key="patch")
    reach = side // 2
    cube = np.pad(reflectance(item), ((0, 0), (reach, reach), (reach, reach)))
    mask = np.pad(item.valid, reach)
    for row, col in np.argwhere((item.labels > 0) & item.valid):
        if row % stride or col % stride:
            continue
        code = int(item.labels[row, col])
        species = item.class_names[code - 1] if code <= len(item.class_names) else f"class {code}"
        window = (slice(row, row + side), slice(col, col + side))
        identity = Identity(f"{unit}:{row}-{col}", species, f"{unit}:{row // block}-{col // block}")
        yield int(row), int(col), Prepared(identity, cube[:, window[0], window[1]], mask[window])
