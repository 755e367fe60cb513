"""Our autoencoder: principal components, and a small network that corrects them where spectra do not lie in a plane.

Encoder and decoder are each the linear map of principal component analysis plus a network of one hidden layer whose
output is zero at the start. So training begins at the best linear autoencoder of the same latent size, in closed form,
and all that it learns is what that cannot say: the curved part of the set of spectra. The latent is linear, without an
activation that could saturate or die, and is in units of the standard deviation of its principal component.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsipipe.tasks.segmentation.shared.autoencoder import Autoencoder
from hsipipe.tasks.segmentation.shared.principal_components import principal_components

# Of the first component's deviation: components that hold less are given this, so that none is blown up.
SMALLEST_DEVIATION = 1e-6


class Correction(nn.Module):
    """One hidden layer of GELU units; zero for every input at first."""

    def __init__(self, *, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, values: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        corrected: Tensor = self.second(functional.gelu(self.first(values)))
        return corrected


class CorrectedComponents(Autoencoder):
    """Principal components with corrections.

    Args:
        bands: length of the spectra.
        latent: length of the latents.
        hidden: units of the hidden layer of each correction.

    Attributes:
        mean: (bands,) of the spectra that it was started with; spread: the root of their mean variance per band.
        into: (latent, bands), from (spectra - mean) / spread to latents; out_of: nn.Linear, from latents to that.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, *, bands: int, latent: int = 10, hidden: int = 192) -> None:
        super().__init__(bands=bands, latent=latent)
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("spread", torch.ones(()))
        self.into = nn.Linear(bands, latent, bias=False)
        self.out_of = nn.Linear(latent, bands)
        nn.init.zeros_(self.out_of.bias)
        self.encoder = Correction(inputs=bands, hidden=hidden, outputs=latent)
        self.decoder = Correction(inputs=latent, hidden=hidden, outputs=bands)

    def encode(self, spectra: Tensor) -> Tensor:
        """Normalised spectra (N, bands) to latents (N, latent)."""
        values = (spectra - self.mean) / self.spread
        return self.into(values) + self.encoder(values)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, latent) to normalised spectra (N, bands)."""
        return (self.out_of(latents) + self.decoder(latents)) * self.spread + self.mean


def build(*, bands: int, latent: int = 10, hidden: int = 192) -> CorrectedComponents:
    """The autoencoder for `bands` bands, to be started by `initialise`."""
    return CorrectedComponents(bands=bands, latent=latent, hidden=hidden)


def initialise(network: CorrectedComponents, spectra: Tensor) -> None:
    """Start it as the principal component analysis of spectra (N, bands), N at least the latent size."""
    mean, axes, deviations = principal_components(spectra, network.latent)
    centred = spectra.double() - mean
    spread = centred.square().mean().sqrt()
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    deviations = deviations.clamp_min(SMALLEST_DEVIATION * deviations[0])
    deviations = torch.where(deviations > 0, deviations, torch.ones_like(deviations))
    with torch.no_grad():
        network.mean.copy_(mean)
        network.spread.copy_(spread)
        network.into.weight.copy_((axes / deviations).T * spread)
        network.out_of.weight.copy_(axes * deviations / spread)
        network.out_of.bias.zero_()
        for correction in (network.encoder, network.decoder):
            correction.second.weight.zero_()
            correction.second.bias.zero_()
