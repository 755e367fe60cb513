"""HyRes: wavelet-sparse, low-rank restoration whose thresholds and rank come from Stein's unbiased risk estimate.

Source: Rasti, Ulfarsson and Ghamisi, "Automatic hyperspectral image restoration using sparse and low-rank modeling",
IEEE GRSL 14(12), 2017, doi:10.1109/LGRS.2017.2764059.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.noise_estimate import finite, keep_constant, whiten
from hsipipe.tasks.denoising.shared.shrinkage import soft_threshold, sure_threshold
from hsipipe.tasks.denoising.shared.subspace import expand, project, signal_rank
from hsipipe.tasks.denoising.shared.wavelets import decompose, reconstruct, usable_levels


def denoise(
    noisy: Tensor,
    *,
    wavelength_nm: Tensor | None = None,  # noqa: ARG001
    wavelet: str = "db5",
    levels: int = 5,
    max_rank: int | None = None,
) -> Tensor:
    """Y = W F V' + N with whitened noise: minimise 1/2 ||Y - W F V'||^2 + sum_r lambda_r ||f_r||_1.

    Args:
        noisy: (B, C, H, W), any finite range.
        wavelength_nm: not used.
        wavelet, levels: the spatial transform W; fewer levels where the image is too small for them.
        max_rank: upper limit of the rank. Stripes that differ from band to band look like signal of a high rank: take
            them out first, or set a limit.

    Returns:
        (B, C, H, W); constant bands unchanged.
    """
    cubes = finite(noisy)
    rows, cols = cubes.shape[-2:]
    noise = whiten(cubes)
    limit = signal_rank(noise.variances, noise.pixels, max_rank=max_rank)
    largest = int(limit.max())
    levels = usable_levels(rows, cols, levels)
    coefficients = decompose(project(cubes, noise.analysis(largest)), wavelet=wavelet, levels=levels)
    threshold, risk = sure_threshold(coefficients.flatten(2))
    rank = torch.minimum(_least_risk(coefficients, risk), limit)
    kept = torch.arange(largest, device=cubes.device) < rank.unsqueeze(1)
    coefficients = soft_threshold(coefficients, threshold[..., None, None]) * kept[..., None, None]
    components = reconstruct(coefficients, wavelet=wavelet, levels=levels, size=(rows, cols))
    return keep_constant(expand(components, noise.synthesis(largest)), cubes, noise.level)


def _least_risk(coefficients: Tensor, risk: Tensor) -> Tensor:
    """The rank (B,) with the least total risk: that of the kept components, and the signal in the dropped ones.

    Deviation: with thresholds up to "keep nothing" each further component lowers the estimated risk, as the estimate
    does not know that the directions were fitted to the same noise; so only components beyond the noise edge are
    candidates.
    """
    count = coefficients.shape[-1] * coefficients.shape[-2]
    dropped = coefficients.double().square().sum(dim=(-2, -1)) - count
    return (risk - dropped).cumsum(-1).argmin(-1) + 1
