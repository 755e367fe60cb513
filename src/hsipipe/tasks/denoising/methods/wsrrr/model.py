"""WSRRR: sparse reduced-rank regression of whitened wavelet coefficients.

Source: Rasti, Sveinsson and Ulfarsson, "Wavelet-based sparse reduced-rank regression for hyperspectral image
restoration", IEEE TGRS 52(10), 2014, doi:10.1109/TGRS.2014.2301415.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.noise_estimate import finite, keep_constant, median_deviation, whitening
from hsipipe.tasks.denoising.shared.shrinkage import soft_threshold, sure_threshold
from hsipipe.tasks.denoising.shared.subspace import expand, gram, principal, project
from hsipipe.tasks.denoising.shared.wavelets import decompose, reconstruct, subbands, usable_levels


def denoise(
    noisy: Tensor,
    *,
    wavelength_nm: Tensor | None = None,  # noqa: ARG001
    rank: int = 6,
    wavelet: str = "db5",
    levels: int = 5,
    iterations: int = 200,
    tolerance: float = 1e-3,
) -> Tensor:
    """Minimise 1/2 ||A - F V'||^2 + sum_r lambda_r ||f_r||_1 over F and V with V'V = I; A: whitened coefficients.

    Args:
        noisy: (B, C, H, W), any finite range.
        wavelength_nm: not used.
        rank: number of components.
        wavelet, levels: the spatial transform; fewer levels where the image is too small for them.
        iterations: upper limit of alternations between F (soft threshold) and V (orthogonal Procrustes).
        tolerance: they end when V changes by less than this (root mean square over its columns).

    Returns:
        (B, C, H, W); bands without measurable noise unchanged.
    """
    cubes = finite(noisy)
    rows, cols = cubes.shape[-2:]
    level = median_deviation(cubes)
    factor, inverse = whitening(level)
    rank = max(1, min(rank, cubes.shape[1]))
    levels = usable_levels(rows, cols, levels)
    coefficients = decompose(cubes, wavelet=wavelet, levels=levels).mul_(factor[..., None, None].to(cubes.dtype))
    basis = principal(gram(coefficients))[1][..., :rank].to(cubes.dtype)
    components = project(coefficients, basis)
    threshold = _thresholds(components, levels)
    components = soft_threshold(components, threshold)
    flat = coefficients.flatten(2)
    moving = torch.ones(len(cubes), dtype=torch.bool, device=cubes.device)
    for _ in range(iterations):
        left, _, right = torch.linalg.svd((flat @ components.flatten(2).mT).double(), full_matrices=False)
        turned = (left @ right).to(cubes.dtype)
        change = (turned - basis).square().sum(dim=(-2, -1)) / rank
        # A cube that has settled stays, so that it does not matter which others are in the batch.
        basis = torch.where(moving[:, None, None], turned, basis)
        components = soft_threshold(project(coefficients, basis), threshold)
        moving &= change >= tolerance**2
        if not bool(moving.any()):
            break
    del coefficients, flat
    components = reconstruct(components, wavelet=wavelet, levels=levels, size=(rows, cols))
    return keep_constant(expand(components, inverse.unsqueeze(2) * basis), cubes, level)


def _thresholds(components: Tensor, levels: int) -> Tensor:
    """SURE's threshold for each component and subband, spread over the coefficients (B, K, H', W')."""
    result = torch.empty_like(components)
    for band in subbands(components.shape[-2], components.shape[-1], levels):
        threshold, _ = sure_threshold(band.of(components).flatten(2))
        band.of(result).copy_(threshold[..., None, None].expand_as(band.of(result)))
    return result
