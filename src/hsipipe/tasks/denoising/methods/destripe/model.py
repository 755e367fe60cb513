"""Destriping alone: column offsets are found and taken off, the noise stays."""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.destripe import destripe


def denoise(noisy: Tensor, *, wavelength_nm: Tensor | None = None) -> Tensor:  # noqa: ARG001
    """Take column stripes off; images without stripes come back as they are.

    Args:
        noisy: (B, C, H, W), any range; what is not finite counts as the band's mean.
        wavelength_nm: not used.

    Returns:
        (B, C, H, W).
    """
    finite = noisy.isfinite()
    if not finite.all():
        mean = torch.where(finite, noisy, 0.0).sum((2, 3), keepdim=True) / finite.sum((2, 3), keepdim=True).clamp_min(1)
        noisy = torch.where(finite, noisy, mean)
    return destripe(noisy.float())[0]
