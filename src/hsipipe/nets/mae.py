"""Masked autoencoder: learn to draw the patches of an image that were hidden from the encoder.

K. He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022. Most tokens are hidden at random; the
encoder sees the others only, which makes its step cheap; a narrow decoder gets what comes out, a learned mask token
wherever one was hidden, and the positions, and draws each patch with all its bands. What is compared is each hidden
patch, by default normalised by its own mean and standard deviation over all its pixels and bands together: a patch of
4 x 4 pixels and 202 bands is one target of 3,232 values, whose spectral shape the normalisation keeps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hsipipe.errors import UserError
from hsipipe.nets.vit import Encoder, patchify, resize_positions, sine_positions, unpatchify


class Masked(NamedTuple):
    """What a masked autoencoder makes of a batch.

    Attributes:
        loss: the mean squared error that training lowers, a scalar.
        reconstruction: every patch as the decoder draws it, in the units of the images, (B, C, H, W). With normalised
            pixels it is scaled back by each true patch's mean and deviation, which the network does not predict.
        hidden: True at the tokens that the encoder did not see, (B, N).
    """

    loss: Tensor
    reconstruction: Tensor
    hidden: Tensor


def random_order(
    batch: int, tokens: int, *, device: torch.device, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """A random order of the tokens of each image, and its reverse, both (batch, tokens); its first ones stay visible.

    Args:
        batch, tokens: numbers of images and of tokens of each.
        device: where the orders are needed.
        generator: torch's global one of `device` if None; it may live on another device.
    """
    where = device if generator is None else generator.device
    order = torch.rand(batch, tokens, generator=generator, device=where).argsort(dim=1).to(device)
    return order, order.argsort(dim=1)


def normalised(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Patches (B, N, V) with mean 0 and standard deviation 1 each; their means and deviations, (B, N, 1)."""
    mean = patches.mean(dim=2, keepdim=True)
    deviation = (patches.var(dim=2, keepdim=True) + 1e-6).sqrt()
    return (patches - mean) / deviation, mean, deviation


class Decoder(nn.Module):
    """Draws every patch from the encoded visible tokens.

    Args:
        encoder_width: width of the encoded tokens.
        width, depth, heads: size of the decoder's own blocks.
        values: numbers per patch.
        grid: tokens along a side of the images that the positions are made for.
        checkpointing: recompute blocks in the backward pass instead of storing what is inside them.
    """

    positions: Tensor

    def __init__(
        self, *, encoder_width: int, width: int, depth: int, heads: int, values: int, grid: int, checkpointing: bool
    ) -> None:
        super().__init__()
        self.grid, self.checkpointing = grid, checkpointing
        self.narrow = nn.Linear(encoder_width, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.register_buffer("positions", sine_positions(width, grid), persistent=False)
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.draw = nn.Linear(width, values)
        nn.init.normal_(self.mask_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, encoded: Tensor, reverse: Tensor, grid: tuple[int, int]) -> Tensor:
        """Encoded tokens (B, 1 + n, D), the class token first, to patches (B, N, values) in the order of the image.

        Args:
            encoded: the class token and the n visible ones.
            reverse: (B, N), where in the shuffled order each token of the image stands; the first n are visible.
            grid: rows and columns of tokens; N is their product.
        """
        encoded = self.narrow(encoded)
        first, seen = encoded[:, :1], encoded[:, 1:]
        batch, count = reverse.shape
        masks = self.mask_token.to(seen.dtype).expand(batch, count - seen.shape[1], -1)
        tokens = torch.cat([seen, masks], dim=1)
        tokens = tokens.gather(1, reverse[:, :, None].expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([first, tokens], dim=1) + resize_positions(self.positions, grid, (self.grid, self.grid))
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return self.draw(self.norm(tokens[:, 1:]))


class MaskedAutoencoder(nn.Module):
    """An encoder, and the decoder that trains it.

    Args:
        encoder: from `build_encoder`; its weights stand in the state under `encoder.`.
        mask_ratio: share of the tokens that is hidden, above 0 and below 1; at least one is hidden and one visible.
        decoder_width, decoder_depth, decoder_heads: size of the decoder.
        normalise_pixels: compare normalised patches.
        checkpointing: recompute the decoder's blocks in the backward pass instead of storing what is inside them.

    Raises:
        UserError: a ratio outside its range, a single token, or a width that the heads do not divide.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        mask_ratio: float = 0.75,
        decoder_width: int = 256,
        decoder_depth: int = 4,
        decoder_heads: int = 8,
        normalise_pixels: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < mask_ratio < 1:
            raise UserError("must be above 0 and below 1", key="mask_ratio", found=mask_ratio)
        if decoder_width % decoder_heads:
            raise UserError(
                f"must be a multiple of decoder_heads, {decoder_heads}", key="decoder_width", found=decoder_width
            )
        if encoder.grid < 2:
            raise UserError(
                f"an image of one token of {encoder.patch} pixels has nothing to hide",
                key="image_size",
                found=encoder.image_size,
                remedy=f"take at least {2 * encoder.patch} pixels",
            )
        self.encoder, self.mask_ratio, self.normalise_pixels = encoder, mask_ratio, normalise_pixels
        self.decoder = Decoder(
            encoder_width=encoder.width,
            width=decoder_width,
            depth=decoder_depth,
            heads=decoder_heads,
            values=encoder.bands * encoder.patch**2,
            grid=encoder.grid,
            checkpointing=checkpointing,
        )

    def forward(
        self, images: Tensor, *, target: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Masked:
        """Hide tokens of images (B, C, H, W), draw all of them, and compare.

        Args:
            images: what the encoder sees parts of.
            target: what is to be drawn, the same shape; `images` if None. If it is given (the clean version of noisy
                images), every patch is unknown to the encoder, and the loss is over all, not over the hidden ones.
            generator: what the choice of the hidden tokens is drawn from; torch's global one if None.

        Raises:
            UserError: a size that is not a multiple of the patch, or another number of bands.
        """
        tokens = self.encoder.embed(images)
        batch, count, _ = tokens.shape
        visible = min(max(1, round(count * (1 - self.mask_ratio))), count - 1)
        order, reverse = random_order(batch, count, device=images.device, generator=generator)
        kept = tokens.gather(1, order[:, :visible, None].expand(-1, -1, tokens.shape[2]))
        grid = (images.shape[-2] // self.encoder.patch, images.shape[-1] // self.encoder.patch)
        predicted = self.decoder(self.encoder.encode(kept), reverse, grid).float()
        hidden = reverse >= visible

        patches = patchify(images if target is None else target, self.encoder.patch).float()
        if self.normalise_pixels:
            patches, mean, deviation = normalised(patches)
            drawn = predicted * deviation + mean
        else:
            drawn = predicted
        error = functional.mse_loss(predicted, patches, reduction="none").mean(dim=2)
        # As many tokens are hidden in every image, so that the mean over all hidden ones is that over images.
        loss = error.mean() if target is not None else (error * hidden).sum() / hidden.sum()
        return Masked(loss, unpatchify(drawn.detach(), self.encoder.patch, grid), hidden)
