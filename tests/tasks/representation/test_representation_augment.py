"""Two views of a specimen: sampling, masks, subsets of bands, determinism."""

import pytest
import torch
from torch.nn import functional

from hsipipe.errors import UserError
from hsipipe.tasks.representation.augment.settings import PRESETS, Augmentation
from hsipipe.tasks.representation.augment.spectral import add_noise_
from hsipipe.tasks.representation.augment.views import _mix, make_views, resample

BANDS = 12
WAVELENGTH_NM = torch.linspace(400.0, 800.0, BANDS)


def specimens(batch: int = 3, height: int = 40, width: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random cubes within discs."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    disc = ((rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (0.4 * min(height, width)) ** 2).float()
    masks = disc.expand(batch, 1, -1, -1).contiguous()
    return torch.rand(batch, BANDS, height, width, generator=generator) * masks, masks


def views(cubes, masks, augmentation, *, size=24, seed=0, wavelength_nm=WAVELENGTH_NM):
    generator = torch.Generator().manual_seed(seed)
    return make_views(cubes, masks, wavelength_nm, augmentation, size=size, generator=generator)


def through(cubes, masks, grids):
    """The mean over a specimen's own pixels, bilinear, written plainly."""
    weighted = functional.grid_sample(cubes * masks, grids, align_corners=False)
    share = functional.grid_sample(masks, grids, align_corners=False)
    inside = functional.grid_sample(masks, grids, mode="nearest", align_corners=False)
    return torch.where(inside > 0, weighted / share, 0.0)


def test_without_operations_a_view_of_the_same_size_is_the_image():
    cubes, masks = specimens(height=24, width=24)
    result = views(cubes, masks, PRESETS["none"])
    for view in range(2):
        torch.testing.assert_close(result.images[view], cubes, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(result.masks[view], masks)


@pytest.mark.parametrize(("height", "width"), [(30, 20), (20, 30), (7, 31)])
def test_whole_images_keep_their_proportions(height, width):
    cubes = torch.ones(1, BANDS, height, width)
    images, masks = resample(cubes, torch.ones(1, 1, height, width), size=60)
    side = max(height, width)
    assert abs(float(masks.mean()) - height * width / side**2) < 0.06
    torch.testing.assert_close(images, masks.expand_as(images))


def test_resampling_averages_where_it_shrinks():
    cubes = torch.rand(2, BANDS, 24, 24, generator=torch.Generator().manual_seed(0))
    images, _ = resample(cubes, torch.ones(2, 1, 24, 24), size=8)
    torch.testing.assert_close(images, functional.avg_pool2d(cubes, 3), atol=1e-5, rtol=1e-5)


def test_averaging_does_not_mix_in_the_background():
    cubes, masks = torch.zeros(1, BANDS, 24, 24), torch.zeros(1, 1, 24, 24)
    masks[..., 5:17, 4:19] = 1
    cubes += 0.7 * masks
    images, view_masks = resample(cubes, masks, size=8)
    torch.testing.assert_close(images, 0.7 * view_masks.expand_as(images))


@pytest.mark.parametrize("preset", ["geometry", "upstream", "upstream-resize"])
def test_grids_say_where_pixels_come_from(preset):
    cubes, masks = specimens(batch=4, height=40, width=56)
    settings = Augmentation(**{**vars(PRESETS[preset]), "antialias": False, "blur_probability": 0.0})
    result = views(cubes, masks, settings)
    for view in range(2):
        expected = through(cubes, masks, result.grids[view])
        torch.testing.assert_close(result.images[view], expected, atol=1e-4, rtol=1e-4)
    assert not torch.equal(result.grids[0], result.grids[1])


def test_filtered_views_agree_with_their_grids_on_smooth_images():
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    cubes = torch.stack([rows, columns]).repeat(1, BANDS // 2, 1, 1) / 96
    cubes, masks = cubes.repeat(4, 1, 1, 1), torch.ones(4, 1, 96, 96)
    settings = Augmentation(placement="crop", crop_scale=(0.3, 1.0), rotation_probability=1.0)
    result = views(cubes, masks, settings, size=16)
    for view in range(2):
        # Averaging a linear image changes nothing but at its border.
        far = (result.grids[view].abs().amax(dim=-1) < 0.8)[:, None].expand_as(result.images[view])
        expected = through(cubes, masks, result.grids[view])
        torch.testing.assert_close(result.images[view][far], expected[far], atol=2e-3, rtol=0)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_masks_stay_binary_and_the_background_0(preset):
    cubes, masks = specimens(height=50, width=44)
    result = views(cubes, masks, PRESETS[preset])
    assert set(result.masks.unique().tolist()) <= {0.0, 1.0}
    assert float(result.masks.mean()) > 0.05
    outside = result.masks.expand_as(result.images) == 0
    assert float(result.images[outside].abs().max()) == 0
    assert bool(result.images.isfinite().all())


def test_equal_seeds_give_equal_views_and_others_do_not():
    cubes, masks = specimens()
    first, again = (views(cubes, masks, PRESETS["spectral"], seed=5) for _ in range(2))
    other = views(cubes, masks, PRESETS["spectral"], seed=6)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.grids, again.grids)
    assert not torch.equal(first.images, other.images)
    assert not torch.equal(first.images[0], first.images[1])


def test_what_is_drawn_does_not_depend_on_the_images():
    drawn = []
    for seed in range(2):
        cubes, masks = specimens(seed=seed)
        masks = masks if seed == 0 else (cubes[:, :1] > 0.9).float()
        generator = torch.Generator().manual_seed(1)
        make_views(cubes * masks, masks, WAVELENGTH_NM, PRESETS["spectral"], size=16, generator=generator)
        drawn.append(generator.get_state())
    assert torch.equal(*drawn)


def test_views_do_not_depend_on_how_a_batch_is_divided(monkeypatch):
    cubes, masks = specimens(batch=5, height=70, width=50)
    together = views(cubes, masks, PRESETS["spectral"])
    monkeypatch.setattr("hsipipe.tasks.representation.augment.warp.CPU_FLOATS", 700)
    torch.testing.assert_close(views(cubes, masks, PRESETS["spectral"]).masks, together.masks)
    quiet = Augmentation(**{**vars(PRESETS["spectral"]), "noise_probability": 0.0})
    divided = views(cubes, masks, quiet).images
    monkeypatch.undo()
    torch.testing.assert_close(divided, views(cubes, masks, quiet).images, atol=1e-5, rtol=1e-4)


def test_the_source_is_left_as_it_was():
    cubes, masks = specimens()
    before = cubes.clone(), masks.clone()
    settings = Augmentation(**{**vars(PRESETS["spectral"]), "blur_probability": 1.0})
    views(cubes, masks, settings)
    assert torch.equal(cubes, before[0])
    assert torch.equal(masks, before[1])


@pytest.mark.parametrize("subset", ["random", "disjoint"])
def test_views_of_different_bands(subset):
    cubes, masks = specimens(height=24, width=24)
    settings = Augmentation(band_subset=subset, band_fraction=0.5)
    result = views(cubes, masks, settings)
    assert result.images.shape == (2, 3, 6, 24, 24)
    assert result.bands.shape == (2, 6)
    for view in range(2):
        bands = result.bands[view]
        assert bool((bands.diff() > 0).all())
        torch.testing.assert_close(result.wavelength_nm[view], WAVELENGTH_NM[bands])
        torch.testing.assert_close(result.images[view], cubes[:, bands], atol=1e-5, rtol=1e-5)
    if subset == "disjoint":
        assert not set(result.bands[0].tolist()) & set(result.bands[1].tolist())


def test_a_subset_shows_what_all_bands_would_show():
    cubes, masks = specimens()
    changes = {"smoothing_probability": 1.0, "smoothing_fwhm_nm": (60.0, 90.0), "offset_probability": 1.0}
    part = views(cubes, masks, Augmentation(band_subset="random", **changes), seed=2)
    generator = torch.Generator().manual_seed(2)
    for _ in range(2):
        torch.randperm(BANDS, generator=generator)
    whole = make_views(cubes, masks, WAVELENGTH_NM, Augmentation(**changes), size=24, generator=generator)
    for view in range(2):
        torch.testing.assert_close(part.images[view], whole.images[view][:, part.bands[view]])


def test_crops_hold_enough_of_the_specimen():
    cubes, masks = torch.zeros(16, BANDS, 80, 80), torch.zeros(16, 1, 80, 80)
    masks[..., 50:74, 50:74] = 1
    cubes += masks
    crop = {"placement": "crop", "crop_scale": (0.05, 0.1), "crop_ratio": (1.0, 1.0), "crop_attempts": 60}
    careful = views(cubes, masks, Augmentation(**crop, specimen_fraction=0.5)).masks.mean(dim=(2, 3, 4))
    careless = views(cubes, masks, Augmentation(**crop, specimen_fraction=0.0)).masks.mean(dim=(2, 3, 4))
    assert float(careful.min()) > 0.4
    assert float((careless < 0.1).float().mean()) > 0.5


def test_noise_is_of_the_size_that_was_asked_for():
    level, height = 0.49, 60
    cubes, masks = torch.full((1, BANDS, height, height), level), torch.ones(1, 1, height, height)
    settings = Augmentation(noise_probability=1.0, noise=0.2, noise_floor=0.1)
    add_noise_(cubes[0], masks[0], noise=0.2, floor=0.1, generator=torch.Generator().manual_seed(0))
    assert float(cubes.std()) == pytest.approx((0.2**2 * level + 0.1**2) ** 0.5, rel=0.02)
    assert float(cubes.mean()) == pytest.approx(level, abs=0.003)
    noisy = views(torch.full((1, BANDS, 24, 24), level), torch.ones(1, 1, 24, 24), settings)
    assert 0 < float(noisy.images.std()) < 0.18


def test_what_does_not_fit_together_is_refused():
    cubes, masks = specimens()
    with pytest.raises(ValueError, match="masks"):
        views(cubes, masks[:, :, :-1], PRESETS["none"])
    with pytest.raises(ValueError, match="12 bands"):
        views(cubes, masks, PRESETS["none"], wavelength_nm=WAVELENGTH_NM[:-1])
    with pytest.raises(ValueError, match="int32"):
        views(cubes.int(), masks, PRESETS["none"])
    with pytest.raises(UserError, match="no wavelength"):
        views(cubes, masks, PRESETS["none"], wavelength_nm=torch.full((BANDS,), torch.nan))
    with pytest.raises(UserError, match="at least 2 bands"):
        views(cubes, masks, Augmentation(band_subset="random", band_fraction=0.05))


@pytest.mark.parametrize("count", [1, 3])
def test_leaving_out_zeros_of_a_matrix_changes_nothing(count):
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(count, 50, 50, generator=generator).tril(3).triu(-3)
    matrix[:, 20:24] = 0
    matrix[:, 32:48] = 0
    matrix[:, 32:48, [2, 45]] = 0.5
    images, inside = torch.randn(count, 50, 6, 6, generator=generator), torch.ones(count, 1, 6, 6)
    offset = torch.randn(count, 50, generator=generator)
    expected = torch.einsum("nrc,nchw->nrhw", matrix, images) + offset[:, :, None, None]
    for banded in (True, False):
        target = torch.empty(count, 50, 6, 6)
        _mix(matrix, images, offset, inside, banded=banded, target=target)
        torch.testing.assert_close(target, expected, atol=1e-5, rtol=1e-5)
