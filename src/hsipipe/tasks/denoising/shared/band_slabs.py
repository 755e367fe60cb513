"""Apply a convolutional network that knows no fixed number of bands slab by slab, with the result of one pass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

SLAB_VOXELS = 2**20  # values of one band axis, row axis and column axis: 4 MiB per channel of float32
LEAST_SLAB = 16  # bands; below, nearly all of the work would go into the halo


def is_recorded() -> bool:
    """Whether torch records the network, to export or to compile it: a record of slabs would fit one size only."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def apply_in_slabs(
    network: Callable[[Tensor], Tensor], cube: Tensor, *, halo: int, slab_voxels: int = SLAB_VOXELS
) -> Tensor:
    """Apply `network` to slabs of neighbouring bands, so that memory does not grow with the number of bands.

    A stack of convolutions sees `halo` bands to either side and no farther. A slab therefore carries that many bands
    more at each side, which are cut off afterwards; at the ends of the cube the network meets its own padding as ever.
    What comes out equals one pass over the whole up to rounding, provided that nothing in the network looks at the
    whole cube: batch normalisation must be in evaluation mode.

    Args:
        network: (B, C, H, W) to the same shape, for any C.
        cube: (B, C, H, W).
        halo: bands that reach a result from either side: (kernel length - 1) / 2, summed over the layers.
        slab_voxels: about how many values of one image a slab may hold, without its halo.

    Returns:
        (B, C, H, W).
    """
    if is_recorded():
        return network(cube)
    batch, bands, height, width = cube.shape
    slab = max(LEAST_SLAB, slab_voxels // (batch * height * width))
    if bands <= slab + 2 * halo:
        return network(cube)
    count = max(1, round(bands / slab))
    edges = [round(index * bands / count) for index in range(count + 1)]
    parts = []
    for start, end in pairwise(edges):
        first = max(0, start - halo)
        parts.append(network(cube[:, first : end + halo])[:, start - first : end - first])
    return torch.cat(parts, dim=1)
