"""Soft thresholding and how large the threshold should be.

All rules take coefficients with noise of unit variance, or are told the variance.

Sources: Donoho and Johnstone, "Adapting to unknown smoothness via wavelet shrinkage", JASA 90(432), 1995,
doi:10.1080/01621459.1995.10476626 (SURE); Chang, Yu and Vetterli, "Adaptive wavelet thresholding for image denoising
and compression", IEEE TIP 9(9), 2000, doi:10.1109/83.862633 (BayesShrink).
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.wavelets import subbands


def soft_threshold(coefficients: Tensor, threshold: Tensor | float) -> Tensor:
    """sign(x) max(|x| - threshold, 0); `threshold` broadcasts, and is not negative."""
    if isinstance(threshold, Tensor):
        return coefficients - torch.clamp(coefficients, min=-threshold, max=threshold)
    return coefficients - coefficients.clamp(-threshold, threshold)


def sure_threshold(coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """The soft threshold with the least Stein unbiased risk estimate, and that risk.

    SURE(t) = n - 2 #{|x| <= t} + sum min(x^2, t^2) for unit noise. It is exact at every |x|, between which it only
    rises, so sorting finds the minimum over all t >= 0; the largest |x| stands for "keep nothing".

    Args:
        coefficients: (..., n) with unit noise.

    Returns:
        threshold (...) in the coefficients' type and risk (...) in float64, the estimated sum of squared errors.
    """
    count = coefficients.shape[-1]
    flat = coefficients.reshape(-1, count)
    # A few rows at a time: the sums are float64 and would outgrow the coefficients several times over.
    step = max(1, 2**18 // max(1, count)) if flat.device.type == "cpu" else max(1, len(flat))
    parts = [_sure_of_rows(flat[first : first + step]) for first in range(0, len(flat), step)]
    threshold, risk = (torch.cat(values).view(coefficients.shape[:-1]) for values in zip(*parts, strict=True))
    return threshold, risk


def _sure_of_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    count = rows.shape[-1]
    magnitude = rows.abs().sort(dim=-1).values
    square = magnitude.double().square()
    rank = torch.arange(1, count + 1, dtype=torch.float64, device=rows.device)
    risk = count - 2.0 * rank + square.cumsum(-1) + (count - rank) * square
    best, place = risk.min(dim=-1)
    threshold = magnitude.gather(-1, place.unsqueeze(-1)).squeeze(-1)
    # t = 0 keeps all, at a risk of n; no |x| stands for it.
    keep = best >= count
    return torch.where(keep, 0.0, threshold), torch.where(keep, float(count), best)


def bayes_threshold(coefficients: Tensor, variance: Tensor | float = 1.0) -> Tensor:
    """BayesShrink's soft threshold: noise variance over the standard deviation of the signal.

    Args:
        coefficients: (..., n).
        variance: noise variance, broadcasting to (...).

    Returns:
        (...); the largest magnitude (which removes everything) where there is no more variance than noise.
    """
    signal = (coefficients.square().mean(-1) - variance).clamp_min(0.0)
    threshold = variance / signal.sqrt().clamp_min(1e-12)
    return torch.minimum(torch.as_tensor(threshold), coefficients.abs().amax(-1))


def shrink_subbands(coefficients: Tensor, levels: int, rule: str) -> Tensor:
    """Soft-threshold each detail subband of each image by its own threshold; the approximation stays.

    Args:
        coefficients: (..., H', W') in the Mallat layout with unit noise.
        levels: number of levels.
        rule: "bayes" or "sure".
    """
    result = coefficients.clone()
    for band in subbands(coefficients.shape[-2], coefficients.shape[-1], levels)[1:]:
        block = band.of(coefficients)
        flat = block.flatten(-2)
        threshold = bayes_threshold(flat) if rule == "bayes" else sure_threshold(flat)[0]
        band.of(result).copy_(soft_threshold(block, threshold[..., None, None]))
    return result
