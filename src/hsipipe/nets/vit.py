"""The encoder: a vision transformer over square patches ("tokens") that hold all bands.

A. Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021. The
blocks are timm's; the sizes `small`, `base` and `large` are those of its models of these names.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hsipipe.errors import UserError, unknown

# name: (width of the tokens, blocks, attention heads); `tiny` trains on a CPU in seconds
PRESETS = {"tiny": (96, 4, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images (B, C, H, W) into patches (B, N, C * patch * patch), row by row; a patch is flattened band first."""
    batch, bands, height, width = images.shape
    parts = images.reshape(batch, bands, height // patch, patch, width // patch, patch)
    return parts.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
    """The reverse of `patchify`: (B, N, C * patch * patch) with N = rows * cols of `grid` to (B, C, H, W)."""
    batch, _, values = patches.shape
    parts = patches.reshape(batch, *grid, values // patch**2, patch, patch)
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(batch, -1, grid[0] * patch, grid[1] * patch)


def sine_positions(width: int, grid: int) -> Tensor:
    """Positions (1, 1 + grid * grid, width) as sines and cosines of row and column; zeros for the class token.

    A quarter of the width each for sine and cosine of the row and of the column, at frequencies 10000^(-4k/width), as
    in Vaswani et al. 2017 for each axis; what a width not divisible by four leaves over is zero.
    """
    quarter = width // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    phases = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies
    axis = torch.cat([phases.sin(), phases.cos()], dim=1)
    rows = axis[:, None].expand(grid, grid, -1)
    cols = axis[None].expand(grid, grid, -1)
    table = torch.zeros(1, 1 + grid * grid, width)
    table[0, 1:, : 4 * quarter] = torch.cat([rows, cols], dim=2).flatten(0, 1).float()
    return table


def resize_positions(positions: Tensor, grid: tuple[int, int], old: tuple[int, int]) -> Tensor:
    """Positions (1, 1 + N, D) of a grid `old` of tokens on another grid: bicubic; that of the class token is kept."""
    if grid == old:
        return positions
    first, rest = positions[:, :1], positions[:, 1:]
    image = rest.reshape(1, *old, -1).permute(0, 3, 1, 2)
    image = functional.interpolate(image.float(), size=grid, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([first, image.flatten(2).transpose(1, 2).to(positions.dtype)], dim=1)


class Encoder(nn.Module):
    """Images (B, C, H, W) to tokens (B, 1 + N, D): a class token, then those of the patches, row by row.

    Args:
        bands: C.
        image_size: side of the images that the positions are made for, pixels.
        width, depth, heads: D, blocks, attention heads.
        patch: side of a token's patch, pixels.
        checkpointing: recompute blocks in the backward pass instead of storing what is inside them.

    Attributes:
        vit: timm's VisionTransformer, without classifier.
        grid: tokens along a side of an image of `image_size`.
        bands, image_size, patch, width.
    """

    def __init__(
        self, *, bands: int, image_size: int, width: int, depth: int, heads: int, patch: int, checkpointing: bool
    ) -> None:
        super().__init__()
        self.bands, self.image_size, self.patch, self.width = bands, image_size, patch, width
        self.grid = image_size // patch
        self.checkpointing = checkpointing
        self.vit = VisionTransformer(
            img_size=image_size,
            patch_size=patch,
            in_chans=bands,
            num_classes=0,
            global_pool="",
            embed_dim=width,
            depth=depth,
            num_heads=heads,
        )
        # A token sums thousands of values: initialised as the matrix that it is, not as a small convolution, its
        # content is of the size of its position, which starts from sines (He et al. 2022 keep both so) but is learned.
        nn.init.xavier_uniform_(self.vit.patch_embed.proj.weight.data.flatten(1))
        nn.init.zeros_(self.vit.patch_embed.proj.bias)
        self.positions.data.copy_(sine_positions(width, self.grid))

    @property
    def positions(self) -> nn.Parameter:
        """The learned positions, (1, 1 + grid * grid, D), the class token's first."""
        positions = self.vit.pos_embed
        assert positions is not None  # timm has transformers without
        return positions

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W), H and W any multiples of the patch, to (B, 1 + N, D).

        Raises:
            UserError: another number of bands, or a size that is not a multiple of the patch.
        """
        return self.encode(self.embed(images))

    def embed(self, images: Tensor) -> Tensor:
        """The patches' tokens (B, N, D) with their positions, before the blocks; see `forward`."""
        check_sizes(images.shape[-2], images.shape[-1], self.patch)
        if images.shape[1] != self.bands:
            raise UserError(
                f"the encoder takes {self.bands} bands",
                key="bands",
                found=images.shape[1],
                remedy="use a model of this sensor, or adapt its weights by wavelength",
            )
        grid = (images.shape[-2] // self.patch, images.shape[-1] // self.patch)
        tokens = self.vit.patch_embed.proj(images).flatten(2).transpose(1, 2)
        return tokens + resize_positions(self.positions, grid, (self.grid, self.grid))[:, 1:]

    def encode(self, tokens: Tensor) -> Tensor:
        """Any of an image's embedded tokens (B, n, D), with the class token before them, through all blocks."""
        assert self.vit.cls_token is not None
        first = (self.vit.cls_token + self.positions[:, :1]).expand(tokens.shape[0], -1, -1)
        tokens = torch.cat([first.to(tokens.dtype), tokens], dim=1)
        for block in self.vit.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return self.vit.norm(tokens)


def check_sizes(height: int, width: int, patch: int, key: str = "image_size") -> None:
    """Refuse images whose sides are not multiples of the patch.

    Raises:
        UserError: naming size, patch, and the nearest sizes that would do.
    """
    for size in (height, width):
        if size < patch or size % patch:
            below, above = size // patch * patch, (size // patch + 1) * patch
            near = f"{below} or {above}" if below else f"{above}"
            raise UserError(
                f"must be a multiple of the token's patch of {patch} pixels",
                key=key,
                found=size,
                remedy=f"take {near} pixels, or a patch that divides {size}",
            )


def build_encoder(
    *, bands: int, image_size: int, preset: str = "small", patch: int = 4, checkpointing: bool = False
) -> Encoder:
    """An encoder of a preset size with random weights.

    Args:
        bands: bands of the images.
        image_size: side of the images in pixels, a multiple of the patch. Images of other sides are taken as well,
            with positions interpolated.
        preset: one of PRESETS.
        patch: side of a token's patch, pixels.
        checkpointing: less memory, a third more time in training.

    Raises:
        UserError: an unknown preset, a size that is not a multiple of the patch, or a number below 1.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    for name, value in (("bands", bands), ("image_size", image_size), ("patch", patch)):
        if value < 1:
            raise UserError("must be at least 1", key=name, found=value)
    check_sizes(image_size, image_size, patch)
    width, depth, heads = PRESETS[preset]
    return Encoder(
        bands=bands,
        image_size=image_size,
        width=width,
        depth=depth,
        heads=heads,
        patch=patch,
        checkpointing=checkpointing,
    )
