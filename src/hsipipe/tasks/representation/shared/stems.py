"""How images of many bands enter a network made for three."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hsipipe.tasks.representation.shared.response import by_wavelength

STEMS = {
    "tiled": "the backbone's first layer with its three filters in turn for the bands (timm's rule)",
    "interpolated": "the backbone's first layer with each band's filter mixed from the three by wavelength",
    "reduce": "a 1 x 1 convolution from the bands to a few maps, then the backbone",
    "adapter": "convolutions along the spectrum whose weights serve any number of bands, then the backbone",
}
MAPS = 16  # what reduce and adapter give to a backbone whose weights are random; one that saw photographs gets 3


class Reduce(nn.Module):
    """A 1 x 1 convolution from the bands to a few maps.

    Args:
        bands: C.
        maps: how many come out.
        wavelength_nm: (C,) or None. With it, and three maps, the convolution starts as red, green and blue, which a
            network pretrained on photographs knows; otherwise at random.
    """

    def __init__(self, *, bands: int, maps: int, wavelength_nm: np.ndarray | None = None) -> None:
        super().__init__()
        self.mix = nn.Conv2d(bands, maps, 1)
        if maps == 3 and wavelength_nm is not None:
            with torch.no_grad():
                self.mix.weight.copy_(torch.from_numpy(by_wavelength(wavelength_nm).T)[:, :, None, None])
                self.mix.bias.zero_()  # type: ignore[union-attr]

    def forward(self, images: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Images (B, C, H, W) to (B, maps, H, W)."""
        return self.mix(images)


class Unchanged(nn.Module):
    """No stem: the backbone's first layer takes the bands."""

    def forward(self, images: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Images as they are."""
        return images
