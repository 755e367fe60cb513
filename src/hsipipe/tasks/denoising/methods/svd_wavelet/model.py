"""Noise-whitened low rank, then BayesShrink on the wavelet coefficients of every principal component.

Sources: the subspace as in Bioucas-Dias and Nascimento, IEEE TGRS 46(8), 2008, doi:10.1109/TGRS.2008.918089; the
shrinkage of Chang, Yu and Vetterli, IEEE TIP 9(9), 2000, doi:10.1109/83.862633.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.noise_estimate import finite, keep_constant, whiten
from hsipipe.tasks.denoising.shared.shrinkage import shrink_subbands
from hsipipe.tasks.denoising.shared.subspace import expand, project, signal_rank
from hsipipe.tasks.denoising.shared.wavelets import decompose, reconstruct, usable_levels


def denoise(
    noisy: Tensor,
    *,
    wavelength_nm: Tensor | None = None,  # noqa: ARG001
    rank: int | None = None,
    max_rank: int | None = None,
    wavelet: str = "db5",
    levels: int = 5,
) -> Tensor:
    """Project on the leading whitened components and shrink their wavelet details.

    Args:
        noisy: (B, C, H, W), any finite range.
        wavelength_nm: not used.
        rank: number of components; None counts those whose variance exceeds the Marchenko-Pastur edge.
        max_rank: upper limit of that count.
        wavelet, levels: the transform; fewer levels where the image is too small for them.

    Returns:
        (B, C, H, W); constant bands unchanged.
    """
    cubes = finite(noisy)
    rows, cols = cubes.shape[-2:]
    noise = whiten(cubes)
    if rank is None:
        ranks = signal_rank(noise.variances, noise.pixels, max_rank=max_rank)
    else:
        ranks = torch.full((cubes.shape[0],), max(1, min(rank, cubes.shape[1])), device=cubes.device)
    largest = int(ranks.max())
    kept = (torch.arange(largest, device=cubes.device) < ranks.unsqueeze(1)).unsqueeze(1)
    levels = usable_levels(rows, cols, levels)
    components = project(cubes, noise.analysis(largest) * kept)
    coefficients = shrink_subbands(decompose(components, wavelet=wavelet, levels=levels), levels, "bayes")
    components = reconstruct(coefficients, wavelet=wavelet, levels=levels, size=(rows, cols))
    return keep_constant(expand(components, noise.synthesis(largest)), cubes, noise.level)
