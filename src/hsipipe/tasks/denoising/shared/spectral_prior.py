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


def find_axes(moments: Tensor, freedom: float, *, rank: int | None = None, basis: Tensor | None = None) -> Tensor:
    """Directions of whitened spectra in which there is signal, after filtering along the bands.

    The filter is that of Wiener for the correlation of LENGTH and JUMP: it takes w to w / (w + STRENGTH / p), w an
    eigenvalue of the correlation and p the mean variance of the signal. What noise alone reaches is reckoned with the
    number of dimensions that the filter leaves.

    Args:
        moments: (C, C) covariance of spectra whitened by the noise.
        freedom: independent spectra behind it.
        rank: number of axes, instead of those above what noise reaches.
        basis: (C, d) orthonormal; axes are sought in its span, and nothing is filtered.

    Returns:
        (C, K) orthonormal columns, strongest first, K >= 1, of the type and device of `moments`.
    """
    covariance = moments.double().cpu()
    bands = len(covariance)
    if basis is not None:
        known = basis.double().cpu()
        signal, dimensions = known.T @ covariance @ known - torch.eye(known.shape[1]).double(), float(known.shape[1])
    else:
        values, vectors = _correlation(bands, LENGTH)
        values = (1 - JUMP) * values + JUMP
        power = (covariance.diagonal().mean() - 1).clamp_min(1e-3)
        kept = values / (values + STRENGTH / power)
        known, dimensions = None, float(kept.square().sum())
        filter_matrix = (vectors * kept) @ vectors.T
        signal = filter_matrix @ (covariance - torch.eye(bands).double()) @ filter_matrix
    variances, axes = torch.linalg.eigh(signal)
    edge = MARGIN * (1 + math.sqrt(dimensions / freedom)) ** 2 - 1
    count = int((variances > edge).sum()) if rank is None else rank
    axes = axes.flip(1)[:, : min(max(count, 1), len(variances))]
    return (axes if known is None else known @ axes).to(moments)


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
