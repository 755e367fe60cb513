"""What the autoencoders of spectra have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hsipipe.errors import UserError, unknown

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "linear": lambda values: values,
}


class Autoencoder(nn.Module, ABC):
    """Spectra (N, bands) to latents (N, latent) and back.

    Attributes:
        bands: length of the spectra.
        latent: length of the latents.
    """

    def __init__(self, *, bands: int, latent: int) -> None:
        super().__init__()
        if latent < 1:
            raise UserError("must be at least 1", key="latent", found=latent)
        self.bands, self.latent = bands, latent

    @abstractmethod
    def encode(self, spectra: Tensor) -> Tensor:
        """Normalised spectra (N, bands) to latents (N, latent)."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, latent) to normalised spectra (N, bands)."""

    def forward(self, spectra: Tensor) -> Tensor:
        """Normalised spectra (N, bands) as they come out of the latent space."""
        return self.decode(self.encode(spectra))


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """The function of one of the `ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def layer_numbers(given: Sequence[int], layers: int, *, key: str) -> frozenset[int]:
    """Numbers of layers as a config has them, from 1, as indices from 0.

    Raises:
        UserError: a layer that there is not.
    """
    for number in given:
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= layers:
            remedy = "count the encoder's layers from 1, beginning at the spectrum"
            raise UserError(f"names a layer beyond the {layers} that there are", key=key, found=number, remedy=remedy)
    return frozenset(number - 1 for number in given)


def positive_sizes(given: Sequence[int], *, key: str) -> tuple[int, ...]:
    """Sizes of layers, checked to be whole numbers from 1 on."""
    for size in given:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UserError("must be whole numbers, at least 1", key=key, found=size)
    return tuple(given)


def needs_spectra(what: str) -> UserError:
    """The error for decoding latents alone with a network whose decoder also looks at the spectra."""
    return UserError(
        f"the decoder of {what} with skip connections needs the spectra, not only their latents",
        key="skip_connections",
        remedy="reconstruct spectra instead, or train with skip_connections: false",
    )
