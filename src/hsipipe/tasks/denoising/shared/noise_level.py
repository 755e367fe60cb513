"""Noise level per band and signal subspace from second moments alone, indifferent to column stripes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def within_columns(cube: Tensor) -> Tensor:
    """(C, H, W) less the mean of each column in each band: offsets that are constant down a column vanish."""
    return cube - cube.mean(1, keepdim=True)


def second_moments(cube: Tensor, columns: Tensor | None = None) -> tuple[Tensor, int]:
    """Covariance between bands within columns, in double precision, and its degrees of freedom.

    Args:
        cube: (C, H, W).
        columns: (W,) bool, the columns to use; all by default.
    """
    part = cube if columns is None else cube[:, :, columns]
    flat = (within_columns(part) if part.shape[1] >= 8 else part - part.mean((1, 2), keepdim=True)).flatten(1)
    freedom = flat.shape[1] - part.shape[2] if part.shape[1] >= 8 else flat.shape[1] - 1
    return (flat @ flat.T).double() / max(freedom, 1), max(freedom, 1)


def regression_noise(moments: Tensor, freedom: int) -> Tensor:
    """Noise variance of each band: what the other bands do not predict of it (HySime's first step).

    The residual variance of regressing band b on all others is 1 / P_bb with P the inverse of the covariance
    (Bioucas-Dias & Nascimento 2008, IEEE TGRS 46(8), section III); n / (n - C + 1) makes up for the fitted weights.
    """
    bands = len(moments)
    ridge = 1e-9 * moments.diagonal().mean().clamp_min(1e-300)
    precision = torch.linalg.inv(moments + ridge * torch.eye(bands, dtype=moments.dtype, device=moments.device))
    return freedom / max(freedom - bands + 1, 1) / precision.diagonal()


def difference_noise(cube: Tensor) -> Tensor:
    """Noise variance of each band from second differences over 2 x 2 pixels, by their median absolute value.

    Too large on texture, blind to nothing else: for images of few bands. (C, H, W) -> (C,).
    """
    if min(cube.shape[1:]) < 2:
        return cube.flatten(1).var(1, unbiased=False)
    detail = (cube[:, 1:, 1:] - cube[:, :-1, 1:] - cube[:, 1:, :-1] + cube[:, :-1, :-1]) / 2
    return (detail.flatten(1).abs().median(1).values / 0.6745).square()


def signal_axes(
    moments: Tensor, variance: Tensor, freedom: int, *, margin: float = 1.05, rank: int | None = None
) -> Tensor:
    """Directions of whitened spectra whose variance exceeds what noise alone reaches.

    Largest eigenvalue of pure noise: (1 + sqrt(C / n))^2 (Marchenko & Pastur 1967); `margin` allows for its spread.

    Returns:
        (C, K) orthonormal columns by falling eigenvalue, K >= 1.
    """
    scale = variance.sqrt()
    values, vectors = torch.linalg.eigh(moments / (scale[:, None] * scale[None]))
    edge = margin * (1 + math.sqrt(len(moments) / freedom)) ** 2
    count = int((values > edge).sum()) if rank is None else rank
    return vectors.flip(1)[:, : min(max(count, 1), len(values))]


def residual_noise(moments: Tensor, variance: Tensor, axes: Tensor) -> Tensor:
    """Noise variance again, from what a subspace leaves of each band, the share it swallows made up for.

    With A = S V V' S^-1 the residual of band b has variance [(I - A) M (I - A)']_bb, of which noise has the share
    1 - h_b, h_b = |V_b|^2.
    """
    scale = variance.sqrt()
    whitened = moments / (scale[:, None] * scale[None])
    left = whitened - axes @ (axes.T @ whitened)
    left = left - (left @ axes) @ axes.T
    leverage = axes.square().sum(1)
    return variance * (left.diagonal() / (1 - leverage).clamp_min(0.05)).clamp_min(1e-6)


@dataclass
class NoiseModel:
    """Noise level (C,) per band, and orthonormal axes (C, K) of the signal among spectra divided by it."""

    level: Tensor
    axes: Tensor


def noise_model(cube: Tensor, *, columns: Tensor | None = None, rank: int | None = None) -> NoiseModel:
    """Noise levels and signal subspace of one cube, from variation within columns.

    Args:
        cube: (C, H, W), no constant band.
        columns: (W,) bool, the columns to learn from; all if fewer than a quarter (or 4) are named.
        rank: number of axes, instead of the Marchenko-Pastur edge.
    """
    bands, rows, cols = cube.shape
    if columns is not None and int(columns.sum()) < max(4, cols // 4):
        columns = None
    moments, freedom = second_moments(cube, columns)
    total = moments.diagonal().clamp_min(1e-30)
    if freedom >= 2 * bands and bands >= 3:
        variance = regression_noise(moments, freedom).clamp_min(0.0)
        if bands < 16:
            variance = torch.minimum(variance, difference_noise(cube).double())
    else:
        variance = difference_noise(cube).double()
    variance = torch.where(variance.isfinite(), variance, total).maximum(1e-10 * total).minimum(total)
    axes = signal_axes(moments, variance, freedom)
    if freedom >= 2 * bands and bands >= 16:
        variance = residual_noise(moments, variance, axes)
        axes = signal_axes(moments, variance, freedom)
    if rank is not None:
        axes = signal_axes(moments, variance, freedom, rank=rank)
    return NoiseModel(variance.sqrt().to(cube), axes.to(cube))
