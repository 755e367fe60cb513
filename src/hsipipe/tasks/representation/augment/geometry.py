"""Where each pixel of a view comes from: crop, mirror, turn, perspective and spline as one sampling grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hsipipe.tasks.representation.augment.settings import Augmentation

# The mask is looked at this finely to tell how much of a specimen a crop holds.
_MASK_SIDE = 64
_LATTICE_SIDE = 16


@dataclass(frozen=True)
class Geometry:
    """One view's geometry for each of B specimens; float64 on the CPU, so that every device sees the same numbers.

    A point u of the view, in [-1, 1]² as `grid_sample` counts (x, y), comes from
    centre_px + R(angle) · half_px · mirror · spline(homography(u)) of the image, pixels from its upper left corner.

    Attributes:
        centre_px: (B, 2), centre (x, y) of the part of the image that is shown.
        half_px: (B, 2), half its width and height.
        angle: (B,), by which it is turned, radians.
        mirror: (B, 2), -1 where x or y is mirrored, else 1.
        homography: (B, 3, 3) or None.
        spline: centres (1, K, 2), their weights (B, K, 2) and an affine part (B, 3, 2); or None.
    """

    centre_px: Tensor
    half_px: Tensor
    angle: Tensor
    mirror: Tensor
    homography: Tensor | None = None
    spline: tuple[Tensor, Tensor, Tensor] | None = None


def whole_image(batch: int, height: int, width: int) -> Geometry:
    """The geometry that shows all of an image, its long side fitted into a square, what is beyond it empty."""
    return Geometry(
        centre_px=torch.tensor([[width / 2, height / 2]], dtype=torch.float64).repeat(batch, 1),
        half_px=torch.full((batch, 2), max(height, width) / 2, dtype=torch.float64),
        angle=torch.zeros(batch, dtype=torch.float64),
        mirror=torch.ones(batch, 2, dtype=torch.float64),
    )


def draw_geometry(
    coarse_masks: Tensor, *, height: int, width: int, augmentation: Augmentation, generator: torch.Generator
) -> Geometry:
    """Draw one view's geometry for each specimen of a batch.

    Flips, turns and rotations impose invariance to pose; crops to scale and position; perspective and spline to the
    shape of the specimen's outline. How many numbers are drawn depends on the settings and B alone.

    Args:
        coarse_masks: (B, 1, h, w), fractions of specimen, see `coarsen`; decides which crop is taken.
        height, width: of the images, pixels.
        generator: on the CPU.
    """
    batch = len(coarse_masks)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, dtype=torch.float64, generator=generator)

    def happens(probability: float) -> Tensor:
        return uniform() < probability

    flips = torch.stack([happens(augmentation.horizontal_flip), happens(augmentation.vertical_flip)], dim=1)
    mirror = 1.0 - 2.0 * flips.double()
    quarter = happens(augmentation.quarter_turns) * torch.floor(4 * uniform()) * (math.pi / 2)
    turn = happens(augmentation.rotation_probability) * math.radians(augmentation.rotation_deg) * (2 * uniform() - 1)
    bent, inwards = happens(augmentation.perspective_probability), uniform(4, 2)
    homography = _perspective(bent[:, None, None] * augmentation.perspective * inwards) if bent.any() else None
    deformed, moves = happens(augmentation.thin_plate_probability), 2 * uniform(5, 2) - 1
    spline = _thin_plate(deformed[:, None, None] * augmentation.thin_plate * moves) if deformed.any() else None
    angle = quarter + turn
    if augmentation.placement == "resize":
        frame = whole_image(batch, height, width)
        centre, half = frame.centre_px, frame.half_px
    else:
        centre, half = _crop(coarse_masks, uniform(augmentation.crop_attempts, 4), angle, height, width, augmentation)
    return Geometry(centre, half, angle, mirror, homography, spline)


def coarsen(masks: Tensor) -> Tensor:
    """Masks (B, 1, H, W) on any device as fractions on the CPU, averaged to at most 64 pixels a side."""
    size = (min(masks.shape[-2], _MASK_SIDE), min(masks.shape[-1], _MASK_SIDE))
    return functional.adaptive_avg_pool2d(masks.float(), size).cpu().double()


def sampling_grid(geometry: Geometry, *, size: int, height: int, width: int, device: torch.device | str) -> Tensor:
    """Grid (B, size, size, 2) in the normalised coordinates of `grid_sample` (align_corners=False), float32."""
    ticks = (torch.arange(size, dtype=torch.float64) * 2 + 1) / size - 1
    points = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=-1).reshape(1, -1, 2)
    batch = len(geometry.angle)
    # The matrices are made in float64; the many points are computed where they are used.
    points = points.to(device, torch.float32).expand(batch, -1, -1)
    if geometry.homography is not None:
        matrix = geometry.homography.to(device, torch.float32)
        depth = points @ matrix[:, 2:, :2].mT + matrix[:, 2:, 2:]
        points = (points @ matrix[:, :2, :2].mT + matrix[:, None, :2, 2]) / depth.clamp_min(1e-3)
    if geometry.spline is not None:
        from kornia.geometry.transform import warp_points_tps

        centres, weights, affine = (part.to(device, torch.float32) for part in geometry.spline)
        points = warp_points_tps(points, centres.expand(batch, -1, -1), weights, affine)
    matrix, shift = _affine(geometry, height, width)
    grid = points @ matrix.to(device, torch.float32).mT + shift.to(device, torch.float32)[:, None]
    return grid.reshape(batch, size, size, 2)


def _affine(geometry: Geometry, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Matrix (B, 2, 2) and shift (B, 2) from the view's frame to the image's, both in [-1, 1]²."""
    cosine, sine = torch.cos(geometry.angle), torch.sin(geometry.angle)
    rotation = torch.stack([cosine, -sine, sine, cosine], dim=-1).reshape(-1, 2, 2)
    to_unit = torch.tensor([2 / width, 2 / height], dtype=torch.float64)
    matrix = to_unit[:, None] * rotation * (geometry.half_px * geometry.mirror)[:, None, :]
    return matrix, geometry.centre_px * to_unit - 1


