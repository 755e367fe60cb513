"""Apply a function to images of any size, tile by tile, without seams."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import torch
from torch import Tensor


def apply_tiled(
    function: Callable[[Tensor], Tensor],
    cube: Tensor,
    *,
    tile: int = 128,
    overlap: int = 32,
    whole_tiles: bool = False,
    each: Callable[[list[Any]], Iterable[Any]] = iter,
) -> Tensor:
    """Apply `function` to overlapping square tiles of a batch of images and blend what comes out.

    Tiles lie evenly, neighbours share at least `overlap` pixels, and there the weights pass from one tile to the next
    as a raised cosine; they sum to 1 everywhere. Along an axis that is shorter than a tile there is one tile of its
    length; with `whole_tiles` it is extended by reflection, around its middle.

    Args:
        function: (B, C, h, w) to the same shape, h and w at most `tile`.
        cube: (B, C, H, W), any H and W of at least 1.
        tile: side of a tile, pixels.
        overlap: least overlap of neighbouring tiles, pixels; below `tile`.
        whole_tiles: the function takes nothing but (B, C, tile, tile), as a transformer with learned positions does.
        each: goes through the list of tiles, such as a progress bar.

    Returns:
        (B, C, H, W), float32, on the device of `cube`.

    Raises:
        ValueError: sizes that make no tiling, or a function that changes the shape.
    """
    if tile < 1 or not 0 <= overlap < tile:
        raise ValueError(f"no tiling with tiles of {tile} that overlap by {overlap}")
    if cube.ndim != 4 or min(cube.shape[-2:]) < 1:
        raise ValueError(f"expected (B, C, H, W), got {tuple(cube.shape)}")
    height, width = (tile if whole_tiles else min(tile, size) for size in cube.shape[-2:])
    rows = _positions(cube.shape[-2], height, min(overlap, height - 1))
    cols = _positions(cube.shape[-1], width, min(overlap, width - 1))
    result = torch.zeros(cube.shape, dtype=torch.float32, device=cube.device)
    for (row_start, row_weight), (col_start, col_weight) in each(list(product(rows, cols))):
        part = _cut(cube, row_start, col_start, height, width)
        treated = function(part)
        if treated.shape != part.shape:
            raise ValueError(f"the function made {tuple(treated.shape)} of a tile of {tuple(part.shape)}")
        # Only what lies inside the image is kept; reflected borders are not.
        top, bottom = max(row_start, 0), min(row_start + height, cube.shape[-2])
        left, right = max(col_start, 0), min(col_start + width, cube.shape[-1])
        inner_rows = slice(top - row_start, bottom - row_start)
        inner_cols = slice(left - col_start, right - col_start)
        weight = row_weight[inner_rows, None] * col_weight[None, inner_cols]
        treated = treated[..., inner_rows, inner_cols].to(cube.device, torch.float32)
        result[..., top:bottom, left:right] += treated * weight.to(cube.device)
    return result


def apply_network(network: Callable[[Tensor], Tensor], cube: Tensor) -> Tensor:
    """Apply a network to images (B, C, H, W) of any size.

    A network that names a side in `tile` takes no other; one with `whole_image` gets the image itself; all others get
    overlapping tiles of 128 pixels at most.
    """
    if getattr(network, "whole_image", False):
        return network(cube)
    side = getattr(network, "tile", None)
    if side is None:
        return apply_tiled(network, cube)
    return apply_tiled(network, cube, tile=side, overlap=side // 4, whole_tiles=True)


def _positions(size: int, tile: int, overlap: int) -> list[tuple[int, Tensor]]:
    """Starts of the tiles along one axis, each with its weights (tile,); at each pixel the weights sum to 1."""
    count = max(1, math.ceil((size - overlap) / (tile - overlap)))
    if count == 1:
        return [(-((tile - size) // 2), torch.ones(tile))]
    starts = [round(index * (size - tile) / (count - 1)) for index in range(count)]
    # Half-pixel phases keep every weight above zero. Without overlap the ramp is empty and the window flat.
    phase = (torch.arange(tile, dtype=torch.float64) + 0.5) / max(overlap, 1)
    ramp = torch.sin(0.5 * math.pi * torch.minimum(phase, phase.flip(0)).clamp(max=1)) ** 2
    total = torch.zeros(size, dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += ramp
    return [(start, (ramp / total[start : start + tile]).float()) for start in starts]


def _cut(cube: Tensor, row_start: int, col_start: int, height: int, width: int) -> Tensor:
    """(B, C, height, width) from the image extended by reflection without end (the border pixel is not repeated)."""
    rows, cols = cube.shape[-2:]
    if row_start >= 0 and col_start >= 0 and row_start + height <= rows and col_start + width <= cols:
        return cube[..., row_start : row_start + height, col_start : col_start + width]
    row_index = _reflect(row_start, height, rows).to(cube.device)
    col_index = _reflect(col_start, width, cols).to(cube.device)
    return cube.index_select(-2, row_index).index_select(-1, col_index)


def _reflect(start: int, count: int, size: int) -> Tensor:
    """Indices start ... start + count - 1 folded into 0 ... size - 1."""
    period = max(1, 2 * (size - 1))
    index = torch.arange(start, start + count).remainder(period)
    return torch.minimum(index, period - index) if size > 1 else torch.zeros(count, dtype=torch.long)
