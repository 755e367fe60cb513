"""The convolutional autoencoder of deephyp, with all its options.

L. Windrim, R. Ramakrishnan, A. Melkumyan, R. J. Murphy and A. Chlingaryan, Unsupervised feature-learning for
hyperspectral data with autoencoders, Remote Sensing 11(7), 2019, doi:10.3390/rs11070864.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.autoencoder import (
    Autoencoder,
    activation_function,
    layer_numbers,
    needs_spectra,
    positive_sizes,
)
from hsipipe.tasks.segmentation.shared.initialisers import initialise_weights
from hsipipe.tasks.segmentation.shared.same_padding import convolve, convolve_transposed, output_length


class Convolutional(Autoencoder):
    """Convolutions along the bands and a dense layer down to the latent; a dense layer and the transposed ones up.

    Args:
        bands, latent: lengths of the spectra and of the latents.
        filters, filter_sizes, strides: of each convolution of the encoder.
        padding: VALID or SAME, as TensorFlow means them.
        activation: relu, sigmoid, tanh or linear, after each layer but the last.
        latent_activation: the same, or `same`: as `activation`.
        final_activation: the same, of the reconstruction.
        initialiser, initial_std: see `initialise_weights`; biases start like weights.
        tied: convolutions, from 1, that share their filters with the mirrored layers of the decoder.
        skip_connections: add the encoder's convolutions, before their activation, to the mirrored layers.

    Raises:
        UserError: lists of different lengths, or filters that do not fit into the spectra.
    """

    def __init__(
        self,
        *,
        bands: int,
        latent: int = 5,
        filters: Sequence[int] = (10, 10, 10),
        filter_sizes: Sequence[int] = (20, 10, 10),
        strides: Sequence[int] = (1, 1, 1),
        padding: str = "VALID",
        activation: str = "sigmoid",
        latent_activation: str = "same",
        final_activation: str = "linear",
        initialiser: str = "truncated_normal",
        initial_std: float = 0.1,
        tied: Sequence[int] = (),
        skip_connections: bool = False,
    ) -> None:
        super().__init__(bands=bands, latent=latent)
        if not len(filters) == len(filter_sizes) == len(strides) or not filters:
            found = f"{len(filters)}, {len(filter_sizes)} and {len(strides)}"
            raise UserError("filters, filter_sizes and strides need an entry per convolution", found=found)
        channels = (1, *positive_sizes(filters, key="filters"))
        widths = positive_sizes(filter_sizes, key="filter_sizes")
        self.strides, self.padding = positive_sizes(strides, key="strides"), padding
        self.layers = len(widths)
        self.tied = layer_numbers(tied, self.layers, key="tied")
        self.skip_connections = skip_connections
        self.activation = activation_function(activation)
        self.latent_activation = activation_function(activation if latent_activation == "same" else latent_activation)
        self.final_activation = activation_function(final_activation)
        self.lengths = [bands]
        for width, stride in zip(widths, self.strides, strict=True):
            self.lengths.append(output_length(self.lengths[-1], width=width, stride=stride, padding=padding))
        flat = channels[-1] * self.lengths[-1]

        shapes = [(channels[index + 1], channels[index], widths[index]) for index in range(self.layers)]
        self.encoder_weights = nn.ParameterList(torch.empty(shape) for shape in shapes)
        self.encoder_biases = nn.ParameterList(torch.empty(shape[0]) for shape in shapes)
        # Decoder layer i leads from the output of convolution i back to its input, with filters of the same shape.
        self.decoder_weights = nn.ParameterDict(
            {
                str(index): nn.Parameter(torch.empty(shapes[index]))
                for index in range(self.layers)
                if index not in self.tied
            }
        )
        self.decoder_biases = nn.ParameterList(torch.empty(shape[1]) for shape in shapes)
        self.to_latent, self.from_latent = nn.Linear(flat, latent), nn.Linear(latent, flat)
        with torch.no_grad():
            pairs = [*zip(self.encoder_weights, self.encoder_biases, strict=True)]
            pairs += [(layer.weight, layer.bias) for layer in (self.to_latent, self.from_latent)]
            pairs += [(self._decoder_weight(index), None) for index in range(self.layers) if index not in self.tied]
            for weight, bias in pairs:
                initialise_weights(weight, bias, name=initialiser, std=initial_std)
            for index, bias in enumerate(self.decoder_biases):
                # transposed, the outputs of the convolution are inputs
                turned = torch.empty_like(self.encoder_weights[index]).transpose(0, 1)
                initialise_weights(turned, bias, name=initialiser, std=initial_std)

    def _decoder_weight(self, index: int) -> Tensor:
        return self.encoder_weights[index] if index in self.tied else self.decoder_weights[str(index)]

    def _encode(self, spectra: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Latents, and each convolution before its activation."""
        values, before = spectra[:, None], []
        for weight, bias, stride in zip(self.encoder_weights, self.encoder_biases, self.strides, strict=True):
            before.append(convolve(values, weight, bias, stride=stride, padding=self.padding))
            values = self.activation(before[-1])
        return self.latent_activation(self.to_latent(values.flatten(1))), before

    def _decode(self, latents: Tensor, skipped: list[Tensor] | None) -> Tensor:
        values = self.from_latent(latents).unflatten(1, (-1, self.lengths[-1]))
        if skipped is not None:
            values = values + skipped[-1]
        values = self.activation(values)
        for index in reversed(range(self.layers)):
            values = convolve_transposed(
                values,
                self._decoder_weight(index),
                self.decoder_biases[index],
                stride=self.strides[index],
                padding=self.padding,
                length=self.lengths[index],
            )
            if skipped is not None:
                values = values + skipped[index]
            values = (self.activation if index else self.final_activation)(values)
        return values[:, 0]

    def encode(self, spectra: Tensor) -> Tensor:
        """Normalised spectra (N, bands) to latents (N, latent)."""
        return self._encode(spectra)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, latent) to normalised spectra (N, bands).

        Raises:
            UserError: with skip connections, which need the spectra.
        """
        if self.skip_connections:
            raise needs_spectra("a cnn")
        return self._decode(latents, None)

    def forward(self, spectra: Tensor) -> Tensor:
        """Normalised spectra (N, bands) as they come out of the latent space, and past it with skip connections."""
        latents, before = self._encode(spectra)
        return self._decode(latents, [spectra[:, None], *before] if self.skip_connections else None)


build = Convolutional
