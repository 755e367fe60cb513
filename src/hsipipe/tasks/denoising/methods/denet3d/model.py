"""DeNet3D: a stack of 3-D convolutions after HSI-DeNet.

Y. Chang, L. Yan, H. Fang, S. Zhong and W. Liao, "HSI-DeNet: Hyperspectral Image Restoration via Convolutional Neural
Network", IEEE Transactions on Geoscience and Remote Sensing 57(2), 667-682, 2019, doi 10.1109/TGRS.2018.2859203.

The paper stacks 2-D convolutions, each with batch normalisation and a ReLU. This is the 3-D form in which the network
is distributed with public packages and compared as a baseline: the bands are a third axis, and the weights fit any
number of them.

Deviation: 3-D convolutions and these widths; and the stack predicts the image, where the paper's predicts the noise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hsipipe.tasks.denoising.shared.band_slabs import apply_in_slabs

WIDTHS = (1, 1, 1, 2, 2, 2, 4, 2, 1, 1, 1)  # of the inner layers, in multiples of `channels`


class DeNet3D(nn.Module):
    """Convolution and ReLU, eleven times convolution, batch normalisation and ReLU, convolution.

    Args:
        channels: width of the first layer; the widest has four times as many; the usual: 32.
        checkpointing: keep only what lies between the layers' convolutions and normalisations for the backward pass.
    """

    def __init__(self, *, channels: int = 32, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        widths = [channels * factor for factor in WIDTHS]
        self.first = nn.Conv3d(1, channels, 3, padding=1)
        self.convs = nn.ModuleList(
            nn.Conv3d(before, after, 3, padding=1, bias=False)
            for before, after in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm3d(width) for width in widths)
        self.last = nn.Conv3d(widths[-1], 1, 3, padding=1, bias=False)
        self.halo = 2 + len(widths)

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, C, H, W) to the denoised (B, C, H, W), any C, H and W."""
        if self.training or torch.is_grad_enabled():
            return self._predict(noisy)
        return apply_in_slabs(self._predict, noisy, halo=self.halo)

    def _predict(self, noisy: Tensor) -> Tensor:
        frugal = self.checkpointing and torch.is_grad_enabled()
        features = self.first(noisy.unsqueeze(1))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            # The normalisation stays outside: a second pass would count its batch twice into the running statistics.
            if frugal:
                features = norm(checkpoint(_rectify_and_convolve, conv, features, use_reentrant=False))
            else:
                features = norm(conv(functional.relu(features, inplace=True)))
        return self.last(functional.relu(features)).squeeze(1)


def _rectify_and_convolve(conv: nn.Module, features: Tensor) -> Tensor:
    return conv(functional.relu(features))


def build(*, bands: int | None = None, channels: int = 32, checkpointing: bool = False) -> nn.Module:
    """The network: (B, C, H, W) noisy, band-wise scaled to [0, 1], to (B, C, H, W) denoised, any C, H and W.

    Args:
        bands: the number of bands to train on; the network does not depend on it.
        channels, checkpointing: see `DeNet3D`.

    Raises:
        ValueError: a number below 1.
    """
    if channels < 1 or (bands is not None and bands < 1):
        raise ValueError(f"bands and channels must be at least 1, got {bands}, {channels}")
    return DeNet3D(channels=channels, checkpointing=checkpointing)
