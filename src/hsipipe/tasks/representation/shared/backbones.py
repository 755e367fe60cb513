"""The network behind the spectral stem: any image model of timm, or a small one of ours for minutes on a CPU.

timm takes seconds to import, and is imported only where one of its models is asked for.
"""

from __future__ import annotations

import difflib
import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hsipipe.errors import UserError
from hsipipe.tasks.representation.shared import pretrained as weights

log = logging.getLogger(__name__)

# Channels of the stages of our own networks; every stage halves the rows and columns.
OWN = {"tiny": (32, 64), "small": (48, 96, 128)}
# A timm model either takes images of any size, or is asked to, by one of these.
FREE_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


class Residual(nn.Module):
    """A 3 x 3 convolution per channel, normalised over groups of channels, then a 1 x 1 one, added to the input.

    Group normalisation does not depend on the batch (Y. Wu, K. He, "Group Normalization", ECCV 2018); only the branch
    is normalised, so that the brightness of a specimen reaches the embedding.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.GroupNorm(8, channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, D, h, w) to the same shape."""
        return maps + self.mix(functional.gelu(self.norm(self.spatial(maps))))


class SmallBackbone(nn.Module):
    """A convolutional network of few parameters, for images of any size.

    Args:
        channels: of the images.
        widths: channels of each stage; the last is the dimension of the embedding. Each stage is a 3 x 3 convolution of
            stride 2 and a residual block.
    """

    def __init__(self, *, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.dimension, self.checkpointing = widths[-1], False
        self.stages = nn.ModuleList()
        for before, after in zip((channels, *widths), widths, strict=False):
            down = nn.Conv2d(before, after, 3, stride=2, padding=1)
            self.stages.append(nn.Sequential(down, nn.GELU(), Residual(channels=after)))
            nn.init.kaiming_normal_(down.weight, nonlinearity="relu")
            nn.init.zeros_(down.bias)  # type: ignore[arg-type]

    def feature_map(self, images: Tensor) -> Tensor:
        """Images (B, channels, H, W) to (B, D, h, w)."""
        for stage in self.stages:
            if self.checkpointing and torch.is_grad_enabled():
                images = checkpoint(stage, images, use_reentrant=False)
            else:
                images = stage(images)
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, channels, H, W) to (B, D): the mean of the feature map."""
        return self.feature_map(images).mean(dim=(2, 3))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each stage in the backward pass instead of storing what is inside it."""
        self.checkpointing = enable


class TimmBackbone(nn.Module):
    """A model of timm without its classifier. Attribute `dimension`: D.

    Args:
        network: from `timm.create_model(..., num_classes=0)`.
    """

    network: Any

    def __init__(self, *, network: Any) -> None:
        super().__init__()
        self.network = network
        self.dimension = int(getattr(network, "head_hidden_size", None) or network.num_features)
        embedding = getattr(network, "patch_embed", None)
        # Models with a pyramid of stages (Swin) have a patch embedding too, but give a map, not tokens.
        self.tokens = embedding is not None and hasattr(network, "num_prefix_tokens")
        self.patch = tuple(network.patch_embed.patch_size) if self.tokens else (1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, channels, H, W) to (B, D), pooled as the model does it: a mean, or the class token."""
        self._check(images)
        return self.network(images)

    def feature_map(self, images: Tensor) -> Tensor:
        """Images (B, channels, H, W) to (B, D, h, w); of a transformer the patches' tokens, without class and register
        tokens."""
        self._check(images)
        features = self.network.forward_features(images)
        if self.tokens:
            rows, columns = images.shape[-2] // self.patch[0], images.shape[-1] // self.patch[1]
            patches = features[:, self.network.num_prefix_tokens :]
            return patches.transpose(1, 2).unflatten(2, (rows, columns))
        if getattr(self.network, "output_fmt", "NCHW") == "NHWC":
            features = features.movedim(-1, 1)
        if features.shape[1] != self.dimension and hasattr(self.network, "conv_head"):
            # MobileNetV3 widens after pooling; its 1 x 1 convolution does the same at every position of the map.
            features = self.network.act2(self.network.norm_head(self.network.conv_head(features)))
        return features

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """As timm does it for this model.

        Raises:
            UserError: the model has no such thing.
        """
        try:
            self.network.set_grad_checkpointing(enable)
        except (AttributeError, AssertionError) as error:
            remedy = "turn it off, or choose another backbone"
            message = "this backbone has no gradient checkpointing"
            raise UserError(message, key="checkpointing", remedy=remedy) from error

    def _check(self, images: Tensor) -> None:
        height, width = images.shape[-2:]
        if height % self.patch[0] or width % self.patch[1]:
            raise UserError(
                f"rows and columns of the images must be multiples of the backbone's patch of {self.patch[0]} pixels",
                key="image_size",
                found=f"{height} x {width}",
            )


def build_backbone(name: str, *, channels: int, pretrained: bool | str | None, matrix: Tensor | None) -> nn.Module:
    """A network from images (B, channels, H, W) to (B, D), with `feature_map`, `dimension`, `set_grad_checkpointing`.

    Args:
        name: `tiny`, `small`, or the name of a model of timm.
        channels: of the images.
        pretrained: True, timm's weights (from its cache, or downloaded); a path, a file of weights in the network's
            own names; False, random ones; None, random ones without a word. Where there are no weights of timm to be
            had, they are random, and the log says so.
        matrix: (channels, 3), how the filters of a first layer of three channels are spread over the channels. None:
            a first layer of random weights has as many filters as channels; a pretrained one is tiled.

    Raises:
        UserError: an unknown name, a model that cannot have `channels`, or a file that does not fit the network.
    """
    state = weights.read_backbone(pretrained) if isinstance(pretrained, str) else None
    known = matrix is not None or pretrained not in (None, False)
    base = 3 if known else channels
    network: nn.Module
    if name in OWN:
        network = SmallBackbone(channels=base, widths=OWN[name])
        if pretrained is True:
            log.warning("backbone %s: there are no pretrained weights of it; its weights are random", name)
    else:
        network = TimmBackbone(network=_create(name, channels=base, pretrained=pretrained is True))
    first = weights.first_convolution(network, base)
    if state is not None:
        weights.load_backbone(network, first, state, file=str(pretrained))
    if known:
        weights.spread(first, channels, matrix)
    if pretrained is False:
        log.info("backbone %s: its weights are random", name)
    return network


def _create(name: str, *, channels: int, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(name.split(".")[0]):
        near = difflib.get_close_matches(name, [*OWN, *timm.list_models()], n=3, cutoff=0.5)
        hint = f"the nearest are {', '.join(near)}" if near else f"take {' or '.join(OWN)}, or a model of timm"
        raise UserError(f"unknown backbone {name!r}", key="backbone", remedy=hint)
    if pretrained:
        try:
            with weights.cache_only_where_offline():
                return _sized(name, channels, True)
        except (OSError, RuntimeError) as error:  # no connection and not in the cache; or timm has none for this model
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log.warning("backbone %s: no pretrained weights to be had, its weights are random (%s)", name, reason)
    return _sized(name, channels, False)


def _sized(name: str, channels: int, pretrained: bool) -> nn.Module:
    import timm

    for index, size in enumerate(FREE_SIZE):
        try:
            return timm.create_model(name, pretrained=pretrained, num_classes=0, in_chans=channels, **size)
        except TypeError:  # the model has no such argument
            if index == len(FREE_SIZE) - 1:
                raise
    raise AssertionError("one of the sizes always returns or raises")
