"""HSDT: hybrid spectral denoising transformer.

Z. Lai, C. Yan and Y. Fu, "Hybrid Spectral Denoising Transformer with Guided Attention", IEEE/CVF International
Conference on Computer Vision, 2023, arXiv 2303.09040.

A layer has three parts. The separable convolution (S3Conv) adds what two 3 x 3 convolutions within the bands and one
convolution of length 3 across the bands find. Guided spectral self-attention (GSSA) describes each band by the mean of
its features k_d over the image, asks how much band d should take from band j, and mixes the bands so: the weights are
softmax_j(k_d . q_j). The queries q_j are learned, one per band; or they are the band means themselves, which works for
any number of bands. In training one of the two is drawn at random, so that the learned queries guide what the means
come to say. The self-modulated feed-forward network (SM-FFN) adds to a plain one features that are scaled by a sigmoid
of their own, so that regions with more to say speak louder.

Ten such layers form a U: an encoder and a decoder with additive skips that halves the image's sides, never the bands,
and adds what it finds to its input. At the paper's medium width (HSDT-M) it has 0.52 million weights.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hsipipe.tasks.denoising.shared.band_slabs import is_recorded

GUIDED_SHARE = 0.5  # of the training steps, in each layer
SLAB_VOXELS = 2**15  # that the feed-forward network takes at once where no gradient is asked for: it stays in the cache


class SeparableConv(nn.Module):
    """S3Conv: two 3 x 3 convolutions with leaky ReLU within each band, plus one of length 3 across the bands."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.second = nn.Conv3d(outputs, outputs, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.spectral = nn.Conv3d(inputs, outputs, (3, 1, 1), padding=(1, 0, 0), bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, bands, H, W) to (B, outputs, bands, H, W)."""
        spatial = functional.leaky_relu(self.first(features), 0.01, inplace=True)
        spatial = functional.leaky_relu(self.second(spatial), 0.01, inplace=True)
        return (
            spatial.add_(self.spectral(features)) if not torch.is_grad_enabled() else spatial + self.spectral(features)
        )


class Upsample(nn.Module):
    """Double rows and columns linearly, band by band, and convolve."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, bands, H, W) to (B, outputs, bands, 2 H, 2 W)."""
        height, width = features.shape[-2:]
        # Deviation: pixel areas are aligned, not the centres of the corner pixels, so that features do not shift
        # between tiles of different sizes.
        # One image per band and channel: with thousands of channels, torch would reorder the memory first.
        flat = features.flatten(0, 2).unsqueeze(1)
        flat = functional.interpolate(flat, scale_factor=2, mode="bilinear", align_corners=False)
        return self.conv(flat.view(*features.shape[:3], 2 * height, 2 * width))


