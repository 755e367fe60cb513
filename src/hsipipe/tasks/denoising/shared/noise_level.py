"""Noise level per band and signal subspace of one cube, from second moments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FEWEST_BANDS = 16  # below this a band has too few others to be predicted from
MARGIN = 1.03  # how far above the largest eigenvalue of pure noise a variance must lie to be of the signal
CHUNK = 1 << 17  # samples at a time, for the cache


def second_moments(flat: Tensor, freedom: int) -> Tensor:
    """Covariance (C, C) of centred (C, n) samples, in double precision."""
    return (flat @ flat.T).double() / freedom


def add_neighbours(values: Tensor, dim: int) -> Tensor:
    """Each element plus the one before and the one after it along `dim`, as far as there are such."""
    total = values.clone()
    length = values.shape[dim]
    total.narrow(dim, 0, length - 1).add_(values.narrow(dim, 1, length - 1))
    total.narrow(dim, 1, length - 1).add_(values.narrow(dim, 0, length - 1))
    return total


def smoothed_moments(whitened: Tensor, columns: Tensor, *, rows: slice = slice(None)) -> Tensor:
    """Sum over pixels of the outer products of spectra, half as they are, half as means over 3 x 3 pixels.

    The means are scaled to the variance of single pixels, so that white noise of unit variance still has the
    expectation identity per pixel. Scenes are smooth, noise is not: axes of weak signals show earlier.

    Args:
        whitened: (C, H, W), centred.
        columns: (W,) bool; others count for nothing.
        rows: the rows to sum over; those around them serve as neighbours only.

    Returns:
        (C, C), double precision.
    """
    used = whitened * columns.to(whitened)
    weight = columns.to(whitened).expand(1, *whitened.shape[1:])
    total = add_neighbours(add_neighbours(used, 2), 1)
    weight = add_neighbours(add_neighbours(weight, 2), 1)
    total = total / weight.clamp_min(1.0).sqrt()
    used, total = used[:, rows, columns].flatten(1), total[:, rows, columns].flatten(1)
    return 0.5 * (used @ used.T + total @ total.T).double()


def effective_freedom(freedom: int) -> float:
    """Independent pixels to which `smoothed_moments` of that many amount, in the spread of its eigenvalues.

    The squared autocorrelation of white noise after a 3 x 3 mean sums to (1 + 2 (4 + 1) / 9)^2; the mean of it and of
    a single pixel has half the correlation beside the centre.
    """
    beside = (1 + 10 / 9) ** 2 - 1
    return freedom / (1 + 0.25 * beside)


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


def signal_axes(moments: Tensor, freedom: float, *, rank: int | None = None, margin: float = MARGIN) -> Tensor:
    """Directions of whitened spectra whose variance exceeds what noise alone reaches.

    Largest eigenvalue of pure noise: (1 + sqrt(C / n))^2 (Marchenko & Pastur 1967); `margin` allows for its spread.

    Args:
        moments: (C, C) covariance of whitened spectra.
        freedom: independent pixels behind it.
        rank: number of axes, instead of the edge.

    Returns:
        (C, K) orthonormal columns by falling eigenvalue, K >= 1.
    """
    values, vectors = torch.linalg.eigh(moments)
    edge = margin * (1 + math.sqrt(len(moments) / freedom)) ** 2
    count = int((values > edge).sum()) if rank is None else rank
    return vectors.flip(1)[:, : min(max(count, 1), len(values))]


def residual_share(moments: Tensor, axes: Tensor) -> Tensor:
    """What the noise variances are to be multiplied by, from what a subspace leaves of each whitened band.

    The residual of band b has variance [(I - VV') M (I - VV')]_bb, of which noise has the share 1 - |V_b|^2.
    """
    left = moments - axes @ (axes.T @ moments)
    left = left - (left @ axes) @ axes.T
    leverage = axes.square().sum(1)
    return (left.diagonal() / (1 - leverage).clamp_min(0.05)).clamp_min(1e-6)


@dataclass
class NoiseModel:
    """Noise level (C,) per band, and orthonormal axes (C, K) of the signal among spectra divided by it."""

    level: Tensor
    axes: Tensor


def _levels(cube: Tensor, flat: Tensor, freedom: int) -> tuple[Tensor, Tensor]:
    """Noise level (C,) of centred (C, n) samples of `cube`, and axes (C, K) of what rises above it."""
    bands = len(flat)
    moments = second_moments(flat, freedom)
    total = moments.diagonal().clamp_min(1e-30)
    if freedom >= 2 * bands and bands >= 3:
        variance = regression_noise(moments, freedom)
        variance = torch.where(variance.isfinite() & (variance > 0), variance, 1e-10 * total)
        if bands < FEWEST_BANDS:
            variance = torch.minimum(variance, difference_noise(cube).double())
    else:
        variance = difference_noise(cube).double()
    variance = variance.maximum(1e-10 * total).minimum(total)
    scale = variance.sqrt()
    whitened = moments / (scale[:, None] * scale[None])
    axes = signal_axes(whitened, freedom)
    if freedom >= 2 * bands and bands >= FEWEST_BANDS:
        share = residual_share(whitened, axes)
        variance = variance * share
        axes = signal_axes(whitened / (share[:, None] * share[None]).sqrt(), freedom)
    return variance.sqrt().to(flat), axes.to(flat)


def stripe_proof_model(cube: Tensor) -> NoiseModel:
    """Noise levels and signal axes from variation within columns alone, to which column stripes do not add.

    Args:
        cube: (C, H, W), at least 2 rows, no constant band.
    """
    _, rows, cols = cube.shape
    flat = (cube - cube.mean(1, keepdim=True)).flatten(1)
    return NoiseModel(*_levels(cube, flat, max((rows - 1) * cols, 1)))


def noise_model(
    cube: Tensor, *, columns: Tensor | None = None, rank: int | None = None, level: Tensor | None = None
) -> NoiseModel:
    """Noise levels and signal subspace of one cube; the subspace with the help of the scene's smoothness.

    Args:
        cube: (C, H, W), no constant band.
        columns: (W,) bool, the columns to learn from; all by default.
        rank: number of axes, instead of the Marchenko-Pastur edge.
        level: noise level (C,), if known.
    """
    bands, rows, cols = cube.shape
    if columns is None:
        columns = torch.ones(cols, dtype=torch.bool, device=cube.device)
    part = cube if columns.all() else cube[:, :, columns]
    freedom = max(part[0].numel() - 1, 1)
    centre = part.mean((1, 2))
    if level is None:
        level, _ = _levels(part, (part - centre[:, None, None]).flatten(1), freedom)
    moments = torch.zeros(bands, bands, dtype=torch.float64, device=cube.device)
    step = max(3, CHUNK // (bands * cols))
    for start in range(0, rows, step):
        before = min(start, 1)
        chunk = cube[:, start - before : start + step + 1]
        chunk = (chunk - centre[:, None, None]) / level[:, None, None]
        moments += smoothed_moments(chunk, columns, rows=slice(before, before + step))
    axes = signal_axes(moments / freedom, effective_freedom(freedom), rank=rank)
    return NoiseModel(level, axes.to(cube))
