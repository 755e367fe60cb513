"""Block matching and collaborative filtering of one image, or of several that share their matches, in batched torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

DISTANCES_AT_ONCE = 1 << 19  # these two bound the memory
COEFFICIENTS_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class Profile:
    """Sizes of block matching: `patch` pixels a side, one reference every `step` pixels, matches within `radius`.

    `group` patches (a power of two) are filtered together; coefficients below `threshold` noise levels are dropped;
    `rotate` turns the images of a group to its own principal axes where several are filtered jointly.
    """

    patch: int = 8
    step: int = 3
    radius: int = 12
    group: int = 16
    threshold: float = 2.7
    rotate: bool = True


def cosine_basis(size: int, like: Tensor) -> Tensor:
    """The orthonormal DCT-II as rows of a (size, size) matrix."""
    index = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi * (2 * index[None] + 1) * index[:, None] / (2 * size)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.to(like)


def haar_basis(size: int, like: Tensor) -> Tensor:
    """The orthonormal Haar transform as rows of a (size, size) matrix; `size` is a power of two."""
    basis = torch.ones(1, 1, dtype=torch.float64)
    while len(basis) < size:
        smooth = torch.kron(basis, torch.tensor([[1.0, 1.0]], dtype=torch.float64))
        detail = torch.kron(
            torch.eye(len(basis), dtype=torch.float64), torch.tensor([[1.0, -1.0]], dtype=torch.float64)
        )
        basis = torch.cat([smooth, detail]) / math.sqrt(2)
    return basis.to(like)


def _starts(length: int, patch: int, step: int) -> list[int]:
    """First pixels of the reference patches along one axis; the last patch ends at the border."""
    last = length - patch
    return sorted({*range(0, last + 1, step), last})


def match(guide: Tensor, profile: Profile) -> Tensor:
    """The patches of `guide` most alike to each reference patch.

    Args:
        guide: (K, H, W); distances are summed over the K images.

    Returns:
        (R, G) flat indices (row * W + column) of the top left pixels, the reference itself first; G is `profile.group`
        or the largest power of two that the search window holds.
    """
    _, height, width = guide.shape
    patch, radius = min(profile.patch, height, width), profile.radius
    step = min(profile.step, patch)  # every pixel must lie in some reference patch
    up, left = min(radius, height - patch), min(radius, width - patch)
    group = 1 << int(math.log2(min(profile.group, (up + 1) * (left + 1))))
    col_starts = torch.tensor(_starts(width, patch, step), device=guide.device)
    row_starts = _starts(height, patch, step)
    window = (2 * up + 1) * (2 * left + 1)
    strip = max(1, DISTANCES_AT_ONCE // (window * len(col_starts)))  # rows of references at a time
    padded = pad(guide, (left, left, up, up))
    found = []
    for first in range(0, len(row_starts), strip):
        rows = torch.tensor(row_starts[first : first + strip], device=guide.device)
        top, bottom = int(rows[0]), int(rows[-1]) + patch
        distances = _distances(
            guide[:, top:bottom], padded[:, top : bottom + 2 * up], patch, rows - top, col_starts, up, left
        )
        shift_rows = torch.arange(-up, up + 1, device=guide.device).repeat_interleave(2 * left + 1)
        shift_cols = torch.arange(-left, left + 1, device=guide.device).repeat(2 * up + 1)
        moved_rows, moved_cols = rows[None] + shift_rows[:, None], col_starts[None] + shift_cols[:, None]
        distances[((moved_rows < 0) | (moved_rows > height - patch))[:, :, None].expand_as(distances)] = math.inf
        distances[((moved_cols < 0) | (moved_cols > width - patch))[:, None].expand_as(distances)] = math.inf
        distances[window // 2] = -1.0  # the reference itself is its own best match, whatever the rounding
        nearest = distances.flatten(1).T.topk(group, dim=1, largest=False).indices  # (references, G)
        base = (rows[:, None] * width + col_starts[None]).reshape(-1, 1)
        found.append(base + (shift_rows * width + shift_cols)[nearest])
    return torch.cat(found)


def _distances(
    guide: Tensor, padded: Tensor, patch: int, row_starts: Tensor, col_starts: Tensor, up: int, left: int
) -> Tensor:
    """Sums of squared differences of patches: (shifts, reference rows, reference columns)."""
    width, span = guide.shape[2], 2 * left + 1
    distances = guide.new_empty((2 * up + 1) * span, len(row_starts), len(col_starts))
    for dy in range(2 * up + 1):
        energy = guide.new_zeros(span, guide.shape[1], width)
        for image, around in zip(guide, padded[:, dy : dy + guide.shape[1]], strict=True):
            moved = around.unfold(1, width, 1).transpose(0, 1)
            energy += (moved - image).square_()
        # sums over patches, at the references only: rows first, they lie together in memory
        tall = energy.index_select(1, row_starts)
        for i in range(1, patch):
            tall += energy.index_select(1, row_starts + i)
        summed = tall.index_select(2, col_starts)
        for i in range(1, patch):
            summed += tall.index_select(2, col_starts + i)
        distances[dy * span : (dy + 1) * span] = summed
    return distances


def _kaiser(patch: int, like: Tensor) -> Tensor:
    window = torch.kaiser_window(patch, periodic=False, beta=2.0, dtype=torch.float32)
    return torch.outer(window, window).reshape(-1).to(like)


def collaborate(
    images: Tensor, variance: Tensor, matches: Tensor, profile: Profile, basic: Tensor | None = None
) -> Tensor:
    """Filter groups of matched patches and put them back.

    Without `basic` the coefficients are hard-thresholded; with it they are shrunk by the empirical Wiener filter whose
    signal power is that of `basic`. With `profile.rotate` the K images of a group are first turned to their own
    principal axes, in which similar patches of a hyperspectral scene need one to three components.

    Args:
        images, variance, basic: (K, H, W).
        matches: (R, G) from `match`.

    Returns:
        (K, H, W), the weighted mean of all filtered patches that cover a pixel.
    """
    count, height, width = images.shape
    patch = min(profile.patch, height, width)
    size = patch**2
    group = matches.shape[1]
    within = (torch.arange(patch)[:, None] * width + torch.arange(patch)[None]).reshape(-1).to(matches.device)
    cosine = cosine_basis(patch, images)
    spatial = torch.kron(cosine, cosine)
    haar = haar_basis(group, images)
    window = _kaiser(patch, images)
    flat, noise = images.flatten(1).T.contiguous(), variance.flatten(1).T.contiguous()  # (HW, K)
    pilot = None if basic is None else basic.flatten(1).T.contiguous()
    total, weights = torch.zeros_like(flat), torch.zeros_like(flat[:, 0])
    rotate = profile.rotate and count > 1
    chunk = max(1, COEFFICIENTS_AT_ONCE // (group * size * count))
    for part in matches.split(chunk):
        index = (part[:, :, None] + within).reshape(-1)

        def grouped(values: Tensor, part: Tensor = part, index: Tensor = index) -> Tensor:
            return values[index].reshape(len(part), group * size, count).transpose(1, 2)

        level = grouped(noise)[:, :, :: size + 1].mean(2, keepdim=True).sqrt_()  # (R, K, 1)
        block = grouped(flat) / level
        guide = None if pilot is None else grouped(pilot) / level
        axes = None
        if rotate:
            spread = block if guide is None else guide
            axes = torch.linalg.eigh(spread @ spread.transpose(1, 2)).eigenvectors  # (R, K, K)
            block = axes.transpose(1, 2) @ block
            guide = None if guide is None else axes.transpose(1, 2) @ guide

        def transform(values: Tensor, part: Tensor = part) -> Tensor:
            return haar @ (values.reshape(len(part), count, group, size) @ spatial.T)

        spectrum = transform(block)
        if guide is None:
            keep = spectrum.abs() > profile.threshold
            weight = 1.0 / keep.sum((1, 2, 3)).clamp_min(1).to(spectrum)
            spectrum = spectrum * keep
        else:
            power = transform(guide).square_()
            gain = power / (power + 1.0)
            weight = 1.0 / gain.square().sum((1, 2, 3)).clamp_min(1e-3)
            spectrum = spectrum * gain
        block = (haar.T @ spectrum @ spatial).reshape(len(part), count, group * size)
        if axes is not None:
            block = axes @ block
        block = (block * level).transpose(1, 2).reshape(len(part), group, size, count)
        weight = weight / level.square().mean((1, 2))
        scale = (weight[:, None, None] * window).expand(-1, group, -1)
        total.index_add_(0, index, (block * scale[..., None]).reshape(-1, count))
        weights.index_add_(0, index, scale.reshape(-1))
    return (total / weights[:, None]).T.reshape(count, height, width)


HARD = Profile(patch=8, step=3, radius=16, group=16, threshold=2.7)
WIENER = Profile(patch=8, step=3, radius=16, group=32)


def bm3d(
    images: Tensor,
    sigma: Tensor,
    *,
    joint: bool = False,
    guide: Tensor | None = None,
    basic: Tensor | None = None,
    hard: Profile = HARD,
    wiener: Profile = WIENER,
) -> Tensor:
    """Denoise images by BM3D: hard threshold, then the empirical Wiener filter (Dabov et al. 2007, IEEE TIP 16(8)).

    Deviation: the patch transforms are DCT and Haar in both steps; a group's noise is taken as white, of the mean
    variance of its pixels.

    Args:
        images: (N, H, W), any size.
        sigma: noise levels (N,), or of every pixel (N, H, W).
        joint: match blocks once for all images, by the sum of their distances in noise levels, and filter the groups
            together. Made for eigenimages of one scene; otherwise each image is filtered by itself.
        guide: (N, H, W) images to match blocks on in the first step, instead of `images`.
        basic: (N, H, W) first estimate that replaces the first step.
        hard, wiener: sizes of the two steps.

    Returns:
        (N, H, W).
    """
    level = sigma if sigma.ndim == 3 else sigma[:, None, None].expand_as(images)
    level = level.clamp_min(torch.finfo(images.dtype).tiny ** 0.25)
    if not joint and len(images) > 1:
        single = [
            bm3d(
                images[i : i + 1],
                level[i : i + 1],
                joint=True,
                guide=None if guide is None else guide[i : i + 1],
                basic=None if basic is None else basic[i : i + 1],
                hard=hard,
                wiener=wiener,
            )
            for i in range(len(images))
        ]
        return torch.cat(single)
    unit = level.mean((1, 2), keepdim=True)
    images, variance = images / unit, (level / unit).square()
    if basic is None:
        matches = match(images if guide is None else guide / unit, hard)
        basic = collaborate(images, variance, matches, hard)
    else:
        basic = basic / unit
    return collaborate(images, variance, match(basic, wiener), wiener, basic) * unit