def spectral_attention(means: Tensor, queries: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """How much each band takes from each: softmax over j of k_d . q_j (+ b_j).

    Args:
        means: k, (B, bands, channels): what the features of each band are on average.
        queries: q, (bands, channels); None: the means themselves.
        bias: b, (bands,), with queries.

    Returns:
        (B, bands, bands), rows sum to 1.
    """
    scores = means @ means.transpose(1, 2) if queries is None else functional.linear(means, queries, bias)
    return scores.softmax(dim=-1)


class GuidedAttention(nn.Module):
    """GSSA, with its shortcut.

    Args:
        channels: of the features.
        guide_bands: number of learned queries; they serve cubes of just this number of bands.
    """

    def __init__(self, channels: int, guide_bands: int) -> None:
        super().__init__()
        self.queries = nn.Linear(channels, guide_bands)
        self.values = nn.Linear(channels, channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)

    def forward(self, features: Tensor, guided: bool) -> Tensor:
        """(B, channels, bands, H, W) to the same shape."""
        means = features.mean(dim=(-2, -1), dtype=torch.float32).transpose(1, 2)
        with torch.autocast(features.device.type, enabled=False):
            # Dot products of means decide through an exponential: float32 also where autocast convolves in bfloat16.
            learned = (self.queries.weight, self.queries.bias) if guided else (None, None)
            weights = spectral_attention(means, *learned).to(features.dtype)
        # Values and output act on channels, the weights on bands: they commute, and one product does for both.
        mixer = self.output.weight @ self.values.weight
        values = functional.conv3d(features, mixer[:, :, None, None, None])
        mixed = weights.to(values.dtype).unsqueeze(1) @ values.flatten(3)
        return mixed.view_as(features) + features


class ModulatedFeedForward(nn.Module):
    """SM-FFN: W_2 gelu(W_1 x) + a sigmoid(g), where a and g are the halves of W_3 x; no shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv3d(channels, 2 * channels, 1)
        self.contract = nn.Conv3d(2 * channels, channels, 1)
        self.modulate = nn.Conv3d(channels, 2 * channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, bands, H, W) to the same shape."""
        if torch.is_grad_enabled() or is_recorded():
            return self._transform(features)
        # Voxel by voxel, so that a whole cube can be taken in slabs, in its own memory.
        for slab in features.split(max(1, SLAB_VOXELS // (features.shape[-2] * features.shape[-1])), dim=2):
            slab.copy_(self._transform(slab))
        return features

    def _transform(self, features: Tensor) -> Tensor:
        return self.contract(functional.gelu(self.expand(features))) + functional.glu(self.modulate(features), dim=1)


class Layer(nn.Module):
    """Convolution, batch normalisation, attention between bands, feed-forward network.

    Args:
        inputs, outputs: channels.
        scale: 1, 0.5 (halve rows and columns) or 2 (double them).
        guide_bands: number of learned queries.
    """

    def __init__(self, inputs: int, outputs: int, *, scale: float, guide_bands: int) -> None:
        super().__init__()
        self.conv: nn.Module
        if scale == 1:
            self.conv = SeparableConv(inputs, outputs)
        elif scale == 2:
            self.conv = Upsample(inputs, outputs)
        else:
            self.conv = nn.Conv3d(inputs, outputs, 3, stride=(1, 2, 2), padding=1, bias=False)
        self.norm = nn.BatchNorm3d(outputs)
        self.attention = GuidedAttention(outputs, guide_bands)
        self.feed_forward = ModulatedFeedForward(outputs)

    def forward(self, features: Tensor, guided: bool, frugal: bool) -> Tensor:
        """(B, inputs, bands, H, W) to (B, outputs, bands, H * scale, W * scale)."""
        # The normalisation stays outside: a second pass would count its batch twice into the running statistics.
        apply: Any = partial(checkpoint, use_reentrant=False) if frugal else lambda part, *given: part(*given)
        return apply(self._transform, self.norm(apply(self.conv, features)), guided)

    def _transform(self, features: Tensor, guided: bool) -> Tensor:
        return self.feed_forward(self.attention(features, guided))


class HSDT(nn.Module):
    """The network of section 3.

    Args:
        channels: width of the first layer; the paper: 8 (HSDT-S), 16 (HSDT-M), 32 (HSDT-L).
        depth: layers of the encoder, and of the decoder; every second one halves (doubles) the image; the paper: 5.
        guide_bands: number of learned queries; they act where the cube has this number of bands, else its bands' own
            means do; the paper: 31.
        checkpointing: recompute what lies between the normalisations in the backward pass instead of storing it.
    """

    def __init__(
        self, *, channels: int = 16, depth: int = 5, guide_bands: int = 31, checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.guide_bands, self.checkpointing = guide_bands, checkpointing
        self.multiple = 2 ** (depth // 2)
        self.head = Layer(1, channels, scale=1, guide_bands=guide_bands)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        width = channels
        for index in range(depth):
            after, scale = (2 * width, 0.5) if index % 2 else (width, 1)
            self.encoder.append(Layer(width, after, scale=scale, guide_bands=guide_bands))
            width = after
        for index in reversed(range(depth)):
            after, scale = (width // 2, 2) if index % 2 else (width, 1)
            self.decoder.append(Layer(width, after, scale=scale, guide_bands=guide_bands))
            width = after
        self.tail = nn.Conv3d(channels, 1, 3, padding=1)
        # Deviation: torch's own initial weights, which start near the identity; with Xavier's, which the authors'
        # training draws, a narrow network spends its first hundreds of steps on undoing its own large output.

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, C, H, W) to the denoised (B, C, H, W), any C, H and W."""
        height, width = noisy.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        features = functional.pad(noisy, padding, mode="replicate").unsqueeze(1)
        skips = [features := self._pass(self.head, features)]
        for layer in self.encoder:
            skips.append(features := self._pass(layer, features))
        skips.pop()  # the innermost features go straight on
        for index, layer in enumerate(self.decoder):
            features = self._pass(layer, features + skips.pop() if index else features)
        residual = self.tail(features + skips.pop()).squeeze(1)
        return noisy + residual[..., :height, :width]

    def _pass(self, layer: nn.Module, features: Tensor) -> Tensor:
        guided = features.shape[2] == self.guide_bands
        if self.training and guided:
            guided = bool(torch.rand(()) < GUIDED_SHARE)
        return layer(features, guided, self.checkpointing and torch.is_grad_enabled())


def build(
    *,
    bands: int | None = None,
    channels: int = 16,
    depth: int = 5,
    guide_bands: int = 31,
    checkpointing: bool = False,
) -> nn.Module:
    """The network: (B, C, H, W) noisy, band-wise scaled to [0, 1], to (B, C, H, W) denoised, any C, H and W.

    Args:
        bands: the number of bands to train on; the network does not depend on it.
        channels, depth, guide_bands, checkpointing: see `HSDT`.

    Raises:
        ValueError: a number below 1.
    """
    if min(channels, depth, guide_bands) < 1 or (bands is not None and bands < 1):
        raise ValueError(
            "bands, channels, depth and guide_bands must be at least 1, got "
            f"{bands}, {channels}, {depth}, {guide_bands}"
        )
    return HSDT(channels=channels, depth=depth, guide_bands=guide_bands, checkpointing=checkpointing)
