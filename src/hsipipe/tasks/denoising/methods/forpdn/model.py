"""FORPDN: penalised least squares on first differences along the spectrum, in the wavelet domain.

Source: Rasti, Sveinsson, Ulfarsson and Benediktsson, "Hyperspectral image denoising using first order spectral
roughness penalty in wavelet domain", IEEE JSTARS 7(6), 2014.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.noise_estimate import finite, noise_level, whitening
from hsipipe.tasks.denoising.shared.subspace import gram
from hsipipe.tasks.denoising.shared.wavelets import Subband, decompose, reconstruct, subbands, usable_levels

# Penalties that are tried, in units of one over the mean noise variance: none, then 12 per decade.
PENALTIES = torch.cat([torch.zeros(1, dtype=torch.float64), torch.logspace(-3, 6, 109, dtype=torch.float64)])


def denoise(
    noisy: Tensor,
    *,
    wavelength_nm: Tensor | None = None,
    wavelet: str = "db6",
    levels: int = 3,
) -> Tensor:
    """For each level j, minimise tr (A - X) S^-1 (A - X)' + lambda_j ||X D'||^2; lambda_j by least SURE.

    A holds the wavelet coefficients of all bands, S their noise variances, D takes differences of neighbouring bands.

    Args:
        noisy: (B, C, H, W), any finite range.
        wavelength_nm: (C,) puts bands in spectral order; None takes them as they come.
        wavelet, levels: the spatial transform; fewer levels where the image is too small for them.

    Returns:
        (B, C, H, W); constant bands unchanged, and the input itself if there is but one band.
    """
    cubes = finite(noisy)
    rows, cols = cubes.shape[-2:]
    _, scale = whitening(noise_level(cubes))
    levels = usable_levels(rows, cols, levels)
    coefficients = decompose(cubes, wavelet=wavelet, levels=levels)
    smoother = SpectralSmoother(scale, wavelength_nm)
    for group in _groups(subbands(coefficients.shape[-2], coefficients.shape[-1], levels)):
        blocks = [band.of(coefficients) for band in group]
        moments = sum((gram(block) for block in blocks), torch.zeros((), device=cubes.device))
        count = sum(block[0, 0].numel() for block in blocks)
        matrix = smoother.best(moments / count).to(cubes.dtype)
        for block in blocks:
            # A few rows at a time, in place, to stay far below a second cube.
            step = max(1, 2**19 // (block.shape[1] * block.shape[3]))
            for part in block.split(step, dim=2):
                part.copy_((matrix @ part.flatten(2)).view(part.shape))
    return reconstruct(coefficients, wavelet=wavelet, levels=levels, size=(rows, cols))


def _groups(bands: list[Subband]) -> list[list[Subband]]:
    """The approximation, then the three details of each level together: one penalty for each."""
    return [bands[:1]] + [bands[first : first + 3] for first in range(1, len(bands), 3)]


class SpectralSmoother:
    """The family (I + lambda S D'D)^-1, diagonal in one basis for all lambda.

    Args:
        scale: (B, C) noise standard deviations, S^(1/2); bands with 0 are left alone and skipped by the differences.
        wavelength_nm: (C,) or None.
    """

    def __init__(self, scale: Tensor, wavelength_nm: Tensor | None) -> None:
        active = scale > 0
        roughness = difference_penalty(active, wavelength_nm)
        self.variance = scale.square()
        self.eigenvalues, vectors = torch.linalg.eigh(roughness * scale.unsqueeze(1) * scale.unsqueeze(2))
        self.eigenvalues = self.eigenvalues.clamp_min(0.0)
        inverse = torch.where(active, 1.0 / torch.where(active, scale, 1.0), 0.0)
        # Spectra are columns here: X = left diag(gain) right A.
        self.left = scale.unsqueeze(2) * vectors
        self.right = vectors.mT * inverse.unsqueeze(1)
        self.active = active
        self.coupling = self.left.mT @ self.left

    def best(self, moments: Tensor) -> Tensor:
        """The member (B, C, C) with the least SURE for coefficients of second moments A A' / n = `moments` (B, C, C).

        SURE(lambda) = ||A - X||^2 / n + 2 tr(S M) - tr S, in the data's own units, so that it estimates the squared
        error.
        """
        mean_variance = self.variance.sum(-1) / self.active.sum(-1).clamp_min(1)
        penalties = PENALTIES.to(moments.device) / mean_variance.clamp_min(1e-30).unsqueeze(1)
        gains = 1.0 / (1.0 + penalties.unsqueeze(2) * self.eigenvalues.unsqueeze(1))
        quadratic = self.coupling * (self.right @ moments @ self.right.mT)
        removed = 1.0 - gains
        residual = ((removed @ quadratic) * removed).sum(-1)
        freedom = gains @ self.coupling.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
        risk = residual + 2.0 * freedom.squeeze(-1)
        chosen = risk.argmin(-1)
        gain = gains[torch.arange(len(gains), device=gains.device), chosen]
        matrix = (self.left * gain.unsqueeze(1)) @ self.right
        return matrix + torch.diag_embed((~self.active).to(matrix.dtype))


def difference_penalty(active: Tensor, wavelength_nm: Tensor | None) -> Tensor:
    """D'D (B, C, C) of first differences between spectrally neighbouring active bands (B, C), float64."""
    batch, bands = active.shape
    spectral = torch.arange(bands, device=active.device, dtype=torch.float64)
    if wavelength_nm is not None:
        spectral = torch.as_tensor(wavelength_nm, dtype=torch.float64, device=active.device)
    position = torch.where(active, spectral.expand(batch, bands), torch.inf)
    order = position.argsort(dim=-1, stable=True)
    linked = (active.gather(1, order)[:, 1:]).double()
    degree = torch.zeros(batch, bands, dtype=torch.float64, device=active.device)
    degree[:, 1:] += linked
    degree[:, :-1] += linked
    chain = torch.diag_embed(degree) - torch.diag_embed(linked, 1) - torch.diag_embed(linked, -1)
    place = order.argsort(dim=-1)
    chain = chain.gather(1, place.unsqueeze(2).expand(-1, -1, bands))
    return chain.gather(2, place.unsqueeze(1).expand(-1, bands, -1))
