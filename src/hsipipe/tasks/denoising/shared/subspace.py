"""Spectral subspaces of batches of cubes, from their C x C second moments.

All decompositions are of small matrices in float64: an eigen-decomposition of the Gram matrix costs C^3, a singular
value decomposition of the pixels n C^2 several times over, and float64 sums keep what float32 would lose on clean
data.

Sources: Bioucas-Dias and Nascimento, "Hyperspectral subspace identification", IEEE TGRS 46(8), 2008,
doi:10.1109/TGRS.2008.918089 (HySime); Marchenko and Pastur, "Distribution of eigenvalues for some sets of random
matrices", Math. USSR Sbornik 1(4), 1967, doi:10.1070/SM1967v001n04ABEH001994 (the edge of noise eigenvalues).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gram(cubes: Tensor) -> Tensor:
    """Sums of products of bands over all pixels, Y'Y.

    Args:
        cubes: (B, C, H, W), any floating type.

    Returns:
        (B, C, C), float64, symmetric, not divided by the number of pixels.
    """
    pixels = cubes.flatten(2)
    batch, bands, count = pixels.shape
    total = torch.zeros(batch, bands, bands, dtype=torch.float64, device=cubes.device)
    step = max(1, 2**19 // max(1, bands)) if cubes.device.type == "cpu" else count
    buffer = torch.empty(batch, bands, min(step, count), dtype=torch.float64, device=cubes.device)
    for first in range(0, count, step):
        part = pixels[:, :, first : first + step]
        part = buffer[:, :, : part.shape[2]].copy_(part)
        total.baddbmm_(part, part.mT)
    return total


def centred(second_moments: Tensor, means: Tensor, pixels: int) -> Tensor:
    """The Gram matrices of band-mean-free cubes: `second_moments` (B, C, C) less pixels * mean mean'.

    Args:
        second_moments: result of `gram`.
        means: (B, C) band means.
        pixels: number of pixels H * W.
    """
    return second_moments - pixels * means.double().unsqueeze(2) * means.double().unsqueeze(1)


def principal(second_moments: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (B, C), largest first and never negative, and eigenvectors (B, C, C) in columns, of (B, C, C).

    Each vector's sign is fixed by its largest entry, so that the same input gives the same output on every device.
    """
    values, vectors = torch.linalg.eigh(second_moments)
    values, vectors = values.flip(-1).clamp_min(0.0), vectors.flip(-1)
    peak = vectors.abs().argmax(dim=-2, keepdim=True)
    sign = torch.sign(torch.gather(vectors, -2, peak))
    return values, vectors * torch.where(sign == 0, 1.0, sign)


def project(cubes: Tensor, basis: Tensor) -> Tensor:
    """Coefficients (B, K, H, W) of cubes (B, C, H, W) on basis vectors (B, C, K), in the cubes' type."""
    size = cubes.shape[-2:]
    return (basis.to(cubes.dtype).mT @ cubes.flatten(2)).unflatten(2, size)


def expand(coefficients: Tensor, basis: Tensor) -> Tensor:
    """Cubes (B, C, H, W) from coefficients (B, K, H, W) on basis vectors (B, C, K); the transpose of `project`."""
    size = coefficients.shape[-2:]
    return (basis.to(coefficients.dtype) @ coefficients.flatten(2)).unflatten(2, size)


def noise_edge(bands: int, pixels: int, *, margin: float = 1.05) -> float:
    """The largest variance that white noise of unit variance shows along any direction, times a safety margin.

    The Marchenko-Pastur edge (1 + sqrt(bands / pixels))^2: fitted directions look stronger than the noise is.
    """
    return margin * (1.0 + math.sqrt(bands / max(1, pixels))) ** 2


def signal_rank(variances: Tensor, pixels: int, *, bands: int | None = None, max_rank: int | None = None) -> Tensor:
    """Number of directions (B,) whose variance exceeds what unit noise explains; at least 1, at most `max_rank`.

    Args:
        variances: (B, C) variances along principal directions of noise-whitened cubes, largest first.
        pixels: number of pixels that they were taken over.
        bands: number of bands that carry noise (default: C).
        max_rank: upper limit.
    """
    count = variances.shape[-1]
    above = (variances > noise_edge(count if bands is None else bands, pixels)).sum(-1)
    return above.clamp(1, count if max_rank is None else max(1, min(count, max_rank)))


def hysime(second_moments: Tensor, noise_variance: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """HySime: the eigenvectors of the signal whose removal would cost more than their noise does.

    Args:
        second_moments: (B, C, C) Gram matrices of the noisy cubes (not centred, as in the paper).
        noise_variance: (B, C) noise variance per band.
        pixels: number of pixels.

    Returns:
        basis (B, C, C): eigenvectors of the signal's correlation matrix, the one with the largest net gain first;
        rank (B,): number of those with a gain; at least 1.
    """
    noisy = second_moments / pixels
    bands = noisy.shape[-1]
    noise = torch.diag_embed(noise_variance.double())
    signal = noisy - noise
    # The paper adds trace/C * 1e-5 to the noise matrix, which keeps the test sane for clean data.
    trace = signal.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(0.0)
    noise = noise + (trace / bands * 1e-5)[:, None, None] * torch.eye(bands, dtype=noise.dtype, device=noise.device)
    _, vectors = principal(signal)
    power = (vectors * (noisy @ vectors)).sum(-2)
    cost = 2.0 * (vectors * (noise @ vectors)).sum(-2) - power
    order = cost.argsort(dim=-1, stable=True)
    rank = (cost < 0).sum(-1).clamp_min(1)
    return torch.gather(vectors, 2, order.unsqueeze(1).expand_as(vectors)), rank
