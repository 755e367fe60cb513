"""How noisy each band is, from the noisy cube alone.

Sources: Bioucas-Dias and Nascimento, "Hyperspectral subspace identification", IEEE TGRS 46(8), 2008,
doi:10.1109/TGRS.2008.918089 (regression on the other bands); Donoho and Johnstone, "Ideal spatial adaptation by wavelet
shrinkage", Biometrika 81(3), 1994, doi:10.1093/biomet/81.3.425 (median deviation of the finest diagonal details).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.subspace import centred, gram, principal
from hsipipe.tasks.denoising.shared.wavelets import analysis_matrix

# A Gaussian's median absolute deviation in units of its standard deviation.
GAUSSIAN_MEDIAN_DEVIATION = 0.6744897501960817
# Standard deviations below this share of the brightest band's root mean square are rounding, not noise.
SMALLEST_RELATIVE_NOISE = 1e-6


def finite(cubes: Tensor) -> Tensor:
    """The cubes (B, C, H, W) with NaN and infinities replaced by the band's mean over its finite pixels (0 if none).

    Returns the same tensor where everything is finite.
    """
    # A sum is finite only if its terms are, and takes no memory; a sum that overflows is looked into.
    if bool(torch.isfinite(cubes.sum())):
        return cubes
    good = torch.isfinite(cubes)
    if bool(good.all()):
        return cubes
    count = good.sum(dim=(-2, -1), keepdim=True).clamp_min(1)
    mean = torch.where(good, cubes, 0.0).sum(dim=(-2, -1), keepdim=True) / count
    return torch.where(good, cubes, mean)


def regression_variance(second_moments: Tensor, pixels: int) -> Tensor:
    """Variance of what linear regression on all other bands leaves of each band.

    Args:
        second_moments: (B, C, C) Gram matrices of band-mean-free cubes (`subspace.centred`), so that the regression has
            an intercept.
        pixels: number of pixels; must exceed C.

    Returns:
        (B, C) float64, corrected for the C degrees of freedom that the regression uses up. 0 for constant bands.
    """
    bands = second_moments.shape[-1]
    diagonal = second_moments.diagonal(dim1=-2, dim2=-1)
    scale = diagonal.clamp_min(0.0).sqrt()
    constant = scale <= SMALLEST_RELATIVE_NOISE * scale.amax(-1, keepdim=True)
    inverse_scale = torch.where(constant, 0.0, 1.0 / torch.where(constant, 1.0, scale))
    # Correlations, so that one ridge fits bands of all brightnesses; constant bands stand apart with a unit diagonal.
    correlation = second_moments * inverse_scale.unsqueeze(1) * inverse_scale.unsqueeze(2)
    eye = torch.eye(bands, dtype=correlation.dtype, device=correlation.device)
    correlation = correlation + torch.diag_embed(constant.to(correlation.dtype)) + 1e-10 * eye
    precision = torch.linalg.inv_ex(correlation)[0].diagonal(dim1=-2, dim2=-1)
    unexplained = 1.0 / precision.clamp_min(1.0)
    variance = unexplained * diagonal / max(1, pixels - bands)
    return torch.where(constant, 0.0, torch.nan_to_num(variance))


def median_deviation(cubes: Tensor, *, wavelet: str = "db5") -> Tensor:
    """Standard deviation (B, C) of the noise from the finest diagonal wavelet details of (B, C, H, W), float64.

    Blind to column and row stripes, which have no diagonal details; high where texture is as fine as the noise.
    Odd sizes drop their last row or column. Below 2 x 2 pixels: 0.
    """
    rows, cols = cubes.shape[-2] // 2 * 2, cubes.shape[-1] // 2 * 2
    if min(rows, cols) < 2:
        return torch.zeros(cubes.shape[:2], dtype=torch.float64, device=cubes.device)

    def high_pass(length: int) -> Tensor:
        matrix = torch.as_tensor(analysis_matrix(wavelet, length), dtype=cubes.dtype, device=cubes.device)
        return matrix[length // 2 :]

    down, across = high_pass(rows), high_pass(cols)
    levels = [(down @ (cube[..., :rows, :cols] @ across.mT)).abs().flatten(1).median(dim=-1).values for cube in cubes]
    return torch.stack(levels).double() / GAUSSIAN_MEDIAN_DEVIATION


def noise_level(cubes: Tensor, second_moments: Tensor | None = None) -> Tensor:
    """Standard deviation (B, C) of the noise in each band, float64; 0 for constant bands.

    By regression on the other bands; with fewer than 3 bands, or fewer than two pixels per band, from the finest
    diagonal details instead, since the regression would be meaningless or explain everything.

    Args:
        cubes: (B, C, H, W) finite.
        second_moments: `gram(cubes)` if it is at hand.
    """
    bands, pixels = cubes.shape[1], cubes.shape[2] * cubes.shape[3]
    moments = gram(cubes) if second_moments is None else second_moments
    around_mean = centred(moments, band_means(cubes), pixels)
    energy = moments.diagonal(dim1=-2, dim2=-1)
    constant = around_mean.diagonal(dim1=-2, dim2=-1) <= SMALLEST_RELATIVE_NOISE**2 * energy
    if bands < 3 or pixels < 2 * bands:
        level = median_deviation(cubes)
    else:
        level = regression_variance(around_mean, pixels).sqrt()
    return torch.where(constant, 0.0, level)


def band_means(cubes: Tensor) -> Tensor:
    """Band means (B, C) of (B, C, H, W), summed in float64."""
    # Some bands at a time in one buffer: a float64 copy of all would be twice the cube.
    means = torch.empty(cubes.shape[:2], dtype=torch.float64, device=cubes.device)
    buffer = torch.empty_like(cubes[:, :16], dtype=torch.float64)
    for first in range(0, cubes.shape[1], 16):
        part = cubes[:, first : first + 16]
        means[:, first : first + 16] = buffer[:, : part.shape[1]].copy_(part).mean(dim=(-2, -1))
    return means


def whitening(level: Tensor) -> tuple[Tensor, Tensor]:
    """Factors (B, C) that bring the noise of each band to 1, and their inverses, float64.

    Bands with a level of 0 (constant ones) get 0 and 0, so that they take no part. Levels a thousandth of the median
    or less are raised to that: a band that the others explain completely would otherwise drown all others in
    rounding.
    """
    active = level > 0
    median = torch.nanmedian(torch.where(active, level, torch.nan), dim=-1, keepdim=True).values
    floored = torch.where(active, torch.maximum(level, 1e-3 * torch.nan_to_num(median)), 0.0)
    return torch.where(active, 1.0 / torch.where(active, floored, 1.0), 0.0), floored


def keep_constant(estimate: Tensor, cubes: Tensor, level: Tensor) -> Tensor:
    """`estimate` (B, C, H, W) with the bands of noise `level` (B, C) 0 taken from `cubes`, in place."""
    constant = level <= 0
    if bool(constant.any()):
        estimate[constant] = cubes[constant]
    return estimate


@dataclass(frozen=True)
class Whitened:
    """A cube's noise and its second moments in units of that noise, without a whitened copy of the cube.

    Attributes:
        level: (B, C) standard deviation of the noise; 0 for constant bands.
        factor, inverse: (B, C) what takes a band to unit noise and back (0 and 0 for constant bands).
        variances: (B, C) eigenvalues of the whitened second moments per pixel, largest first.
        vectors: (B, C, C) their eigenvectors, in columns.
        pixels: number of pixels.
    """

    level: Tensor
    factor: Tensor
    inverse: Tensor
    variances: Tensor
    vectors: Tensor
    pixels: int

    def analysis(self, rank: int) -> Tensor:
        """(B, C, rank): `project(cubes, .)` gives whitened principal components, their noise of unit variance."""
        return self.factor.unsqueeze(2) * self.vectors[..., :rank]

    def synthesis(self, rank: int) -> Tensor:
        """(B, C, rank): `expand(components, .)` gives cubes in their own units."""
        return self.inverse.unsqueeze(2) * self.vectors[..., :rank]


def whiten(cubes: Tensor) -> Whitened:
    """Noise level by `noise_level`, and the principal directions of the cubes (B, C, H, W) in units of it."""
    pixels = cubes.shape[-2] * cubes.shape[-1]
    moments = gram(cubes)
    level = noise_level(cubes, moments)
    factor, inverse = whitening(level)
    variances, vectors = principal(moments * factor.unsqueeze(1) * factor.unsqueeze(2) / pixels)
    return Whitened(level, factor, inverse, variances, vectors, pixels)
