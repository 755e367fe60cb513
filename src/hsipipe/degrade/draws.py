"""Random draws of the noise components: made on the generator's device, handed over on the tensor's.

A draw on a CPU generator is thus the same whatever device holds the image. torch is imported when something is drawn,
so that a noise can be described and checked without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def normal(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Standard normal float32 values of the given shape."""
    import torch

    return torch.randn(tuple(shape), generator=generator, device=generator.device).to(device)


def uniform(
    shape: Sequence[int], generator: torch.Generator, device: torch.device, low: float = 0.0, high: float = 1.0
) -> torch.Tensor:
    """Uniform float32 values in [low, high) of the given shape."""
    import torch

    values = torch.empty(tuple(shape), device=generator.device).uniform_(low, high, generator=generator)
    return values.to(device)


def integers(
    shape: Sequence[int], generator: torch.Generator, device: torch.device, low: int, high: int
) -> torch.Tensor:
    """Uniform int64 values in [low, high), or `low` everywhere (nothing drawn) where high <= low + 1."""
    import torch

    if high <= low + 1:
        return torch.full(tuple(shape), low, device=device)
    return torch.randint(low, high, tuple(shape), generator=generator, device=generator.device).to(device)


def choices(
    values: Sequence[float], shape: Sequence[int], generator: torch.Generator, device: torch.device
) -> torch.Tensor:
    """float32 values drawn from `values` with equal chances."""
    import torch

    return torch.tensor(values, dtype=torch.float32, device=device)[integers(shape, generator, device, 0, len(values))]


def subsets(
    shape: Sequence[int], size: int, count: int, generator: torch.Generator, device: torch.device
) -> torch.Tensor:
    """For every entry of `shape`, `count` different indices below `size` in random order: int64 (*shape, count)."""
    keys = uniform((*shape, size), generator, device=generator.device)
    return keys.argsort(dim=-1)[..., :count].to(device)


def poisson(rate: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Poisson counts of the given rates, float32, on the device of `rate`."""
    import torch

    return torch.poisson(rate.to(generator.device), generator=generator).to(rate.device)
