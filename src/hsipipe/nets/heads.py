"""Heads: from a transformer's features back to an image.

A head is an nn.Module made by `Head(bands=..., patch=..., width=...)` and called with features (B, width, h, w) and
the noisy image (B, bands, h * patch, w * patch); it returns a denoised image of the noisy one's shape. One whose
constructor takes `channels` (int or None: its own) can be made narrower or wider. To add a head, write such a class
and enter it in HEADS; the method `vit` names its heads in the `choices` of its method.yaml.

`fc`, `conv`, `residual` and `unet` are those that a study of low-rank adaptation for denoising EnMAP images compares;
they do not look at the noisy image. All details finer than a patch then pass through `width` numbers per token.
`skip` does look at it.
"""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsipipe.errors import UserError, unknown
from hsipipe.nets.vit import unpatchify

PAPER_CHANNELS = 256  # features of the finer scales of the paper's U-Net; half of what its `conv` has inside


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _enlarge(features: Tensor, patch: int) -> Tensor:
    """Features (B, D, h, w) at every pixel: bilinear, (B, D, h * patch, w * patch)."""
    return functional.interpolate(features, scale_factor=patch, mode="bilinear", align_corners=False)


class LinearHead(nn.Module):
    """`fc`: each token gives the pixels of its patch by one linear map."""

    def __init__(self, *, bands: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.fc = nn.Linear(width, bands * patch * patch)

    def forward(self, features: Tensor, noisy: Tensor) -> Tensor:  # noqa: ARG002  (all heads are called alike)
        """(B, D, h, w) to (B, C, h * patch, w * patch)."""
        tokens = features.flatten(2).transpose(1, 2)
        return unpatchify(self.fc(tokens), self.patch, (features.shape[-2], features.shape[-1]))


class ConvHead(nn.Module):
    """`conv`: two 3 x 3 convolutions on the enlarged features, with 2 * `channels` (the paper: 512) between them."""

    def __init__(self, *, bands: int, patch: int, width: int, channels: int | None = None) -> None:
        super().__init__()
        self.patch = patch
        hidden = 2 * (PAPER_CHANNELS if channels is None else channels)
        self.conv = nn.Sequential(_conv(width, hidden), nn.ReLU(inplace=True), _conv(hidden, bands))

    def forward(self, features: Tensor, noisy: Tensor) -> Tensor:  # noqa: ARG002
        """(B, D, h, w) to (B, C, h * patch, w * patch)."""
        return self.conv(_enlarge(features, self.patch))


class ResidualBlock(nn.Module):
    """x + convolution of the rectified convolution of x, 3 x 3 each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), nn.ReLU(inplace=True), _conv(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape."""
        return features + self.body(features)


class ResidualHead(nn.Module):
    """`residual`: a convolution of the enlarged features to the bands, then three residual blocks."""

    def __init__(self, *, bands: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.first = _conv(width, bands)
        self.blocks = nn.Sequential(*(ResidualBlock(bands) for _ in range(3)))

    def forward(self, features: Tensor, noisy: Tensor) -> Tensor:  # noqa: ARG002
        """(B, D, h, w) to (B, C, h * patch, w * patch)."""
        return self.blocks(self.first(_enlarge(features, self.patch)))


class UNetHead(nn.Module):
    """`unet`: a U-Net of three scales on the enlarged features.

    Args:
        bands, patch, width: as for all heads.
        channels: features of the two finer scales, half of those of the coarsest; None takes the paper's 256.
    """

    def __init__(self, *, bands: int, patch: int, width: int, channels: int | None = None) -> None:
        super().__init__()
        self.patch = patch
        fine = PAPER_CHANNELS if channels is None else channels
        coarse = 2 * fine
        self.first = self._layer(width, fine)
        self.down1, self.down2 = self._layer(fine, fine), self._layer(fine, coarse)
        self.bottom = nn.Sequential(self._layer(coarse, coarse), self._layer(coarse, coarse))
        self.up2 = nn.ConvTranspose2d(coarse, coarse, 2, stride=2)
        self.merge2 = self._layer(coarse + fine, fine)
        self.up1 = nn.ConvTranspose2d(fine, fine, 2, stride=2)
        self.merge1 = self._layer(fine + fine, fine)
        self.last = _conv(fine, bands)

    @staticmethod
    def _layer(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(_conv(inputs, outputs), nn.ReLU(inplace=True))

    def forward(self, features: Tensor, noisy: Tensor) -> Tensor:
        """(B, D, h, w) to (B, C, h * patch, w * patch), both sides multiples of 4.

        Raises:
            UserError: an image that cannot be halved twice.
        """
        if noisy.shape[-2] % 4 or noisy.shape[-1] % 4:
            raise UserError(
                "head `unet` halves the image twice",
                key="image_size",
                found=f"{noisy.shape[-2]} x {noisy.shape[-1]} pixels",
                remedy="take a multiple of 4, or another head",
            )
        whole = self.first(_enlarge(features, self.patch))
        half = functional.max_pool2d(self.down1(whole), 2)
        quarter = functional.max_pool2d(self.down2(half), 2)
        half = self.merge2(torch.cat([self.up2(self.bottom(quarter)), half], dim=1))
        whole = self.merge1(torch.cat([self.up1(half), whole], dim=1))
        return self.last(whole)


class SkipHead(nn.Module):
    """`skip`: drawn from the features and the noisy image together.

    A linear map gives each token `channels` values per pixel of its patch; a 1 x 1 convolution projects the spectra of
    the noisy image onto as many directions, which averages their noise. A 3 x 3 convolution joins the two, two residual
    blocks follow, and a last convolution gives all bands. The noisy image itself is added with a gain per band, zero at
    first: under weak noise it is nearly the answer; under strong noise a sum of few directions could not cancel its
    noise, which lies in as many as there are bands.

    Args:
        bands, patch, width: as for all heads.
        channels: features per pixel; None takes a sixth of `width`, at least 16: 64 for the preset `small`.
    """

    def __init__(self, *, bands: int, patch: int, width: int, channels: int | None = None) -> None:
        super().__init__()
        self.patch = patch
        channels = max(16, width // 6) if channels is None else channels
        self.tokens = nn.Linear(width, channels * patch * patch)
        self.pixels = nn.Conv2d(bands, channels, 1)
        self.join = nn.Sequential(_conv(2 * channels, channels), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(ResidualBlock(channels), ResidualBlock(channels))
        self.last = _conv(channels, bands)
        self.gain = nn.Parameter(torch.zeros(bands))

    def forward(self, features: Tensor, noisy: Tensor) -> Tensor:
        """(B, D, h, w) and (B, C, h * patch, w * patch) to the latter's shape."""
        grid = (features.shape[-2], features.shape[-1])
        drawn = unpatchify(self.tokens(features.flatten(2).transpose(1, 2)), self.patch, grid)
        joined = self.join(torch.cat([drawn, self.pixels(noisy)], dim=1))
        return torch.addcmul(self.last(self.blocks(joined)), self.gain[:, None, None], noisy)


HEADS: dict[str, type[nn.Module]] = {
    "fc": LinearHead,
    "conv": ConvHead,
    "residual": ResidualHead,
    "unet": UNetHead,
    "skip": SkipHead,
}


def build_head(name: str, *, bands: int, patch: int, width: int, channels: int | None = None) -> nn.Module:
    """A head by name; call it with (features, noisy).

    Args:
        name: one of HEADS.
        bands: bands of the image.
        patch: side of a token's patch, pixels.
        width: width of the tokens.
        channels: features per pixel inside a head that leaves them open (`conv`, `unet`, `skip`); None: its own.

    Raises:
        UserError: an unknown name, `channels` for a head that has no such width, or below 1.
    """
    if name not in HEADS:
        raise unknown("head", name, HEADS)
    if channels is None:
        return HEADS[name](bands=bands, patch=patch, width=width)
    open_heads = [other for other, made in HEADS.items() if "channels" in inspect.signature(made).parameters]
    if name not in open_heads:
        raise UserError(
            f"head `{name}` has no width of its own to choose",
            key="head_channels",
            found=channels,
            remedy=f"leave it null, or take one of the heads {', '.join(open_heads)}",
        )
    if channels < 1:
        raise UserError("must be at least 1", key="head_channels", found=channels)
    return HEADS[name](bands=bands, patch=patch, width=width, channels=channels)
