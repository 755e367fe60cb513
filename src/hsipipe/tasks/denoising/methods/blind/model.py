"""Blind denoising: noise, clipping, stripes and rank are estimated; eigenimages are filtered by block matching."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hsipipe.errors import UserError, unknown
from hsipipe.tasks.denoising.shared.bm3d import Profile, bm3d
from hsipipe.tasks.denoising.shared.clipping import find_bounds, unclipped_scale, undo_mean
from hsipipe.tasks.denoising.shared.destripe import learn, offsets_inside
from hsipipe.tasks.denoising.shared.noise_level import effective_freedom
from hsipipe.tasks.denoising.shared.spectral_prior import find_axes, smooth_axes
from hsipipe.tasks.denoising.shared.tobit import (
    CHUNK,
    Samples,
    column_offsets,
    completed_moments,
    weighted_coefficients,
)


@dataclass(frozen=True)
class Effort:
    """Sizes of the two steps of block matching, and how many passes clipped and unclipped cubes get.

    The third pass, and the second of two, takes the one before as the pilot of its Wiener filter.
    """

    hard: Profile
    wiener: Profile
    passes_clipped: int
    passes_unclipped: int


EFFORTS = {
    "fast": Effort(
        hard=Profile(patch=6, step=4, radius=8, group=16, threshold=3.0),
        wiener=Profile(patch=6, step=4, radius=8, group=16),
        passes_clipped=2,
        passes_unclipped=1,
    ),
    "slow": Effort(
        hard=Profile(patch=6, step=3, radius=12, group=32, threshold=3.0),
        wiener=Profile(patch=4, step=2, radius=12, group=32),
        passes_clipped=3,
        passes_unclipped=2,
    ),
}


@dataclass(frozen=True)
class Eigenimages:
    """The eigenimages of one pass, before and after the spatial filter.

    Attributes:
        coefficients: (K, H, W) before it, in units of the noise.
        deviation: (K, H, W) or (K,), standard deviation of their noise.
        filtered: (K, H, W) after it.
        striped: (W,) bool, columns that had stripes.
        centre, level, axes: what turns spectra into coefficients, see `project`.
    """

    coefficients: Tensor
    deviation: Tensor
    filtered: Tensor
    striped: Tensor
    centre: Tensor
    level: Tensor
    axes: Tensor


@dataclass(frozen=True)
class Learned:
    """What training can add to the method.

    Attributes:
        basis: (C, d) directions in which clean spectra of this sensor lie, in the units of the data; axes of clipped
            cubes are then sought in their span.
        refine: makes better eigenimages (K, H, W) of those of a pass.
    """

    basis: Tensor | None = None
    refine: Callable[[Eigenimages], Tensor] | None = None

    def of_bands(self, chosen: Tensor) -> Learned:
        """The same for some of the bands."""
        return self if self.basis is None else replace(self, basis=self.basis[chosen])

    def whitened(self, level: Tensor) -> Tensor | None:
        """The basis (C, d) of spectra divided by the noise level (C,), orthonormal."""
        return None if self.basis is None else torch.linalg.qr(self.basis.to(level) / level[:, None])[0]

    def refined(self, found: Eigenimages) -> Tensor:
        """The eigenimages after the filter, or what `refine` makes of them."""
        return found.filtered if self.refine is None else self.refine(found)


NOTHING_LEARNED = Learned()
ALIKE = 0.1  # bands whose noise levels differ from the median by less share it


def denoise(
    noisy: Tensor,
    *,
    wavelength_nm: object = None,  # noqa: ARG001
    effort: str = "fast",
    sigma: float | None = None,
    clip: str | Sequence[float] = "auto",
    stripes: str = "auto",
    rank: int | None = None,
    negligible: float = 0.012,
    learned: Learned = NOTHING_LEARNED,
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
        learned: what a training adds; nothing by itself.

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
    if sigma is not None and not sigma > 0:
        raise UserError("a known noise level is above 0", key="sigma", found=sigma, remedy="give null to estimate it")
    settings = {
        "effort": effort,
        "sigma": sigma,
        "clip": clip,
        "stripes": stripes,
        "rank": rank,
        "negligible": negligible,
    }
    return torch.stack([_denoise_finite(cube, learned, **settings) for cube in noisy.float()])


def _denoise_finite(cube: Tensor, learned: Learned, **settings: object) -> Tensor:
    """One cube (C, H, W) that may hold NaN and constant bands: the rest of it is denoised."""
    finite = cube.isfinite()
    if not finite.all():
        count = finite.sum((1, 2), keepdim=True).clamp_min(1)
        mean = torch.where(finite, cube, 0.0).sum((1, 2), keepdim=True) / count
        cube = torch.where(finite, cube, mean)
    varying = cube.amin((1, 2)) < cube.amax((1, 2))
    if varying.all():
        return _denoise_cube(cube, learned, **settings)  # type: ignore[arg-type]
    if not varying.any():
        return cube.clone()
    result = cube.clone()
    result[varying] = _denoise_cube(cube[varying], learned.of_bands(varying), **settings)  # type: ignore[arg-type]
    return result


def _denoise_cube(
    cube: Tensor,
    learned: Learned,
    *,
    effort: str,
    sigma: float | None,
    clip: str | Sequence[float],
    stripes: str,
    rank: int | None,
    negligible: float,
) -> Tensor:
    """One cube (C, H, W), finite, without constant bands."""
    sizes = EFFORTS[effort]
    lower, upper = _bounds(cube, clip)
    clipped = bool(lower.isfinite().any() or upper.isfinite().any())
    known = None if sigma is None or clipped else cube.new_full((len(cube),), sigma)
    noise, found, single = learn(cube, search=stripes == "auto", rank=rank, level=known)
    extent = cube.amax((1, 2)) - cube.amin((1, 2))
    if sigma is None and (noise.level / extent).median() < negligible:
        return cube.clone()
    level = noise.level
    pixels = cube.shape[1] * max(1, int((~found.columns).sum()))
    power = _power(project(cube, found.centre, level, noise.axes), found.columns)
    axes = smooth_axes(noise.axes, power, effective_freedom(pixels))
    coefficients = project(cube, found.centre, level, axes)
    if single.any():
        coefficients -= ((axes / level[:, None]).T @ single)[:, None]
    inside = offsets_inside(coefficients, found.power)
    coefficients -= inside[:, None]
    deviation = torch.ones_like(level[: len(inside)])
    filtered = bm3d(coefficients, deviation, joint=True, hard=sizes.hard, wiener=sizes.wiener)
    passes = sizes.passes_clipped if clipped else sizes.passes_unclipped
    if passes == 1:
        filtered = learned.refined(
            Eigenimages(coefficients, deviation, filtered, found.columns, found.centre, level, axes)
        )
    clean = restore(filtered, found.centre, level, axes)
    if clipped:
        level = _unclip(clean, noise.level, lower, upper, sigma)
    if passes == 1:
        return clean
    offsets = single + torch.where(found.columns, found.outside + noise.level[:, None] * (axes @ inside), 0.0)
    samples = Samples(cube, level, lower, upper)
    for turn in range(2, passes + 1):
        clean, offsets = _pass(
            samples,
            clean,
            offsets,
            found.columns,
            single,
            sizes,
            learned,
            rank=rank,
            highest=axes.shape[1],
            steps=3 if turn == 2 else 1,
            anew=turn < passes,
        )
    return clean


def _unclip(clean: Tensor, seen: Tensor, lower: Tensor, upper: Tensor, sigma: float | None) -> Tensor:
    """Undo, in place, what clipping did to the mean; returns the noise level (C,) before clipping."""
    bands, height, width = clean.shape
    if sigma is None:
        every = max(1, height * width // 1024)
        level = _shared(unclipped_scale(seen.square(), clean.flatten(1)[:, ::every], lower, upper))
    else:
        level = torch.full_like(seen, sigma)
    for part in torch.arange(bands, device=clean.device).split(max(1, CHUNK // (height * width))):
        flat = undo_mean(clean[part].flatten(1), level[part], lower[part], upper[part])
        clean[part] = flat.view(-1, height, width)
    return level


def _pass(
    samples: Samples,
    clean: Tensor,
    offsets: Tensor,
    striped: Tensor,
    single: Tensor,
    sizes: Effort,
    learned: Learned,
    *,
    rank: int | None,
    highest: int,
    steps: int,
    anew: bool,
) -> tuple[Tensor, Tensor]:
    """A step of Fisher scoring in the likelihood of clipped samples, and the spatial filter again.

    Args:
        clean, offsets: (C, H, W) and (C, W), the present estimates.
        striped: (W,) bool, columns with stripes through most bands.
        single: (C, W) offsets of single entries, as first found.
        rank: of the subspace, if known; otherwise at most `highest`.
        steps: Newton steps for the offsets.
        anew: with both steps of block matching; else `clean` is the pilot of the Wiener step.

    Returns:
        better estimates; that of the scene is written over `clean`.
    """
    level = samples.level
    # single entries were solved with the rest of their column; only clipping leaves something to mend
    clipped = bool(samples.lower.isfinite().any() or samples.upper.isfinite().any())
    entries = striped | ((single != 0) & clipped)
    if entries.any():
        offsets = column_offsets(samples, clean, offsets, entries, steps=steps)
    centre = clean[:, :, ~striped].mean((1, 2)) if not striped.all() else clean.mean((1, 2))
    used = ~striped if not striped.all() else striped
    moments, information = completed_moments(samples, clean, offsets, centre, used)
    freedom = effective_freedom(clean.shape[1] * int(used.sum()))
    covariance = moments / information
    axes = find_axes(covariance, freedom, level=level, rank=rank, basis=learned.whitened(level))[:, :highest]
    axes = smooth_axes(axes, (axes * (covariance.to(axes) @ axes)).sum(0) - 1, freedom).to(clean)
    count = axes.shape[1]
    coefficients, variances = weighted_coefficients(samples, clean, offsets, centre, axes)
    if striped.any():
        # single entries lie firm; the stripes beside them are weighed against the neighbouring columns again
        whitened = torch.where(striped, offsets - single, 0.0) / level[:, None]
        inside = axes.T @ whitened
        spare = max(len(level) - count, 1)
        power = (whitened - axes @ inside).square().sum(0) / spare
        coefficients += inside[:, None]
        better = offsets_inside(coefficients, power)
        coefficients -= better[:, None]
        offsets = offsets + level[:, None] * (axes @ (better - inside))
    before = project(clean, centre, level, axes)
    pilot = {"guide": before} if anew else {"basic": before}
    deviation = variances.sqrt()
    filtered = bm3d(coefficients, deviation, joint=True, hard=sizes.hard, wiener=sizes.wiener, **pilot)
    filtered = learned.refined(Eigenimages(coefficients, deviation, filtered, striped, centre, level, axes))
    clean = restore(filtered, centre, level, axes, out=clean)
    return torch.clamp(clean, samples.lower[:, None, None], samples.upper[:, None, None], out=clean), offsets


def _power(coefficients: Tensor, striped: Tensor) -> Tensor:
    """The signal's variance (K,) in noisy eigenimages (K, H, W) of unit noise, over the columns without stripes."""
    used = coefficients if striped.all() else coefficients[:, :, ~striped]
    return used.var((1, 2)) - 1


