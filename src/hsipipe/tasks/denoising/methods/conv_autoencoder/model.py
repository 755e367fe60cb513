"""Denoising by the convolutional autoencoder of deepHSI: what does not fit through the latent is taken for noise.

J. Huang, deepHSI, 2025, https://github.com/jyhuang239/deepHSI. The autoencoder itself is segmentation's method `conv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from hsipipe.tasks.segmentation.methods.conv.model import HalvingConvolutions

__all__ = ["build", "loss", "prepare"]


def build(
    *,
    bands: int,
    target: str = "clean",
    latent: int = 32,
    normaliser: str = "mean_range",
    loss: Mapping[str, float] | None = None,
    channels: Sequence[int] = (4, 8, 12, 16),
    final_activation: str = "tanh",
    side: int = 8,
) -> SpectralDenoiser:
    """The network: (B, bands, H, W) noisy, band-wise scaled to [0, 1], to the denoised, any H and W.

    Args:
        bands: at least 2 to the number of convolutions.
        target, normaliser, loss, side: see `SpectralDenoiser`; loss None is the squared error.
        latent, channels, final_activation: see `HalvingConvolutions`.

    Raises:
        UserError: too few bands, or settings that do not fit.
    """
    autoencoder = HalvingConvolutions(bands=bands, latent=latent, channels=channels, final_activation=final_activation)
    return SpectralDenoiser(
        autoencoder, target=target, normaliser=normaliser, loss={"mse": 1.0} if loss is None else loss, side=side
    )


def prepare(network: SpectralDenoiser, cubes: Sequence[Tensor], *, noise: Noise, seed: Sequence[object]) -> Draw:
    """Fit the normaliser to the spectra that are to come out, and return what draws the batches.

    Batches are small patches rather than scattered pixels, so that stripes meet columns of several pixels.
    """
    draw = draw_from(cubes, network.side, noise, seed)
    fit_scaling(network, sample(draw, network)[1])
    return draw
