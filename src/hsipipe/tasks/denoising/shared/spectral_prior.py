"""Signal axes found with the knowledge that spectra vary slowly along the bands.

The covariance of n whitened spectra of C bands shows a direction of the signal only where its variance, in units of the
noise, exceeds sqrt(C / n) (J. Baik, G. Ben Arous and S. Peche, Annals of Probability 33(5), 2005): in small images few
directions do. Less noise comes from fewer dimensions, so the covariance is filtered along the bands before its
eigenvectors are taken, or confined to a basis that was learned from clean spectra of the same sensor.

What is left of noise in each eigenvector, (s + 1) / (n s^2) in the variance of an entry (s the signal's variance along
it), is then reduced once more: the axis is taken as a Gaussian process over the band's number plus that error, its
correlation an exponential with a share of band-to-band jumps; length and share are those under which the axis is
likeliest (empirical Bayes; C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press
2006, chapter 5), and the axis is replaced by its posterior mean.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.noise_level import MARGIN

LENGTHS = (1.0, 4.0, 16.0, 64.0)  # bands over which the correlation falls to 1/e
LENGTH, JUMP = 16.0, 0.03  # of the correlation that the covariance is filtered by
STRENGTH = 0.05  # how strongly, for a signal as strong as the noise
JUMPS = (0.0, 0.01, 0.03, 0.1, 0.3, 0.6)  # share of the variance that neighbouring bands do not have in common


@lru_cache(maxsize=32)
def _correlation(bands: int, length: float) -> tuple[Tensor, Tensor]:
    """Eigenvalues (C,) and eigenvectors (C, C) of the exponential correlation over C bands."""
    index = torch.arange(bands, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(torch.exp(-(index[:, None] - index).abs() / length))
    return values.clamp_min(0.0), vectors


def find_axes(
    moments: Tensor,
    freedom: float,
    *,
    level: Tensor | None = None,
    rank: int | None = None,
    basis: Tensor | None = None,
) -> Tensor:
    """Directions of whitened spectra in which there is signal, after filtering along the bands.

    The filter is that of Wiener, Q (Q + STRENGTH / p)^-1, for a signal of mean variance p in units of the noise and of
    the correlation Q with LENGTH and JUMP; spectra are smooth before they are divided by the noise level, so Q is
    divided by it too. What noise alone reaches is reckoned with the number of dimensions that the filter leaves.

    Args:
        moments: (C, C) covariance of spectra whitened by the noise.
        freedom: independent spectra behind it.
        level: (C,) the noise level that they were divided by, or None for the same in all bands.
        rank: number of axes, instead of those above what noise reaches.
        basis: (C, d) orthonormal; axes are sought in its span, and nothing is filtered.

    Returns:
        (C, K) orthonormal columns, strongest first, K >= 1, of the type and device of `moments`.
    """
    covariance = moments.double().cpu()
    signal = covariance - torch.eye(len(covariance)).double()
    if basis is not None:
        known = basis.double().cpu()
        signal, dimensions = known.T @ signal @ known, float(known.shape[1])
    else:
        known = None
        power = signal.diagonal().mean().clamp_min(1e-3)
        values, vectors = _whitened_correlation(len(covariance), None if level is None else level.double().cpu())
        kept = values / (values + STRENGTH / power)
        dimensions = float(kept.square().sum())
        wiener = (vectors * kept) @ vectors.T
        signal = wiener @ signal @ wiener
    variances, axes = torch.linalg.eigh(signal)
    edge = MARGIN * (1 + math.sqrt(dimensions / freedom)) ** 2 - 1
    count = int((variances > edge).sum()) if rank is None else rank
    axes = axes.flip(1)[:, : min(max(count, 1), len(variances))]
    return (axes if known is None else known @ axes).to(moments)


def _whitened_correlation(bands: int, level: Tensor | None) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of the correlation, divided by the noise level and of mean variance 1."""
    values, vectors = _correlation(bands, LENGTH)
    values = (1 - JUMP) * values + JUMP
    if level is None or bool((level == level[0]).all()):
        return values, vectors
    weights = 1 / level
    weights = weights / weights.square().mean().sqrt()
    scaled = weights[:, None] * ((vectors * values) @ vectors.T) * weights
    found, axes = torch.linalg.eigh(scaled)
    return found.clamp_min(0.0), axes


def smooth_axes(axes: Tensor, power: Tensor, freedom: float) -> Tensor:
    """Replace axes by their posterior means.

    Args:
        axes: (C, K), orthonormal, strongest first.
        power: (K,) the signal's variance along each, in units of the noise's.
        freedom: number of independent spectra that the axes were found from.

    Returns:
        (C, K), orthonormal, of the same type, device and orientation; unchanged where there are fewer than 3 bands.
    """
    if len(axes) < 3 or axes.shape[1] == 0:
        return axes
    exact = axes.double().cpu()
    strength = power.double().cpu().clamp_min(1e-3)
    # first-order perturbation of an eigenvector of signal plus unit noise: (s + 1) / (n s^2) per entry
    errors = (strength + 1) / (freedom * strength.square())
    jumps = torch.tensor(JUMPS, dtype=torch.float64)
    smoothed = torch.empty_like(exact)
    for index, (axis, error) in enumerate(zip(exact.T, errors, strict=True)):
        amplitude = (axis.square().mean() - error).clamp_min(1e-9)
        best = -torch.inf
        for values, vectors in (_correlation(len(exact), length) for length in LENGTHS):
            along = vectors.T @ axis
            signal = amplitude * ((1 - jumps)[:, None] * values + jumps[:, None])
            total = signal + error
            likelihood = -0.5 * (along.square() / total + total.log()).sum(1)
            chosen = int(likelihood.argmax())
            if likelihood[chosen] > best:
                best = float(likelihood[chosen])
                smoothed[:, index] = vectors @ (signal[chosen] / total[chosen] * along)
    basis, triangle = torch.linalg.qr(smoothed)
    return (basis * torch.where(triangle.diagonal() < 0, -1.0, 1.0)).to(axes)
