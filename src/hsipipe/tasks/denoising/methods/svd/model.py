"""Truncated singular value decomposition: the projection of every spectrum on the cube's leading directions.

Source: Eckart and Young, Psychometrika 1(3), 1936, doi:10.1007/BF02288367.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.noise_estimate import finite, whiten
from hsipipe.tasks.denoising.shared.subspace import expand, gram, principal, project, signal_rank


def denoise(
    noisy: Tensor,
    *,
    wavelength_nm: Tensor | None = None,  # noqa: ARG001
    rank: int | None = None,
    max_rank: int | None = None,
) -> Tensor:
    """Keep the `rank` strongest spectral directions of each cube.

    Args:
        noisy: (B, C, H, W), any finite range.
        wavelength_nm: not used.
        rank: number of directions; None counts those whose noise-whitened variance exceeds the Marchenko-Pastur edge.
        max_rank: upper limit of that count.

    Returns:
        (B, C, H, W).
    """
    cubes = finite(noisy)
    bands = cubes.shape[1]
    if rank is None:
        noise = whiten(cubes)
        ranks = signal_rank(noise.variances, noise.pixels, max_rank=max_rank)
    else:
        ranks = torch.full((cubes.shape[0],), max(1, min(rank, bands)), device=cubes.device)
    _, vectors = principal(gram(cubes))
    largest = int(ranks.max())
    kept = torch.arange(largest, device=cubes.device) < ranks.unsqueeze(1)
    basis = vectors[..., :largest] * kept.unsqueeze(1)
    return expand(project(cubes, basis), basis)
