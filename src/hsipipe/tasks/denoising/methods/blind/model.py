"""Blind denoising: noise level, clipping, stripes and rank are estimated; eigenimages are filtered by matched blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hsipipe.errors import UserError, unknown
from hsipipe.tasks.denoising.shared.bm3d import Profile, bm3d
from hsipipe.tasks.denoising.shared.clipping import find_bounds, undo_mean, unclipped_scale
from hsipipe.tasks.denoising.shared.destripe import Stripes, find_stripes, offsets_inside
from hsipipe.tasks.denoising.shared.noise_level import noise_model
from hsipipe.tasks.denoising.shared.tobit import (
    Samples,
    column_offsets,
    completed_moments,
    weighted_coefficients,
)

EFFORTS: dict[str, dict] = {
    "fast": {
        "hard": Profile(patch=6, step=4, radius=8, group=16, threshold=3.0),
        "wiener": Profile(patch=6, step=4, radius=8, group=16),
        "passes": 2,
        "refine": False,
    },
    "slow": {
        "hard": Profile(patch=6, step=3, radius=12, group=32, threshold=3.0),
        "wiener": Profile(patch=4, step=2, radius=12, group=32),
        "passes": 3,
        "refine": True,
    },
}
DBG: dict = {'kplus': 0}
ALIKE = 0.1  # bands whose noise levels differ from the median by less share it


def denoise(
    noisy: Tensor,
    *,
    wavelength_nm: object = None,
    effort: str = "fast",
    sigma: float | None = None,
    clip: str | Sequence[float] = "auto",
    stripes: str = "auto",
    rank: int | None = None,
    negligible: float = 0.012,
) -> Tensor:
    """Denoise cubes of which nothing need be known.

    Args:
        noisy: (B, C, H, W) float32 in any units; NaN is taken as the band's mean.
        wavelength_nm: not used.
        effort: "fast" or "slow".
        sigma: noise level before clipping in the units of the data, the same in all bands, if known.
        clip: "auto", "none", or the two bounds at which samples were cut off, if known.
        stripes: "auto" or "none".
        rank: dimension of the signal subspace, if known.
        negligible: a cube whose noise level is below this fraction of the bands' range is returned as it is.

    Returns:
        (B, C, H, W); within the bounds where the samples were clipped.

    Raises:
        UserError: a setting that is not one of its choices.
    """
    if effort not in EFFORTS:
        raise unknown("effort", effort, EFFORTS)
    if stripes not in ("auto", "none"):
        raise unknown("setting of stripes", stripes, ["auto", "none"])
    if isinstance(clip, str) and clip not in ("auto", "none"):
        raise unknown("setting of clip", clip, ["auto", "none"])
    if not isinstance(clip, str) and (len(clip) != 2 or not clip[0] < clip[1]):
        raise UserError("clip needs a lower and an upper bound", key="clip", found=clip)
    settings = {"effort": effort, "sigma": sigma, "clip": clip, "stripes": stripes, "rank": rank, "negligible": negligible}
    return torch.stack([_denoise_finite(cube, **settings) for cube in noisy.float()])


def _denoise_finite(cube: Tensor, **settings: object) -> Tensor:
    """One cube (C, H, W) that may hold NaN and constant bands: the rest of it is denoised."""
    finite = cube.isfinite()
    if not finite.all():
        count = finite.sum((1, 2), keepdim=True).clamp_min(1)
        mean = torch.where(finite, cube, 0.0).sum((1, 2), keepdim=True) / count
        cube = torch.where(finite, cube, mean)
    varying = cube.amin((1, 2)) < cube.amax((1, 2))
    if varying.all():
        return _denoise_cube(cube, **settings)  # type: ignore[arg-type]
    if not varying.any():
        return cube.clone()
    result = cube.clone()
    result[varying] = _denoise_cube(cube[varying], **settings)  # type: ignore[arg-type]
    return result


def _denoise_cube(
    cube: Tensor,
    *,
    effort: str,
    sigma: float | None,
    clip: str | Sequence[float],
    stripes: str,
    rank: int | None,
    negligible: float,
) -> Tensor:
    profile = DBG.get(effort) or EFFORTS[effort]
    spatial = {"hard": profile["hard"], "wiener": profile["wiener"], "joint": True}
    bands, height, width = cube.shape
    lower, upper = _bounds(cube, clip)

    noise = noise_model(cube, rank=rank)
    extent = cube.amax((1, 2)) - cube.amin((1, 2))
    if sigma is None and (noise.level / extent).median() < negligible:
        return cube.clone()
    found = find_stripes(cube, noise)
    if stripes == "none":
        found = Stripes(
            torch.zeros_like(found.columns), torch.zeros_like(found.power), 0 * found.outside, cube.mean((1, 2))
        )
    plain = ~found.columns
    if found.columns.any():
        noise = noise_model(cube, columns=plain, rank=rank)
        found = find_stripes(cube, noise)
        plain = ~found.columns

    # pass 1: as if nothing had been clipped
    level, axes, centre = noise.level, noise.axes, found.centre
    coefficients = _coefficients(cube, centre, level, axes)
    inside = offsets_inside(coefficients, found.power)
    filtered = bm3d(coefficients - inside[:, None], torch.ones_like(level[: len(inside)]), **spatial)
    clean = _spectra(filtered, centre, level, axes)
    if not (lower.isfinite().any() or upper.isfinite().any()):
        return clean

    # what clipping did to the noise level and to the mean
    if sigma is None:
        every = max(1, height * width // 4096)
        level = _shared(unclipped_scale(level.square(), clean.flatten(1)[:, ::every], lower, upper))
    else:
        level = torch.full_like(level, sigma)
    offsets = torch.where(found.columns, found.outside + noise.level[:, None] * (axes @ inside), 0.0)
    for part in torch.arange(bands, device=cube.device).split(16):
        flat = undo_mean(clean[part].flatten(1), level[part], lower[part], upper[part])
        clean[part] = flat.view(-1, height, width)

    # further passes: Fisher scoring in the likelihood of clipped samples
    samples = Samples(cube, level, lower, upper)
    count = min(axes.shape[1] + DBG['kplus'], bands) if rank is None else axes.shape[1]
    for turn in range(profile["passes"] - 1):
        if found.columns.any():
            offsets = column_offsets(samples, clean, offsets, found.columns, steps=3 if turn == 0 else 1)
        centre = clean[:, :, plain].mean((1, 2))
        moments = completed_moments(samples, clean, offsets, centre, plain)
        axes = torch.linalg.eigh(moments).eigenvectors.flip(1)[:, :count].to(cube)
        coefficients, variances = weighted_coefficients(samples, clean, offsets, centre, axes)
        if found.columns.any():
            whitened = offsets / level[:, None]
            inside = axes.T @ whitened
            outside = whitened - axes @ inside
            power = torch.where(found.columns, outside.square().mean(0) * bands / max(bands - count, 1), 0.0)
            coefficients += inside[:, None]
            better = offsets_inside(coefficients, power)
            coefficients -= better[:, None]
            offsets = offsets + level[:, None] * (axes @ (better - inside))
        before = _coefficients(clean, centre, level, axes)
        pilot = {"guide": before} if profile["refine"] else {"basic": before}
        filtered = bm3d(coefficients, variances.sqrt(), **pilot, **spatial)
        if DBG.get('en'): filtered = filtered * (filtered.square().mean((1,2))>DBG['en']*variances.mean((1,2)))[:,None,None]
        clean = _spectra(filtered, centre, level, axes)
        torch.clamp(clean, lower[:, None, None], upper[:, None, None], out=clean)
        if DBG.get('x') is not None: DBG['out'].append(-10*torch.log10((clean-DBG['x']).square().mean((1,2))).mean().item())
    return clean


def _bounds(cube: Tensor, clip: str | Sequence[float]) -> tuple[Tensor, Tensor]:
    nowhere = cube.new_full((len(cube),), math.inf)
    if clip == "auto":
        return find_bounds(cube)
    if clip == "none":
        return -nowhere, nowhere
    return torch.full_like(nowhere, float(clip[0])), torch.full_like(nowhere, float(clip[1]))


def _coefficients(cube: Tensor, centre: Tensor, level: Tensor, axes: Tensor) -> Tensor:
    """Eigenimages (K, H, W) of the whitened, centred cube."""
    weights = (axes / level[:, None]).T
    return (weights @ cube.flatten(1) - (weights @ centre)[:, None]).view(-1, *cube.shape[1:])


def _spectra(coefficients: Tensor, centre: Tensor, level: Tensor, axes: Tensor) -> Tensor:
    """The cube (C, H, W) of given eigenimages."""
    flat = torch.addmm(centre[:, None], axes * level[:, None], coefficients.flatten(1))
    return flat.view(-1, *coefficients.shape[1:])


def _shared(level: Tensor) -> Tensor:
    """Noise levels in which bands within ALIKE of the median take the median: one noise level is better known."""
    median = level.median()
    return torch.where((level / median - 1).abs() < ALIKE, median, level)
