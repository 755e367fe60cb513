"""Masked-autoencoder pretraining of the encoder of method `vit`, on the clean images of the training part.

K. He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022; see `hsipipe.nets.mae`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hsipipe.errors import UserError
from hsipipe.nets.mae import Masked, MaskedAutoencoder
from hsipipe.nets.vit import Encoder, build_encoder


class MaskedPretraining(MaskedAutoencoder):
    """The autoencoder, with what the training asks of a network.

    Args:
        encoder, settings: see `MaskedAutoencoder`.
        corrupt: whether the encoder sees the noisy image.

    Attributes:
        bands: the number of bands that it takes.
        tile: side of the images that it is trained on.
    """

    def __init__(self, *, encoder: Encoder, corrupt: bool, **settings: Any) -> None:
        super().__init__(encoder=encoder, **settings)
        self.bands, self.tile, self.corrupt = encoder.bands, encoder.image_size, corrupt


def build(
    *,
    bands: int,
    preset: str = "small",
    image_size: int = 128,
    token_side: int = 4,
    mask_ratio: float = 0.75,
    decoder_width: int = 256,
    decoder_depth: int = 4,
    decoder_heads: int = 8,
    normalise_pixels: bool = True,
    corrupt: bool = False,
    checkpointing: bool = False,
) -> MaskedPretraining:
    """The autoencoder; the encoder's weights stand in its state under `encoder.`.

    Args:
        bands: bands of the images.
        preset, image_size, token_side, checkpointing: see `hsipipe.nets.vit.build_encoder`; the last is for both parts.
        mask_ratio, decoder_width, decoder_depth, decoder_heads, normalise_pixels: see `MaskedAutoencoder`.
        corrupt: let the encoder see the noisy image, and draw the clean one.

    Raises:
        UserError: settings that make no network.
    """
    encoder = build_encoder(
        bands=bands, image_size=image_size, preset=preset, patch=token_side, checkpointing=checkpointing
    )
    return MaskedPretraining(
        encoder=encoder,
        corrupt=corrupt,
        mask_ratio=mask_ratio,
        decoder_width=decoder_width,
        decoder_depth=decoder_depth,
        decoder_heads=decoder_heads,
        normalise_pixels=normalise_pixels,
        checkpointing=checkpointing,
    )


def loss(network: MaskedPretraining, batch: dict[str, Tensor]) -> Tensor:
    """The training loss on `target` (clean) and, if the network is trained so, `input` (noisy), (B, C, H, W) each.

    What is hidden is drawn from torch's global generator.
    """
    return _masked(network, batch["target"], batch["input"]).loss


@torch.no_grad()
def validation(network: MaskedPretraining, clean: Tensor, noisy: Tensor, generator: torch.Generator) -> float:
    """The loss on one cube, worked through in tiles of the training's size that lie side by side.

    Args:
        network: from `build`.
        clean, noisy: (C, H, W) or (1, C, H, W), on the network's device; an edge narrower than a tile is left out.
        generator: what the hidden tokens are drawn from, so that they are the same in every epoch.

    Raises:
        UserError: a cube smaller than a token.
    """
    pairs = list(zip(_tiles(network, clean), _tiles(network, noisy), strict=True))
    return sum(float(_masked(network, *pair, generator).loss) for pair in pairs) / len(pairs)


@torch.no_grad()
def picture(network: MaskedPretraining, clean: Tensor, noisy: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """What the encoder sees, what is drawn from that, and the truth: the first tile of a cube, (C, h, w) each.

    Hidden patches are shown grey (0.5). Visible ones are shown as they are in the reconstruction, unless they were
    noisy; with normalised pixels each drawn patch has the mean and the deviation of the true one.

    Args:
        network, clean, noisy, generator: see `validation`.
    """
    first, corrupted = _tiles(network, clean)[0], _tiles(network, noisy)[0]
    result = _masked(network, first, corrupted, generator)
    patch = network.encoder.patch
    rows, cols = (size // patch for size in first.shape[-2:])
    hidden = result.hidden.view(1, 1, rows, cols)
    hidden = hidden.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    seen = corrupted if network.corrupt else first
    drawn = result.reconstruction if network.corrupt else torch.where(hidden, result.reconstruction, first)
    return {
        "masked": torch.where(hidden, torch.full_like(seen, 0.5), seen)[0],
        "reconstruction": drawn[0],
        "clean": first[0],
    }


def _masked(
    network: MaskedPretraining, clean: Tensor, noisy: Tensor, generator: torch.Generator | None = None
) -> Masked:
    if network.corrupt:
        return network(noisy, target=clean, generator=generator)
    return network(clean, generator=generator)


def _tiles(network: MaskedPretraining, cube: Tensor) -> list[Tensor]:
    """Tiles (1, C, h, w) of a cube, side by side; of the largest multiple of a token that fits if it is smaller."""
    cube = cube if cube.ndim == 4 else cube[None]
    patch = network.encoder.patch
    height, width = (min(network.tile, size // patch * patch) for size in cube.shape[-2:])
    if not height or not width:
        raise UserError(
            f"a token takes {patch} x {patch} pixels",
            key="token_side",
            found=f"an image of {cube.shape[-2]} x {cube.shape[-1]}",
        )
    return [
        cube[..., row : row + height, col : col + width]
        for row in range(0, cube.shape[-2] - height + 1, height)
        for col in range(0, cube.shape[-1] - width + 1, width)
    ]
