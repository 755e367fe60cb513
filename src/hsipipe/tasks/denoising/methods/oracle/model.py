"""The noisy cube projected on the subspace of its own truth: a ceiling for low-rank methods without a spatial step."""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.errors import UserError
from hsipipe.tasks.denoising.shared.noise_estimate import finite
from hsipipe.tasks.denoising.shared.subspace import expand, gram, principal, project


def denoise(
    noisy: Tensor,
    *,
    truth: Tensor,
    wavelength_nm: Tensor | None = None,  # noqa: ARG001
    rank: int | None = None,
) -> Tensor:
    """Project on the leading right singular vectors of the truth.

    Args:
        noisy: (B, C, H, W).
        truth: (B, C, H, W), the noise-free cubes.
        wavelength_nm: not used.
        rank: number of directions; None takes, for each cube, the number with the least error against the truth.

    Returns:
        (B, C, H, W).

    Raises:
        UserError: the truth's shape is not that of the noisy cubes.
    """
    if truth.shape != noisy.shape:
        raise UserError(
            "the truth must have the noisy cube's shape", found=f"{tuple(truth.shape)}, {tuple(noisy.shape)}"
        )
    cubes, truth = finite(noisy), finite(truth)
    power, vectors = principal(gram(truth))
    if rank is None:
        # Keeping a direction costs the noise in it, dropping it costs the signal in it.
        noise = (vectors * (gram(cubes - truth) @ vectors)).sum(-2)
        ranks = (noise - power).cumsum(-1).argmin(-1) + 1
    else:
        ranks = torch.full((len(cubes),), max(1, min(rank, cubes.shape[1])), device=cubes.device)
    largest = int(ranks.max())
    kept = (torch.arange(largest, device=cubes.device) < ranks.unsqueeze(1)).unsqueeze(1)
    basis = vectors[..., :largest] * kept
    return expand(project(cubes, basis), basis)
