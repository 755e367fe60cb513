"""DeNet: a stack of 2-D convolutions over a window of neighbouring bands, after HSI-DeNet.

Y. Chang, L. Yan, H. Fang, S. Zhong and W. Liao, "HSI-DeNet: Hyperspectral Image Restoration via Convolutional Neural
Network", IEEE Transactions on Geoscience and Remote Sensing 57(2), 667-682, 2019, doi 10.1109/TGRS.2018.2859203.

The bands of a window are the channels of the first and the last convolution; between them lie convolutions with batch
normalisation and ReLU. A cube with more bands is covered by windows, and where they overlap their predictions are
averaged.

Deviation: the form in which the network is distributed with public packages and compared as a baseline: ten bands at a
time, and the stack predicts the image, where the paper's predicts the noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hsipipe.tasks.denoising.shared.band_slabs import is_recorded

# Width in multiples of `channels`, and dilation, of the inner layers.
LAYERS = ((1, 1),) * 3 + ((2, 1),) * 3 + ((4, 2),) * 3 + ((2, 1),) * 3 + ((1, 1),) * 4
CHUNK_PIXELS = 2**18  # pixels of all windows that evaluation takes at once: 256 MiB in the widest layer of 256 channels


def window_bands(bands: int, window: int, overlap: int) -> Tensor:
    """Which bands each window holds: (windows, window), evenly spread, neighbours sharing at least `overlap` bands.

    With fewer bands than a window there is one window, extended by reflection; a single band is repeated.
    """
    if bands <= window:
        period = max(1, 2 * (bands - 1))
        index = torch.arange(window) % period
        return torch.minimum(index, period - index)[None] if bands > 1 else torch.zeros(1, window, dtype=torch.long)
    count = math.ceil((bands - overlap) / (window - overlap))
    starts = [round(index * (bands - window) / (count - 1)) for index in range(count)]
    return torch.tensor(starts)[:, None] + torch.arange(window)


class DeNet(nn.Module):
    """Convolution and ReLU, sixteen times convolution, batch normalisation and ReLU, convolution.

    Args:
        window: bands that the convolutions take at once; the usual: 10.
        channels: width of the first layer; the widest has four times as many; the usual: 64.
        overlap: least number of bands that neighbouring windows share.
        checkpointing: keep only what lies between the layers' convolutions and normalisations for the backward pass.
    """

    def __init__(self, *, window: int = 10, channels: int = 64, overlap: int = 2, checkpointing: bool = False) -> None:
        super().__init__()
        self.window, self.overlap, self.checkpointing = window, overlap, checkpointing
        widths = [channels * factor for factor, _ in LAYERS]
        self.first = nn.Conv2d(window, channels, 3, padding=1)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation, bias=False)
            for before, after, (_, dilation) in zip([channels, *widths[:-1]], widths, LAYERS, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.last = nn.Conv2d(widths[-1], window, 3, padding=1, bias=False)

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, C, H, W) to the denoised (B, C, H, W), any C, H and W."""
        bands = int(noisy.shape[1])  # a number also where torch records the network, which then takes just these bands
        index = window_bands(bands, self.window, self.overlap)
        covered = index.flatten().bincount(minlength=bands).view(1, -1, 1, 1).to(noisy.device)
        index = index.to(noisy.device)
        windows = noisy[:, index].flatten(0, 1)
        if self.training or is_recorded():
            # In training all windows stay together, because they share the statistics of the batch normalisation.
            predicted = self._predict(windows)
        else:
            chunk = max(1, CHUNK_PIXELS // (noisy.shape[-2] * noisy.shape[-1]))
            predicted = torch.cat([self._predict(part) for part in windows.split(chunk)])
        predicted = predicted.unflatten(0, (-1, len(index))).flatten(1, 2)
        if len(index) == 1:
            return predicted[:, :bands]
        return torch.zeros_like(noisy, dtype=predicted.dtype).index_add(1, index.flatten(), predicted) / covered

    def _predict(self, windows: Tensor) -> Tensor:
        """(N, window, H, W) to the same shape."""
        frugal = self.checkpointing and torch.is_grad_enabled()
        features = self.first(windows)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            # The normalisation stays outside: a second pass would count its batch twice into the running statistics.
            if frugal:
                features = norm(checkpoint(_rectify_and_convolve, conv, features, use_reentrant=False))
            else:
                features = norm(conv(functional.relu(features, inplace=True)))
        return self.last(functional.relu(features))


def _rectify_and_convolve(conv: nn.Module, features: Tensor) -> Tensor:
    return conv(functional.relu(features))


def build(
    *,
    bands: int | None = None,
    window: int = 10,
    channels: int = 64,
    overlap: int = 2,
    checkpointing: bool = False,
) -> nn.Module:
    """The network: (B, C, H, W) noisy, band-wise scaled to [0, 1], to (B, C, H, W) denoised, any C, H and W.

    Args:
        bands: the number of bands of the case; the network does not depend on it.
        window, channels, overlap, checkpointing: see `DeNet`.

    Raises:
        ValueError: a number below 1, or an overlap that is not below `window`.
    """
    if min(window, channels) < 1 or (bands is not None and bands < 1):
        raise ValueError(f"bands, window and channels must be at least 1, got {bands}, {window}, {channels}")
    if not 0 <= overlap < window:
        raise ValueError(f"overlap must be at least 0 and below the window of {window} bands, got {overlap}")
    return DeNet(window=window, channels=channels, overlap=overlap, checkpointing=checkpointing)
