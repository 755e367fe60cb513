"""FastHyDe: the signal's subspace, and BM3D on each of its eigen-images.

Sources: Zhuang and Bioucas-Dias, "Fast hyperspectral image denoising and inpainting based on low-rank and sparse
representations", IEEE JSTARS 11(3), 2018, doi:10.1109/JSTARS.2018.2796570; the inverse of the Anscombe transform:
Mäkitalo and Foi, "A closed-form approximation of the exact unbiased inverse of the Anscombe variance-stabilizing
transformation", IEEE TIP 20(9), 2011, doi:10.1109/TIP.2011.2121085.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hsipipe.errors import unknown
from hsipipe.tasks.denoising.shared.bm3d import bm3d
from hsipipe.tasks.denoising.shared.noise_estimate import band_means, finite, keep_constant, noise_level, whitening
from hsipipe.tasks.denoising.shared.subspace import expand, gram, hysime, project
from hsipipe.tasks.denoising.shared.wavelets import pad_symmetric

NOISES = ("iid", "non-iid", "poisson")
# Images below this size are mirrored up to it, so that the block matching has something to match.
SMALLEST_SIDE = 16


def denoise(
    noisy: Tensor,
    *,
    wavelength_nm: Tensor | None = None,  # noqa: ARG001
    noise: str = "non-iid",
    rank: int = 10,
    gain: float | None = None,
) -> Tensor:
    """Project on HySime's subspace, denoise each eigen-image by BM3D at its own noise level, and go back.

    Args:
        noisy: (B, C, H, W), any finite range; not negative for "poisson" (what is negative counts as 0).
        wavelength_nm: not used.
        noise: "iid" (additive, equal bands), "non-iid" (additive; bands are whitened first) or "poisson" (the Anscombe
            transform first).
        rank: dimension of the subspace. The paper takes it generously: BM3D empties eigen-images of noise alone.
        gain: for "poisson", the variance over the mean (one count in the data's units); None estimates it per cube.

    Returns:
        (B, C, H, W); constant bands unchanged.

    Raises:
        UserError: unknown noise.
    """
    if noise not in NOISES:
        raise unknown("noise", noise, NOISES)
    cubes = finite(noisy)
    level = noise_level(cubes)
    if noise == "poisson":
        return keep_constant(_poisson(cubes, level, rank, gain), cubes, level)
    if noise == "non-iid":
        factor, inverse = whitening(level)
        variance = (factor > 0).double()
    else:
        factor = inverse = torch.ones_like(level)
        variance = level.square()
    return keep_constant(_in_subspace(cubes, factor, inverse, variance, rank), cubes, level)


def _in_subspace(cubes: Tensor, factor: Tensor, inverse: Tensor, variance: Tensor, rank: int) -> Tensor:
    """BM3D on the first `rank` eigen-images of the cubes times `factor` (B, C), whose noise has `variance` (B, C)."""
    rows, cols = cubes.shape[-2:]
    pixels = rows * cols
    moments = gram(cubes) * factor.unsqueeze(1) * factor.unsqueeze(2)
    basis = hysime(moments, variance, pixels)[0][..., : max(1, min(rank, cubes.shape[1]))]
    levels = (basis.square() * variance.unsqueeze(2)).sum(1).sqrt()
    images = project(cubes, factor.unsqueeze(2) * basis).flatten(0, 1)
    deviation = levels.flatten().to(cubes.dtype)
    images = pad_symmetric(images, max(rows, SMALLEST_SIDE), max(cols, SMALLEST_SIDE))
    # Without measurable noise there is nothing to remove, and a level of 0 nothing to divide by.
    loud = deviation > 1e-6 * images.abs().amax(dim=(-2, -1))
    if bool(loud.any()):
        images[loud] = bm3d(images[loud], deviation[loud])
    images = images[..., :rows, :cols].unflatten(0, levels.shape)
    return expand(images, inverse.unsqueeze(2) * basis)


def _poisson(cubes: Tensor, level: Tensor, rank: int, gain: float | None) -> Tensor:
    """The same between the Anscombe transform, after which the noise has unit variance, and its unbiased inverse."""
    if gain is None:
        # Deviation: the paper's data are counts; the gain of others is the slope of the noise variance over the mean.
        means = band_means(cubes).clamp_min(0.0)
        slope = (level.square() * means).sum(-1) / means.square().sum(-1).clamp_min(1e-30)
    else:
        slope = torch.full((len(cubes),), gain, dtype=torch.float64, device=cubes.device)
    count = slope.clamp_min(1e-12).to(cubes.dtype)[:, None, None, None]
    stable = (cubes / count).clamp_min_(0.0).add_(0.375).sqrt_().mul_(2.0)
    ones = torch.ones_like(level)
    stable = _in_subspace(stable, ones, ones, (level > 0).double(), rank)
    return inverse_anscombe(stable) * count


def inverse_anscombe(stable: Tensor) -> Tensor:
    """Mean counts from means of 2 sqrt(count + 3/8): a closed form of the unbiased inverse, at least 0."""
    root = stable.clamp_min(2.0 * math.sqrt(0.375))
    inverse = root.reciprocal()
    third = math.sqrt(1.5)
    value = 0.25 * root.square() + inverse * (0.25 * third + inverse * (-1.375 + inverse * (0.625 * third))) - 0.125
    return value.clamp_min_(0.0)
