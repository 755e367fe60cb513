"""Wavelengths as vectors that a network can use, the same for every sensor."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SHORTEST_NM, LONGEST_NM = 50.0, 5000.0


def wavelength_code(wavelength_nm: Tensor, size: int) -> Tensor:
    """Sines and cosines of wavelength with periods in geometric steps from 50 to 5000 nm.

    A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.5, with wavelength for position, as
    Z. Xiong et al., "Neural Plasticity-Inspired Multimodal Foundation Model for Earth Observation", arXiv 2403.15356.

    Args:
        wavelength_nm: (C,).
        size: an even number.

    Returns:
        (C, size) float32 on the same device, within [-1, 1].
    """
    steps = torch.arange(size // 2, device=wavelength_nm.device, dtype=torch.float32) / max(size // 2 - 1, 1)
    periods = SHORTEST_NM * (LONGEST_NM / SHORTEST_NM) ** steps
    phase = 2 * math.pi * wavelength_nm.float()[:, None] / periods
    return torch.cat([phase.sin(), phase.cos()], dim=1)
