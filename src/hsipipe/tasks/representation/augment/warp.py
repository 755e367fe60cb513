"""Images through a sampling grid, once, with an area filter where a view is coarser than its image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# Floats in a temporary array on the CPU: small enough for the allocator to hand the same memory out again.
CPU_FLOATS = 3_000_000


@dataclass(frozen=True)
class Sources:
    """Specimens that are filtered alike, and the part of their images that a view of them shows.

    Attributes:
        members: indices of the specimens, in order.
        factor: pixels on a side that are averaged into one before sampling; 1 for none.
        box: first and last (exclusive) row and column that is averaged.
    """

    members: list[int]
    factor: int
    box: tuple[int, int, int, int]


def plan(grids: Tensor, *, height: int, width: int, antialias: bool, floats: int | None) -> list[Sources]:
    """Divide a batch into specimens that are averaged alike.

    Args:
        grids: (B, size, size, 2), see `geometry.sampling_grid`.
        antialias: whether to average at all.
        floats: a group's images hold at most as many numbers per band, a single specimen excepted; None for any.
    """
    batch, size = grids.shape[:2]
    whole = (0, height, 0, width)
    factors, boxes = [1] * batch, [whole] * batch
    if antialias and size > 1:
        pixels = torch.tensor([width / 2, height / 2], device=grids.device)
        along = (grids[:, :-1, 1:] - grids[:, :-1, :-1]) * pixels
        down = (grids[:, 1:, :-1] - grids[:, :-1, :-1]) * pixels
        area = (along[..., 0] * down[..., 1] - along[..., 1] * down[..., 0]).abs().mean(dim=(1, 2))
        edges = (grids.flatten(1, 2) + 1) * pixels
        summary = torch.cat([area.sqrt()[:, None], edges.amin(dim=1), edges.amax(dim=1)], dim=1).tolist()
        for index, (step, left, top, right, bottom) in enumerate(summary):
            factor = max(1, round(step))
            factors[index] = factor
            if factor > 1:
                boxes[index] = (
                    *_limits(top - factor, bottom + factor, height, factor),
                    *_limits(left - factor, right + factor, width, factor),
                )
    most = batch if floats is None else max(1, floats // (size * size))
    groups = []
    for factor in sorted(set(factors)):
        alike = [index for index in range(batch) if factors[index] == factor]
        for start in range(0, len(alike), most):
            members = alike[start : start + most]
            tops, bottoms, lefts, rights = zip(*(boxes[index] for index in members), strict=True)
            groups.append(Sources(members, factor, (min(tops), max(bottoms), min(lefts), max(rights))))
    return groups


def take(values: Tensor, members: list[int]) -> Tensor:
    """Rows of a tensor, without a copy where they follow each other."""
    if members[-1] - members[0] + 1 == len(members):
        return values[members[0] : members[-1] + 1]
    return values[torch.tensor(members, device=values.device)]


def sample(images: Tensor, grids: Tensor, sources: Sources) -> Tensor:
    """Images (n, c, H, W) of a group at its grids (n, size, size, 2); bilinear, 0 beyond the image."""
    if sources.factor == 1:
        return functional.grid_sample(images, grids.to(images.dtype), align_corners=False)
    height, width = images.shape[-2:]
    top, bottom, left, right = sources.box
    factor = sources.factor
    part = images[..., top:bottom, left:right]
    spare = (-(right - left) % factor, -(bottom - top) % factor)
    if any(spare):
        part = functional.pad(part, (0, spare[0], 0, spare[1]))
    averaged = functional.avg_pool2d(part, factor)
    rows, columns = part.shape[-2:]
    scale = torch.tensor([width / columns, height / rows], device=grids.device)
    shift = torch.tensor([(width - 2 * left) / columns - 1, (height - 2 * top) / rows - 1], device=grids.device)
    return functional.grid_sample(averaged, (grids * scale + shift).to(images.dtype), align_corners=False)


def blur(images: Tensor, sigma_px: float, radius_px: int) -> Tensor:
    """Images (n, c, h, w) under a Gaussian of so many pixels, cut at a radius; 0 beyond the image.

    Imposes invariance to focus: texture finer than the width no longer counts.
    """
    taps = torch.exp(-0.5 * (torch.arange(-radius_px, radius_px + 1, dtype=torch.float64) / sigma_px) ** 2)
    weights = (taps / taps.sum()).tolist()
    for axis in (-2, -1):
        # Shifted sums: a depthwise convolution of hundreds of bands is several times slower on a CPU.
        result = images * weights[radius_px]
        length = images.shape[axis]
        for step in range(1, min(radius_px, length - 1) + 1):
            result.narrow(axis, step, length - step).add_(
                images.narrow(axis, 0, length - step), alpha=weights[radius_px - step]
            )
            result.narrow(axis, 0, length - step).add_(
                images.narrow(axis, step, length - step), alpha=weights[radius_px + step]
            )
        images = result
    return images


def band_slices(images: Tensor, pixels: int) -> Iterator[slice]:
    """Slices of the bands of (n, C, ...): all at once on an accelerator, few at a time on the CPU."""
    count = images.shape[1]
    step = count if images.device.type != "cpu" else max(1, CPU_FLOATS // max(1, pixels * images.shape[0]))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _limits(low: float, high: float, length: int, factor: int) -> tuple[int, int]:
    """A range of pixels within an image, at least one; it starts at a multiple of `factor`.

    So the same pixels are averaged together whatever part of the image is shown, and by whichever specimens beside.
    """
    first = min(max(int(low), 0), length - 1)
    return first - first % factor, max(first + 1, min(int(high) + 1, length))
