"""Two views of each specimen of a batch, on the batch's device: one warp and one change of spectra each.

Parameters are drawn on the CPU, so equal seeds give equal views on any device (the noise itself excepted, whose seed
is drawn there). kornia computes the perspective and the spline; crop, flips and turns are a line of torch each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hsipipe.errors import UserError
from hsipipe.tasks.representation.augment import spectral as spectra
from hsipipe.tasks.representation.augment import warp
from hsipipe.tasks.representation.augment.geometry import coarsen, draw_geometry, sampling_grid, whole_image
from hsipipe.tasks.representation.augment.settings import PRESETS, Augmentation, augmentation_from

__all__ = ["PRESETS", "Augmentation", "Views", "augmentation_from", "make_views", "resample"]

# Rows of a matrix whose zeros are left out together on the CPU.
_ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Views:
    """Two views of B specimens.

    Attributes:
        images: (2, B, C, size, size), reflectance, 0 outside the masks.
        masks: (2, B, 1, size, size), 1 where a pixel is of the specimen, else 0.
        grids: (2, B, size, size, 2), where in the source image each pixel of a view comes from, (x, y) in the
            normalised coordinates of `grid_sample` with align_corners=False; beyond [-1, 1] there is no image.
        bands: (2, n), which bands of the source each view shows, rising; None if all. Then C = n.
        wavelength_nm: (2, C), nm, of the bands that each view shows.
    """

    images: Tensor
    masks: Tensor
    grids: Tensor
    bands: Tensor | None
    wavelength_nm: Tensor


def make_views(
    cubes: Tensor,
    masks: Tensor,
    wavelength_nm: Tensor,
    augmentation: Augmentation,
    *,
    size: int,
    generator: torch.Generator,
) -> Views:
    """Draw two views of each specimen.

    Images are sampled as mean over the specimen's own pixels, so the empty background does not darken its edge.

    Args:
        cubes: (B, C, H, W), float32 or float64, reflectance, 0 where the mask is.
        masks: (B, 1, H, W), 1 on the specimen, else 0. An empty one makes empty views.
        wavelength_nm: (C,), nm, in any order.
        size: side of a view, pixels.
        generator: on the CPU; what is drawn from it depends on the settings, B and C, never on the images.

    Raises:
        UserError: fewer than two bands would be left in a view, or a band has no wavelength.
        ValueError: shapes that do not fit together, another type of numbers, a generator elsewhere.
    """
    _check(cubes, masks, wavelength_nm, size, generator)
    batch, bands, height, width = cubes.shape
    wavelengths = wavelength_nm.detach().cpu().double()
    if not bool(wavelengths.isfinite().all()):
        raise UserError(
            "a band has no wavelength, and views change spectra along them",
            key="wavelength_nm",
            remedy="give wavelengths in nm, or leave such bands out",
        )
    coarse = coarsen(masks)
    subsets = _draw_bands(bands, augmentation, generator)
    shown = bands if subsets is None else subsets.shape[1]
    images = cubes.new_empty(2, batch, shown, size, size)
    view_masks = cubes.new_empty(2, batch, 1, size, size)
    grids = torch.empty(2, batch, size, size, 2, device=cubes.device)
    for view in range(2):
        geometry = draw_geometry(coarse, height=height, width=width, augmentation=augmentation, generator=generator)
        changes = spectra.draw_spectral(batch, wavelengths, augmentation=augmentation, generator=generator)
        sigmas = _draw_blur(batch, augmentation, generator)
        seed = int(torch.randint(2**62, (1,), generator=generator))
        grids[view] = sampling_grid(geometry, size=size, height=height, width=width, device=cubes.device)
        _render(
            cubes,
            masks,
            grids[view],
            linear=_linear(changes, wavelengths, cubes),
            rows=None if subsets is None else subsets[view],
            sigmas=sigmas,
            augmentation=augmentation,
            images=images[view],
            view_masks=view_masks[view],
        )
        _add_noise(images[view], view_masks[view], changes, seed)
    if subsets is None:
        return Views(images, view_masks, grids, None, wavelength_nm.expand(2, -1))
    subsets = subsets.to(wavelength_nm.device)
    return Views(images, view_masks, grids, subsets.to(cubes.device), wavelength_nm[subsets])


def resample(cubes: Tensor, masks: Tensor, *, size: int) -> tuple[Tensor, Tensor]:
    """Whole images as views of a model: the long side fitted into a square, filtered like the views of a training.

    Args:
        cubes: (B, C, H, W), float32 or float64, 0 where the mask is.
        masks: (B, 1, H, W), 0 or 1.
        size: side of a view, pixels.

    Returns:
        Images (B, C, size, size) and masks (B, 1, size, size).
    """
    batch, bands, height, width = cubes.shape
    frame = whole_image(batch, height, width)
    grids = sampling_grid(frame, size=size, height=height, width=width, device=cubes.device)
    images, view_masks = cubes.new_empty(batch, bands, size, size), cubes.new_empty(batch, 1, size, size)
    _render(
        cubes,
        masks,
        grids,
        linear=None,
        rows=None,
        sigmas=[0.0] * batch,
        augmentation=PRESETS["none"],
        images=images,
        view_masks=view_masks,
    )
    return images, view_masks


def _check(cubes: Tensor, masks: Tensor, wavelength_nm: Tensor, size: int, generator: torch.Generator) -> None:
    if cubes.ndim != 4 or masks.shape != (len(cubes), 1, *cubes.shape[-2:]):
        raise ValueError(f"cubes (B, C, H, W) and masks (B, 1, H, W), not {tuple(cubes.shape)}, {tuple(masks.shape)}")
    if wavelength_nm.shape != cubes.shape[1:2]:
        raise ValueError(f"one wavelength per band: {cubes.shape[1]} bands, {tuple(wavelength_nm.shape)} wavelengths")
    if cubes.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"cubes are reflectance, float32 or float64, not {cubes.dtype}")
    if size < 1:
        raise ValueError(f"a view has at least one pixel, not {size}")
    if generator.device.type != "cpu":
        raise ValueError(f"the generator is on the CPU, not on {generator.device}, so that devices draw alike")


def _draw_bands(bands: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor | None:
    """Which bands each view shows (2, n), rising, on the CPU; None for all.

    Imposes invariance to the sensor (two views of one scene through different bands, as in Panopticon, Waldmann et
    al. 2025, https://arxiv.org/abs/2503.10845): what single bands alone tell is not relied on.
    """
    if augmentation.band_subset == "all":
        return None
    count = max(1, round(augmentation.band_fraction * bands))
    if augmentation.band_subset == "disjoint":
        count = min(count, bands // 2)
    if count < 2:
        raise UserError(
            "a view needs at least 2 bands",
            key="band_fraction",
            found=f"{count} of {bands}",
            remedy="raise it, or `band_subset: all`",
        )
    first, second = (torch.randperm(bands, generator=generator) for _ in range(2))
    if augmentation.band_subset == "disjoint":
        second = first.roll(-count)
    return torch.stack([first[:count].sort().values, second[:count].sort().values])


def _draw_blur(batch: int, augmentation: Augmentation, generator: torch.Generator) -> list[float]:
    """Standard deviation of each specimen's blur in space, pixels; 0 for none."""
    draws = torch.rand(batch, 2, dtype=torch.float64, generator=generator)
    least, largest = augmentation.blur_sigma_px
    sigma = least + (largest - least) * draws[:, 1]
    return torch.where(draws[:, 0] < augmentation.blur_probability, sigma, 0.0).tolist()


def _linear(changes: spectra.Spectral, wavelengths: Tensor, cubes: Tensor) -> tuple[Tensor, Tensor] | None:
    """Matrices (B, C, C) or factors (B, C), with offsets (B, C), on the cubes' device; None if nothing changes."""
    plain = spectra.diagonal(changes, wavelengths)
    if plain is None:
        matrix, offset = spectra.spectral_matrix(changes, wavelengths, device=cubes.device)
        return matrix.to(cubes.dtype), offset.to(cubes.dtype)
    factor, offset = plain
    if bool((factor == 1).all()) and bool((offset == 0).all()):
        return None
    return factor.to(cubes.device, cubes.dtype), offset.to(cubes.device, cubes.dtype)


def _render(
    cubes: Tensor,
    masks: Tensor,
    grids: Tensor,
    *,
    linear: tuple[Tensor, Tensor] | None,
    rows: Tensor | None,
    sigmas: list[float],
    augmentation: Augmentation,
    images: Tensor,
    view_masks: Tensor,
) -> None:
    """Fill `images` and `view_masks`: warp, blur, divide by the share of specimen, change the spectra."""
    height, width = cubes.shape[-2:]
    pixels = images.shape[-1] ** 2
    on_cpu = cubes.device.type == "cpu"
    masks = masks.to(cubes.dtype)
    view_masks.copy_(functional.grid_sample(masks, grids.to(cubes.dtype), mode="nearest", align_corners=False))
    # On the CPU a group is as large as keeps its arrays in reused memory; elsewhere everything goes at once.
    floats = warp.CPU_FLOATS // cubes.shape[1] if on_cpu else None
    rows = None if rows is None else rows.to(cubes.device)
    mixing = linear is not None and linear[0].ndim == 3
    scratch: Tensor | None = None
    for group in warp.plan(grids, height=height, width=width, antialias=augmentation.antialias, floats=floats):
        members = group.members
        source, group_grids = warp.take(cubes, members), warp.take(grids, members)
        if rows is not None and not mixing:
            source = source[:, rows]
        group_sigmas = [sigmas[index] for index in members]
        share = _blurred(warp.sample(warp.take(masks, members), group_grids, group), group_sigmas, augmentation)
        inside = warp.take(view_masks, members)
        # A mask's pixel that the blur or the filter leaves without specimen stays 0 rather than being blown up.
        weight = inside / share.clamp_min(1e-6)
        together = members[-1] - members[0] + 1 == len(members)
        target = warp.take(images, members) if together else images.new_empty(len(members), *images.shape[1:])
        if linear is None:
            matrix = offset = None
        else:
            matrix, offset = (_columns(warp.take(part, members), rows) for part in linear)
        if mixing and (scratch is None or len(scratch) < len(members)):
            scratch = source.new_empty(len(members), source.shape[1], *images.shape[-2:])
        warped = scratch[: len(members)] if mixing and scratch is not None else target
        for part in warp.band_slices(source, pixels):
            piece = _blurred(warp.sample(source[:, part], group_grids, group), group_sigmas, augmentation)
            if matrix is None or offset is None or mixing:
                torch.mul(piece, weight, out=warped[:, part])
            else:
                piece.mul_(weight).mul_(matrix[:, part, None, None])
                torch.addcmul(piece, offset[:, part, None, None], inside, out=warped[:, part])
        if mixing and matrix is not None and offset is not None:
            _mix(matrix, warped, offset, inside, banded=on_cpu, target=target)
        if not together:
            images[torch.tensor(members, device=images.device)] = target


def _columns(values: Tensor, rows: Tensor | None) -> Tensor:
    """The entries (n, ...) of the second axis that a view shows."""
    return values if rows is None else values[:, rows]


def _blurred(images: Tensor, sigmas: list[float], augmentation: Augmentation) -> Tensor:
    """Images (n, c, h, w), each blurred by its own standard deviation; 0 leaves it as it is."""
    for index, sigma in enumerate(sigmas):
        if sigma > 0:
            images[index] = warp.blur(images[index : index + 1], sigma, augmentation.blur_radius_px)[0]
    return images


def _mix(matrix: Tensor, images: Tensor, offset: Tensor, inside: Tensor, *, banded: bool, target: Tensor) -> None:
    """Matrices (n, r, C) times images (n, C, h, w) plus offsets (n, r) inside the masks, into `target` (n, r, h, w).

    `banded` leaves out the zeros beside the diagonal.
    """
    rows = matrix.shape[1]
    flat, result = images.flatten(2), target.flatten(2)
    mask = inside.flatten(2)
    step = _ROWS_AT_ONCE if banded else rows
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        block, read = matrix[:, part], flat
        if banded:
            used = block.abs().amax(dim=(0, 1)).nonzero().flatten()
            reach = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
            # Across a dropped run two bands far apart serve all rows.
            columns = used if 2 * len(used) < reach.stop - reach.start else reach
            block, read = block[:, :, columns], flat[:, columns]
        piece = result[:, part]
        if len(matrix) == 1:
            torch.mm(block[0], read[0], out=piece[0])
        else:
            piece.copy_(torch.bmm(block, read))
        piece.addcmul_(offset[:, part, None], mask)


def _add_noise(images: Tensor, masks: Tensor, changes: spectra.Spectral, seed: int) -> None:
    """Noise in place, specimen by specimen, so that how a batch is divided does not change what each gets."""
    noise, floor = changes.noise.tolist(), changes.floor.tolist()
    generator = torch.Generator(images.device).manual_seed(seed)
    for index in range(len(images)):
        if noise[index] == 0 and floor[index] == 0:
            continue
        for part in warp.band_slices(images[index : index + 1], images.shape[-1] ** 2):
            spectra.add_noise_(
                images[index, part], masks[index], noise=noise[index], floor=floor[index], generator=generator
            )
