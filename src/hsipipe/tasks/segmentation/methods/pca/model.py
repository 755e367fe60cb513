"""Principal component analysis as an autoencoder: the best linear one there is, in closed form.

H. Hotelling, Analysis of a complex of statistical variables into principal components, Journal of Educational
Psychology 24, 1933. It has nothing to train; `initialise` fits it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.tasks.segmentation.shared.autoencoder import Autoencoder
from hsipipe.tasks.segmentation.shared.principal_components import principal_components


class PrincipalComponents(Autoencoder):
    """Attributes: mean (bands,), axes (bands, latent), the leading eigenvectors of the covariance."""

    mean: Tensor
    axes: Tensor

    def __init__(self, *, bands: int, latent: int = 10) -> None:
        super().__init__(bands=bands, latent=latent)
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("axes", torch.zeros(bands, latent))

    def encode(self, spectra: Tensor) -> Tensor:
        """Scores (N, latent), in the units of the spectra, in falling order of variance."""
        return (spectra - self.mean) @ self.axes

    def decode(self, latents: Tensor) -> Tensor:
        """The spectra (N, bands) in the subspace that have these scores."""
        return torch.addmm(self.mean, latents, self.axes.T)


def build(*, bands: int, latent: int = 10) -> PrincipalComponents:
    """Principal component analysis of `bands` bands, to be fitted by `initialise`."""
    return PrincipalComponents(bands=bands, latent=latent)


def initialise(network: PrincipalComponents, spectra: Tensor) -> None:
    """Fit it to spectra (N, bands), N at least the number of components; all of the fitting there is."""
    mean, axes, _ = principal_components(spectra, network.latent)
    network.mean.copy_(mean)
    network.axes.copy_(axes)
