"""The convolutional autoencoder of deepHSI: any number of bands from 16 on is halved four times and restored exactly.

J. Huang, deepHSI, 2025, https://github.com/jyhuang239/deepHSI.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.autoencoder import Autoencoder, activation_function, positive_sizes

WIDTH, STRIDE, PADDING = 4, 2, 1
Convolve = Callable[..., Tensor]


class HalvingConvolutions(Autoencoder):
    """Convolutions of width 4 and stride 2, batch normalisation and tanh; a linear latent; the same transposed.

    Args:
        bands: at least 2 to the number of convolutions.
        latent: length of the latents.
        channels: channels of each convolution of the encoder.
        final_activation: tanh or linear, of the reconstruction.

    Raises:
        UserError: fewer bands than can be halved as often as there are convolutions.
    """

    def __init__(
        self,
        *,
        bands: int,
        latent: int = 32,
        channels: Sequence[int] = (4, 8, 12, 16),
        final_activation: str = "tanh",
    ) -> None:
        super().__init__(bands=bands, latent=latent)
        sizes = (1, *positive_sizes(channels, key="channels"))
        shortest = STRIDE ** len(channels)
        if bands < shortest:
            remedy = f"resample to at least {shortest} bands, or use fewer channels, or the mlp or residual autoencoder"
            message = f"conv halves the spectra {len(channels)} times and needs at least {shortest} bands"
            raise UserError(message, found=f"{bands} bands", remedy=remedy)
        self.final_activation = activation_function(final_activation)
        self.lengths = [bands]
        for _ in channels:
            self.lengths.append((self.lengths[-1] + 2 * PADDING - WIDTH) // STRIDE + 1)
        flat = sizes[-1] * self.lengths[-1]
        self.encoder = nn.ModuleList(
            nn.Conv1d(before, after, WIDTH, STRIDE, PADDING) for before, after in pairwise(sizes)
        )
        self.encoder_norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[1:])
        self.to_latent, self.from_latent = nn.Linear(flat, latent), nn.Linear(latent, flat)
        # Decoder layer i leads from the output of convolution i back to its input.
        self.decoder = nn.ModuleList(
            nn.ConvTranspose1d(after, before, WIDTH, STRIDE, PADDING) for before, after in pairwise(sizes)
        )
        self.decoder_norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[1:-1])

    def encode(self, spectra: Tensor) -> Tensor:
        """Normalised spectra (N, bands) to latents (N, latent)."""
        values = spectra[:, None]
        for layer, norm in zip(self.encoder, self.encoder_norms, strict=True):
            values = torch.tanh(_normalised(functional.conv1d, values, layer, norm, output_axis=0))
        latents: Tensor = self.to_latent(values.flatten(1))
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, latent) to normalised spectra (N, bands)."""
        values = self.from_latent(latents).unflatten(1, (-1, self.lengths[-1]))
        for index in reversed(range(len(self.lengths) - 1)):
            layer: nn.Module = self.decoder[index]
            norm = self.decoder_norms[index - 1] if index else None
            extra = output_padding(self.lengths[index + 1], self.lengths[index])
            values = _normalised(functional.conv_transpose1d, values, layer, norm, output_axis=1, output_padding=extra)
            values = torch.tanh(values) if index else self.final_activation(values)
        return values[:, 0]


def output_padding(length: int, wanted: int) -> int:
    """What a transposed convolution has to add at the end to make `wanted` values of `length`: 0 or 1."""
    return wanted - ((length - 1) * STRIDE - 2 * PADDING + WIDTH)


def _normalised(
    convolve: Convolve, values: Tensor, layer: Any, norm: Any | None, *, output_axis: int, **more: int
) -> Tensor:
    """A convolution and its batch normalisation; in evaluation as one convolution, which saves a pass over the data.

    `output_axis` is the axis of the weight that counts the outputs.
    """
    weight, bias = layer.weight, layer.bias
    if norm is not None and not norm.training:
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        weight = weight * factor.view([-1 if axis == output_axis else 1 for axis in range(3)])
        bias = (bias - norm.running_mean) * factor + norm.bias
    made = convolve(values, weight, bias, stride=STRIDE, padding=PADDING, **more)
    if norm is not None and norm.training:
        made = norm(made)
    return made


build = HalvingConvolutions
