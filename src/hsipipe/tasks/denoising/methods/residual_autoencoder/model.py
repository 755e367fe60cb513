"""Denoising by principal components and a learned correction of them.

The autoencoder is the segmentation method `residual`. Its decoder starts as the principal components of the spectra
that are to come out. Its encoder starts as the linear map that predicts their scores best from what goes in: with noise
that is the Wiener filter in the subspace, which shrinks the components that noise covers; without, the projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hsipipe.degrade.noise import Noise
from hsipipe.tasks.denoising.shared.spectral_denoiser import (
    Draw,
    SpectralDenoiser,
    draw_from,
    fit_scaling,
    loss,
    sample,
)
from hsipipe.tasks.segmentation.methods.residual.model import CorrectedComponents, initialise

__all__ = ["build", "loss", "prepare"]

RIDGE = 1e-6  # of the mean variance of a band: keeps the regression solvable where bands are constant or copies


def build(
    *,
    bands: int,
    target: str = "clean",
    latent: int = 10,
    normaliser: str = "none",
    loss: Mapping[str, float] | None = None,
    hidden: int = 256,
    side: int = 8,
) -> SpectralDenoiser:
    """The network: (B, bands, H, W) noisy, band-wise scaled to [0, 1], to the denoised, any H and W.

    Args:
        bands: of the spectra.
        target, normaliser, loss, side: see `SpectralDenoiser`; loss None is the squared error.
        latent: length of the latents, at most `bands`.
        hidden: units of the hidden layer of each correction.

    Raises:
        UserError: settings that do not fit.
    """
    autoencoder = CorrectedComponents(bands=bands, latent=min(latent, bands), hidden=hidden)
    return SpectralDenoiser(
        autoencoder, target=target, normaliser=normaliser, loss={"mse": 1.0} if loss is None else loss, side=side
    )


def prepare(network: SpectralDenoiser, cubes: Sequence[Tensor], *, noise: Noise, seed: Sequence[object]) -> Draw:
    """Start the autoencoder in closed form, and return what draws the batches."""
    draw = draw_from(cubes, network.side, noise, seed)
    given, wanted = sample(draw, network)
    fit_scaling(network, wanted)
    start(network, given, wanted)
    return draw


def start(network: SpectralDenoiser, given: Tensor, wanted: Tensor) -> None:
    """Start from pairs of spectra (N, bands): principal components of those wanted, predicted from those given.

    The decoder's axes are orthogonal, so the best linear encoder for it is the regression of the scores, by least
    squares.
    """
    autoencoder = network.autoencoder
    assert isinstance(autoencoder, CorrectedComponents)
    given, wanted = network.normalise(given), network.normalise(wanted)
    initialise(autoencoder, wanted)
    if network.target == "noisy":
        return  # what goes in is what comes out: the projection is the best there is
    with torch.no_grad():
        scores = autoencoder.encode(wanted).double()
        values = ((given - autoencoder.mean) / autoencoder.spread).double()
        mean_score, mean_value = scores.mean(0), values.mean(0)
        scores, values = scores - mean_score, values - mean_value
        covariance = values.T @ values
        covariance.diagonal().add_(RIDGE * covariance.diagonal().mean())
        weight = torch.linalg.solve(covariance, values.T @ scores).T
        autoencoder.into.weight.copy_(weight)
        autoencoder.encoder.second.bias.copy_(mean_score - weight @ mean_value)