def _crop(
    coarse_masks: Tensor, draws: Tensor, angle: Tensor, height: int, width: int, augmentation: Augmentation
) -> tuple[Tensor, Tensor]:
    """Centre and half size (B, 2) of the first crop that the specimen fills enough, else of the fullest."""
    least, largest = augmentation.crop_scale
    low, high = (math.log(value) for value in augmentation.crop_ratio)
    area = height * width * (least + (largest - least) * draws[..., 0])
    ratio = torch.exp(low + (high - low) * draws[..., 1])
    limits = torch.tensor([width, height], dtype=torch.float64)
    sides = torch.stack([torch.sqrt(area * ratio), torch.sqrt(area / ratio)], dim=-1)
    sides = torch.minimum(sides, limits).clamp_min(1.0)
    centres = sides / 2 + (limits - sides) * draws[..., 2:]
    batch, attempts = draws.shape[:2]
    rows = torch.arange(batch)
    chosen = torch.zeros(batch, dtype=torch.long)
    if attempts > 1 and augmentation.specimen_fraction > 0:
        flat = Geometry(
            centres.reshape(-1, 2),
            sides.reshape(-1, 2) / 2,
            angle.repeat_interleave(attempts),
            torch.ones(1, 2).double(),
        )
        grid = sampling_grid(flat, size=_LATTICE_SIDE, height=height, width=width, device="cpu")
        filled = functional.grid_sample(
            coarse_masks.float(), grid.reshape(batch, attempts * _LATTICE_SIDE, _LATTICE_SIDE, 2), align_corners=False
        )
        filled = filled.reshape(batch, attempts, -1).mean(dim=-1)
        enough = filled >= augmentation.specimen_fraction
        chosen = torch.where(enough.any(dim=1), enough.float().argmax(dim=1), filled.argmax(dim=1))
    return centres[rows, chosen], sides[rows, chosen] / 2


def _perspective(inwards: Tensor) -> Tensor:
    """Homographies (B, 3, 3) from the view to its frame, whose corners are seen moved inwards by (B, 4, 2)."""
    # kornia takes seconds to import, so a training without this operation does without it.
    from kornia.geometry.transform import get_perspective_transform

    corners = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64).expand_as(inwards)
    return get_perspective_transform(corners * (1 - inwards), corners)


def _thin_plate(moves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Splines that take the corners and the centre of a view, moved by (B, 5, 2), back to where they were.

    Kernels r² log r as in Bookstein (1989), https://doi.org/10.1109/34.24792.
    Deviation: the kernels stand at the unmoved points, as kornia's solver has it.
    """
    from kornia.geometry.transform import get_tps_transform

    points = torch.tensor([[[-1, -1], [-1, 1], [1, -1], [1, 1], [0, 0]]], dtype=torch.float64)
    weights, affine = get_tps_transform(points + moves, points.expand_as(moves).contiguous())
    return points, weights, affine
