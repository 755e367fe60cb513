"""Sampling grids: turns, mirrors, crops, homographies and splines against closed forms."""

import math

import pytest
import torch
from torch.nn import functional

from hsipipe.tasks.representation.augment.geometry import (
    Geometry,
    _thin_plate,
    coarsen,
    draw_geometry,
    sampling_grid,
    whole_image,
)
from hsipipe.tasks.representation.augment.settings import Augmentation
from hsipipe.tasks.representation.augment.warp import blur


def frame(side: int, *, angle: float = 0.0, mirror: tuple[float, float] = (1.0, 1.0)) -> Geometry:
    whole = whole_image(1, side, side)
    return Geometry(
        whole.centre_px, whole.half_px, torch.tensor([angle]).double(), torch.tensor([mirror], dtype=torch.float64)
    )


def sampled(image: torch.Tensor, geometry: Geometry, size: int) -> torch.Tensor:
    grid = sampling_grid(geometry, size=size, height=image.shape[-2], width=image.shape[-1], device="cpu")
    return functional.grid_sample(image, grid, align_corners=False)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 5, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_whole_image_is_itself(image):
    torch.testing.assert_close(sampled(image, frame(16), 16), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns(image, turns):
    # rot90 turns an image anticlockwise, as rows run downwards; the view looks up where each pixel comes from.
    expected = torch.rot90(image, turns, dims=(-2, -1))
    torch.testing.assert_close(sampled(image, frame(16, angle=turns * math.pi / 2), 16), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("mirror", "axis"), [((-1.0, 1.0), -1), ((1.0, -1.0), -2)])
def test_mirrors(image, mirror, axis):
    torch.testing.assert_close(sampled(image, frame(16, mirror=mirror), 16), image.flip(axis), atol=1e-5, rtol=0)


def test_a_crop_of_whole_pixels_is_a_slice():
    image = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    crop = Geometry(
        centre_px=torch.tensor([[12.0, 9.0]]).double(),
        half_px=torch.tensor([[4.0, 4.0]]).double(),
        angle=torch.zeros(1).double(),
        mirror=torch.ones(1, 2).double(),
    )
    torch.testing.assert_close(sampled(image, crop, 8), image[..., 5:13, 8:16], atol=1e-5, rtol=0)


def test_a_turn_of_an_oblong_image_keeps_angles():
    turned = frame(10, angle=math.radians(30))
    geometry = Geometry(torch.tensor([[40.0, 10.0]]).double(), turned.half_px, turned.angle, turned.mirror)
    grid = sampling_grid(geometry, size=2, height=20, width=80, device="cpu")[0] * torch.tensor([40.0, 10.0])
    along, down = grid[0, 1] - grid[0, 0], grid[1, 0] - grid[0, 0]
    assert float(along @ down) == pytest.approx(0, abs=1e-4)
    assert float(along.norm()) == pytest.approx(5, rel=1e-5)
    assert float(down.norm()) == pytest.approx(5, rel=1e-5)
    assert math.degrees(math.atan2(along[1], along[0])) == pytest.approx(30, abs=1e-3)


@pytest.mark.parametrize(
    "settings", [Augmentation(perspective_probability=1.0), Augmentation(thin_plate_probability=1.0)]
)
def test_strength_0_deforms_nothing(image, settings):
    idle = Augmentation(**{**vars(settings), "perspective": 0.0, "thin_plate": 0.0})
    coarse = coarsen(torch.ones(1, 1, 16, 16))
    generator = torch.Generator().manual_seed(0)
    geometry = draw_geometry(coarse, height=16, width=16, augmentation=idle, generator=generator)
    torch.testing.assert_close(sampled(image, geometry, 16), image, atol=1e-4, rtol=0)
    geometry = draw_geometry(coarse, height=16, width=16, augmentation=settings, generator=generator)
    assert float((sampled(image, geometry, 16) - image).abs().mean()) > 0.01


def test_a_perspective_moves_corners_inwards_and_keeps_lines_straight():
    settings = Augmentation(perspective_probability=1.0, perspective=0.5)
    geometry = draw_geometry(
        coarsen(torch.ones(1, 1, 8, 8)),
        height=8,
        width=8,
        augmentation=settings,
        generator=torch.Generator().manual_seed(3),
    )
    grid = sampling_grid(geometry, size=9, height=8, width=8, device="cpu")[0].double()
    row = grid[4]
    direction = row[-1] - row[0]
    beside = (row[:, 0] - row[0, 0]) * direction[1] - (row[:, 1] - row[0, 1]) * direction[0]
    assert float(beside.abs().max()) < 1e-5
    assert float(row[:, 0].diff().std()) > 1e-3
    # The image shrinks within its view: the view sees further than the image goes.
    assert float(grid.abs().max()) > 1


def test_a_spline_takes_its_points_where_it_should():
    moves = 0.2 * (2 * torch.rand(3, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1)
    points, weights, affine = _thin_plate(moves)
    away = points + moves
    squared = ((away[:, :, None] - points[:, None]) ** 2).sum(-1)
    kernels = torch.where(squared > 0, 0.5 * squared * squared.clamp_min(1e-12).log(), 0.0)
    mapped = kernels @ weights + affine[:, :1] + away @ affine[:, 1:]
    torch.testing.assert_close(mapped, points.expand_as(mapped), atol=1e-6, rtol=0)


def test_draws_stay_within_their_settings():
    settings = Augmentation(
        placement="crop",
        crop_scale=(0.25, 0.5),
        crop_ratio=(0.8, 1.25),
        rotation_probability=1.0,
        rotation_deg=20.0,
        horizontal_flip=0.5,
    )
    coarse = coarsen(torch.ones(200, 1, 50, 70))
    drawn = draw_geometry(
        coarse, height=50, width=70, augmentation=settings, generator=torch.Generator().manual_seed(0)
    )
    area = (4 * drawn.half_px.prod(dim=1)) / (50 * 70)
    assert 0.25 <= float(area.min()) < 0.27
    assert 0.48 < float(area.max()) <= 0.5 + 1e-9
    ratio = drawn.half_px[:, 0] / drawn.half_px[:, 1]
    assert float(ratio.min()) >= 0.8 - 1e-9
    assert float(ratio.max()) <= 1.25 + 1e-9
    assert 15 < math.degrees(float(drawn.angle.abs().max())) <= 20
    assert bool((drawn.centre_px - drawn.half_px >= -1e-9).all())
    assert bool((drawn.centre_px + drawn.half_px <= torch.tensor([70.0, 50.0]) + 1e-9).all())
    assert 0.35 < float((drawn.mirror[:, 0] < 0).float().mean()) < 0.65
    assert bool((drawn.mirror[:, 1] == 1).all())


def test_quarter_turns_are_equally_likely():
    drawn = draw_geometry(
        coarsen(torch.ones(400, 1, 8, 8)),
        height=8,
        width=8,
        augmentation=Augmentation(quarter_turns=1.0),
        generator=torch.Generator().manual_seed(0),
    )
    counts = torch.bincount((drawn.angle / (math.pi / 2)).round().long(), minlength=4)
    assert len(counts) == 4
    assert int(counts.min()) > 70


def test_blur_is_a_normalised_gaussian():
    image = torch.zeros(1, 1, 9, 9)
    image[..., 4, 4] = 1
    taps = torch.exp(-0.5 * (torch.arange(-2, 3.0) / 1.3) ** 2)
    taps = taps / taps.sum()
    result = blur(image, 1.3, 2)
    torch.testing.assert_close(result[0, 0, 2:7, 2:7], torch.outer(taps, taps))
    assert float(result.sum()) == pytest.approx(1)
