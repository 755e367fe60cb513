"""The fully connected autoencoder of deephyp, with all its options.

L. Windrim, R. Ramakrishnan, A. Melkumyan, R. J. Murphy and A. Chlingaryan, Unsupervised feature-learning for
hyperspectral data with autoencoders, Remote Sensing 11(7), 2019, doi:10.3390/rs11070864.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsipipe.tasks.segmentation.shared.autoencoder import (
    Autoencoder,
    activation_function,
    layer_numbers,
    needs_spectra,
    positive_sizes,
)
from hsipipe.tasks.segmentation.shared.initialisers import initialise_weights


class FullyConnected(Autoencoder):
    """Dense layers down to the latent and, mirrored, up again.

    Args:
        bands, latent: lengths of the spectra and of the latents.
        encoder_sizes: neurons of the layers between them.
        activation: relu, sigmoid, tanh or linear, after each layer but the last.
        latent_activation: the same, or `same`: as `activation`.
        final_activation: the same, of the reconstruction.
        initialiser, initial_std: see `initialise_weights`; biases start like weights.
        tied: encoder layers, from 1, that share their weights, transposed, with the mirrored layers of the decoder.
        skip_connections: add the encoder's layers, before their activation, to the mirrored ones of the decoder.
    """

    def __init__(
        self,
        *,
        bands: int,
        latent: int = 10,
        encoder_sizes: Sequence[int] = (50, 30),
        activation: str = "sigmoid",
        latent_activation: str = "same",
        final_activation: str = "linear",
        initialiser: str = "truncated_normal",
        initial_std: float = 0.1,
        tied: Sequence[int] = (),
        skip_connections: bool = False,
    ) -> None:
        super().__init__(bands=bands, latent=latent)
        sizes = (bands, *positive_sizes(encoder_sizes, key="encoder_sizes"), latent)
        self.layers = len(sizes) - 1
        self.tied = layer_numbers(tied, self.layers, key="tied")
        self.skip_connections = skip_connections
        inner, latent_name = (
            activation_function(activation),
            activation if latent_activation == "same" else latent_activation,
        )
        self.activations = [inner] * (self.layers - 1) + [activation_function(latent_name)]
        self.decoder_activations = [activation_function(final_activation)] + [inner] * (self.layers - 1)
        self.encoder_weights = nn.ParameterList(torch.empty(after, before) for before, after in pairwise(sizes))
        self.encoder_biases = nn.ParameterList(torch.empty(after) for after in sizes[1:])
        # Decoder layer i leads from the output of encoder layer i back to its input.
        self.decoder_weights = nn.ParameterDict(
            {
                str(index): nn.Parameter(torch.empty(before, after))
                for index, (before, after) in enumerate(pairwise(sizes))
                if index not in self.tied
            }
        )
        self.decoder_biases = nn.ParameterList(torch.empty(before) for before in sizes[:-1])
        for index in range(self.layers):
            weight, bias = self.encoder_weights[index], self.encoder_biases[index]
            initialise_weights(weight, bias, name=initialiser, std=initial_std)
            initialise_weights(
                self._decoder_weight(index) if index not in self.tied else torch.empty_like(weight.T),
                self.decoder_biases[index],
                name=initialiser,
                std=initial_std,
            )

    def _decoder_weight(self, index: int) -> Tensor:
        if index in self.tied:
            return self.encoder_weights[index].T
        return self.decoder_weights[str(index)]

    def _encode(self, spectra: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Latents, and each layer before its activation."""
        values, before = spectra, []
        for weight, bias, activate in zip(self.encoder_weights, self.encoder_biases, self.activations, strict=True):
            before.append(functional.linear(values, weight, bias))
            values = activate(before[-1])
        return values, before

    def _decode(self, latents: Tensor, skipped: list[Tensor] | None) -> Tensor:
        values = latents
        for index in reversed(range(self.layers)):
            values = functional.linear(values, self._decoder_weight(index), self.decoder_biases[index])
            if skipped is not None:
                values = values + skipped[index]
            values = self.decoder_activations[index](values)
        return values

    def encode(self, spectra: Tensor) -> Tensor:
        """Normalised spectra (N, bands) to latents (N, latent)."""
        return self._encode(spectra)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, latent) to normalised spectra (N, bands).

        Raises:
            UserError: with skip connections, which need the spectra.
        """
        if self.skip_connections:
            raise needs_spectra("an mlp")
        return self._decode(latents, None)

    def forward(self, spectra: Tensor) -> Tensor:
        """Normalised spectra (N, bands) as they come out of the latent space, and past it with skip connections."""
        latents, before = self._encode(spectra)
        return self._decode(latents, [spectra, *before[:-1]] if self.skip_connections else None)


build = FullyConnected
