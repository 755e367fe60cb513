"""Total-variation denoising of image stacks, each image for itself.

Sources: Rudin, Osher and Fatemi, Physica D 60, 1992, doi:10.1016/0167-2789(92)90242-F (the model); Chambolle, JMIV
20, 2004, doi:10.1023/B:JMIV.0000011325.36760.1e (the dual); Beck and Teboulle, "Fast gradient-based algorithms for
constrained total variation image denoising", IEEE TIP 18(11), 2009, doi:10.1109/TIP.2009.2028250 (the iteration).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def denoise_total_variation(
    images: Tensor, weight: Tensor | float, *, iterations: int = 20, dual: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Minimise 1/2 ||x - image||^2 + weight * sum of |gradient of x| (isotropic, forward differences) per image.

    Args:
        images: (..., H, W).
        weight: not negative; broadcasts to (..., 1, 1).
        iterations: fast projected gradient steps on the dual.
        dual: (2, ..., H, W) field of an earlier call to start from.

    Returns:
        x (..., H, W) and the dual field (2, ..., H, W), whose vectors have length at most 1.
    """
    weight = torch.as_tensor(weight, dtype=images.dtype, device=images.device).clamp_min(1e-12)
    # With x = image + weight * div(p) and ||div||^2 <= 8, the dual gradient step is 1 / (8 weight).
    step = 1.0 / (8.0 * weight)
    field = torch.zeros((2, *images.shape), dtype=images.dtype, device=images.device) if dual is None else dual
    point, momentum = field, 1.0
    for _ in range(iterations):
        candidate = point + step * gradient(images + weight * divergence(point))
        candidate = candidate / candidate.square().sum(0).sqrt().clamp_min(1.0)
        following = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * momentum * momentum))
        point = candidate + ((momentum - 1.0) / following) * (candidate - field)
        field, momentum = candidate, following
    return images + weight * divergence(field), field


def gradient(images: Tensor) -> Tensor:
    """Forward differences (2, ..., H, W) down the rows and along the columns; 0 past the edge."""
    field = torch.zeros((2, *images.shape), dtype=images.dtype, device=images.device)
    torch.sub(images[..., 1:, :], images[..., :-1, :], out=field[0][..., :-1, :])
    torch.sub(images[..., :, 1:], images[..., :, :-1], out=field[1][..., :, :-1])
    return field


def divergence(field: Tensor) -> Tensor:
    """The negative adjoint of `gradient`: (2, ..., H, W) to (..., H, W)."""
    down, along = field[0], field[1]
    result = torch.zeros_like(down)
    result[..., :-1, :] += down[..., :-1, :]
    result[..., 1:, :] -= down[..., :-1, :]
    result[..., :, :-1] += along[..., :, :-1]
    result[..., :, 1:] -= along[..., :, :-1]
    return result