def _bounds(cube: Tensor, clip: str | Sequence[float]) -> tuple[Tensor, Tensor]:
    nowhere = cube.new_full((len(cube),), math.inf)
    if clip == "auto":
        return find_bounds(cube)
    if clip == "none":
        return -nowhere, nowhere
    return torch.full_like(nowhere, float(clip[0])), torch.full_like(nowhere, float(clip[1]))


def project(cube: Tensor, centre: Tensor, level: Tensor, axes: Tensor) -> Tensor:
    """Eigenimages (K, H, W) of the whitened, centred cube."""
    weights = (axes / level[:, None]).T
    return (weights @ cube.flatten(1) - (weights @ centre)[:, None]).view(-1, *cube.shape[1:])


def restore(coefficients: Tensor, centre: Tensor, level: Tensor, axes: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The cube (C, H, W) of given eigenimages, written over `out` where that is given."""
    shape = (len(centre), *coefficients.shape[1:])
    flat = None if out is None else out.view(len(centre), -1)
    return torch.addmm(centre[:, None], axes * level[:, None], coefficients.flatten(1), out=flat).view(shape)


def _shared(level: Tensor) -> Tensor:
    """Noise levels in which bands within ALIKE of the median take the median: one noise level is better known."""
    median = level.median()
    return torch.where((level / median - 1).abs() < ALIKE, median, level)
