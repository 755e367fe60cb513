"""Principal components of spectra."""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.errors import UserError


def principal_components(spectra: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, leading principal axes and the standard deviations along them.

    Args:
        spectra: (N, bands).
        count: how many.

    Returns:
        mean (bands,), axes (bands, count) of length 1, each with its largest entry positive, and deviations (count,)
        in falling order; float64.

    Raises:
        UserError: fewer spectra or bands than components.
    """
    if count > min(spectra.shape):
        found = f"{spectra.shape[0]} spectra of {spectra.shape[1]} bands"
        raise UserError(f"needs at least {count} spectra and bands", key="latent", found=found)
    mean = spectra.double().mean(0)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=spectra.device)
    for block in spectra.split(65536):  # float64 copies of a whole scene would be large
        centred = block.double() - mean
        covariance.addmm_(centred.T, centred)
    variances, axes = torch.linalg.eigh(covariance / len(spectra))
    variances, axes = variances.flip(0)[:count], axes.flip(1)[:, :count]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return mean, axes * largest.sign(), variances.clamp_min(0).sqrt()
