"""OTVCA: a few orthogonal spectral directions whose images have small total variation.

Source: Rasti, Ulfarsson and Sveinsson, "Hyperspectral feature extraction using total variation component analysis",
IEEE TGRS 54(12), 2016, doi:10.1109/TGRS.2016.2593463.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.noise_estimate import finite, noise_level
from hsipipe.tasks.denoising.shared.subspace import expand, gram, principal, project
from hsipipe.tasks.denoising.shared.total_variation import denoise_total_variation


def denoise(
    noisy: Tensor,
    *,
    wavelength_nm: Tensor | None = None,  # noqa: ARG001
    features: int = 8,
    weight: float | None = None,
    iterations: int = 10,
    inner_iterations: int = 10,
) -> Tensor:
    """Minimise 1/2 ||Y - F V'||^2 + weight * sum_r TV(f_r) over F and V with V'V = I.

    Args:
        noisy: (B, C, H, W), any finite range.
        wavelength_nm: not used.
        features: number of components.
        weight: of the total variation, in the data's units; None takes
            three quarters of the root mean square of the bands' noise levels.
        iterations: alternations between F (total-variation denoising of Y V) and V (orthogonal Procrustes).
        inner_iterations: steps of the total-variation solver in each, which goes on where it stopped.

    Returns:
        (B, C, H, W).
    """
    cubes = finite(noisy)
    features = max(1, min(features, cubes.shape[1]))
    moments = gram(cubes)
    if weight is None:
        level = noise_level(cubes, moments)
        # Deviation: the paper sets the weight by hand; noise in an orthogonal component is as strong as in a band.
        strength = (0.75 * level.square().mean(-1).sqrt()).to(cubes.dtype)[:, None, None, None]
    else:
        strength = torch.full((len(cubes), 1, 1, 1), weight, dtype=cubes.dtype, device=cubes.device)
    basis = principal(moments)[1][..., :features].to(cubes.dtype)
    dual = None
    for _ in range(iterations):
        components, dual = denoise_total_variation(
            project(cubes, basis), strength, iterations=inner_iterations, dual=dual
        )
        left, _, right = torch.linalg.svd((cubes.flatten(2) @ components.flatten(2).mT).double(), full_matrices=False)
        basis = (left @ right).to(cubes.dtype)
    return expand(components, basis)
