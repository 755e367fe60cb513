"""Gaussian noise whose samples were cut off at a lower and an upper bound (a type I Tobit model).

A sample is y = min(max(u + s N, lower), upper) with N standard normal. All functions work element by element,
broadcast, are exact up to float32 rounding, and take infinite bounds. Tobin (1958), Econometrica 26(1); Amemiya (1973),
Econometrica 41(6).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROOT_TWO = math.sqrt(2.0)
ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
FARTHEST = 8.0  # noise levels beyond which a bound is treated as this far: float32 knows no difference


def density(t: Tensor) -> Tensor:
    """The standard normal density."""
    return torch.exp(-0.5 * t * t) / ROOT_TWO_PI


def below(t: Tensor) -> Tensor:
    """The standard normal distribution function, accurate in its lower tail."""
    return 0.5 * torch.erfc(t / -ROOT_TWO)


def find_bounds(cube: Tensor, *, repeats: int = 3) -> tuple[Tensor, Tensor]:
    """The bounds at which each band was clipped, infinite where it was not.

    A continuous noise repeats its extreme value with probability zero; a clipped one piles up there. A band counts as
    clipped when its extreme occurs at least `repeats` times and oftener than all values within one per cent of the
    band's range beside it, so that coarsely quantised data are not taken for clipped. Bands in which no sample
    reached the common bound keep an infinite one; nothing was cut there.

    Args:
        cube: (C, H, W).

    Returns:
        lower, upper: (C,).
    """
    lower, upper = cube.new_full((len(cube),), -math.inf), cube.new_full((len(cube),), math.inf)
    for index, band in enumerate(cube):
        low, high = band.aminmax()
        margin = 0.01 * (high - low)
        at_low, near_low = (band == low).sum(), (band <= low + margin).sum()
        at_high, near_high = (band == high).sum(), (band >= high - margin).sum()
        if margin > 0 and at_low >= repeats and 2 * at_low > near_low:
            lower[index] = low
        if margin > 0 and at_high >= repeats and 2 * at_high > near_high:
            upper[index] = high
    return lower, upper


def _standardised(mean: Tensor, scale: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Distances of the bounds from the mean in noise levels, cut to +-FARTHEST."""
    return ((lower - mean) / scale).clamp(-FARTHEST, FARTHEST), ((upper - mean) / scale).clamp(-FARTHEST, FARTHEST)


def clipped_moments(mean: Tensor, scale: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a clipped sample.

    With a = (lower - u) / s, b = (upper - u) / s and t = min(max(N, a), b): E t = a F(a) + f(a) - f(b) + b (1 - F(b)),
    E t^2 = a^2 F(a) + [F(b) - F(a) + a f(a) - b f(b)] + b^2 (1 - F(b)); the sample is u + s t.
    """
    a, b = _standardised(mean, scale, lower, upper)
    mass_low, mass_high, f_low, f_high = below(a), below(-b), density(a), density(b)
    first = a * mass_low + f_low - f_high + b * mass_high
    second = a * a * mass_low + (1 - mass_low - mass_high + a * f_low - b * f_high) + b * b * mass_high
    return mean + scale * first, scale * scale * (second - first * first).clamp_min(0.0)


def undo_mean(clipped: Tensor, scale: Tensor, lower: Tensor, upper: Tensor, *, knots: int = 128) -> Tensor:
    """The mean before clipping whose clipped mean is given, by a table per band; confined to [lower, upper].

    Args:
        clipped: (C, n) means of clipped samples.
        scale, lower, upper: (C,) noise level and bounds; a side without bound is left as it is.
    """
    reach = 4.0 * scale
    centre_low = torch.where(lower.isfinite(), lower, clipped.amin(1) - reach)
    centre_high = torch.where(upper.isfinite(), upper, clipped.amax(1) + reach)
    grid = torch.linspace(0, 1, knots, device=clipped.device, dtype=clipped.dtype)
    means = centre_low[:, None] + (centre_high - centre_low)[:, None] * grid
    table, _ = clipped_moments(means, scale[:, None], lower[:, None], upper[:, None])
    place = torch.searchsorted(table, clipped.contiguous()).clamp_(1, knots - 1)
    left, right = table.gather(1, place - 1), table.gather(1, place)
    share = ((clipped - left) / (right - left).clamp_min(1e-12)).clamp_(0.0, 1.0)
    start = means.gather(1, place - 1)
    return start + share * (means.gather(1, place) - start)


def score_and_information(
    sample: Tensor, mean: Tensor, scale: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """The derivative of log p(sample | mean) and its Fisher information, in units of 1 / s and 1 / s^2.

    Inside: (y - u) / s; at the lower bound -f(a) / F(a); at the upper f(b) / (1 - F(b)). Information:
    F(b) - F(a) + a f(a) - b f(b) + f(a)^2 / F(a) + f(b)^2 / (1 - F(b)), which is 1 without clipping and falls towards
    0 as the mean leaves the bounds.
    """
    a, b = _standardised(mean, scale, lower, upper)
    mass_low, mass_high, f_low, f_high = below(a), below(-b), density(a), density(b)
    hazard_low, hazard_high = f_low / mass_low, f_high / mass_high
    score = (sample - mean) / scale
    score = torch.where(sample <= lower, -hazard_low, torch.where(sample >= upper, hazard_high, score))
    information = 1 - mass_low - mass_high + f_low * (a + hazard_low) + f_high * (hazard_high - b)
    return score, information.clamp_min(1e-3)


def unclipped_scale(
    variance: Tensor, clipped: Tensor, lower: Tensor, upper: Tensor, *, samples: int = 48, steps: int = 24
) -> Tensor:
    """The noise level before clipping that explains the mean and the variance seen after it.

    For a trial s the clean samples x(s) are those whose clipped means are `clipped`; the s is sought, band by band and
    by bisection in log s, for which the mean over pixels of Var clip(x(s) + s N) equals `variance`. (Alternating
    between x and s instead crawls where most samples lie on a bound.)

    Args:
        variance: (C,) mean noise variance of the clipped samples.
        clipped: (C, n) estimated means of the clipped samples.
        lower, upper: (C,).

    Returns:
        (C,) noise levels between one and eight times the root of `variance`.
    """
    place = (torch.arange(samples, device=clipped.device) + 0.5) / samples * (clipped.shape[1] - 1)
    means = clipped.sort(dim=1).values[:, place.round().long()]
    small, large = variance.sqrt(), 8.0 * variance.sqrt()
    for _ in range(steps):
        middle = (small * large).sqrt()
        clean = undo_mean(means, middle, lower, upper, knots=64)
        _, seen = clipped_moments(clean, middle[:, None], lower[:, None], upper[:, None])
        too_small = seen.mean(1) < variance
        small, large = torch.where(too_small, middle, small), torch.where(too_small, large, middle)
    return (small * large).sqrt()
