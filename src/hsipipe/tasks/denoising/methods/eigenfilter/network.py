"""The learned spatial filter: a small U-Net that corrects the eigenimages of a scene together.

The same weights go over every eigenimage, at half the resolution (2 x 2 pixels become channels, as in K. Zhang, W. Zuo
and L. Zhang, FFDNet, IEEE Transactions on Image Processing 27(9), 2018, doi:10.1109/TIP.2018.2839891), so any number of
bands and of eigenimages will do. In every block an eigenimage also sees the mean of the features of all (M. Zaheer et
al., Deep Sets, NeurIPS 2017), since edges lie in the same places, and the mean of its own features down each column,
since what is left of a stripe is constant there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MULTIPLE = 4  # sides are padded to a multiple: of the two halvings
LARGEST_DIFFERENCE = 6.0  # noise levels; a filter that removed more had its reason


class Block(nn.Module):
    """x + what 3 x 3 convolutions, the other eigenimages and the columns tell; nothing at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.others = nn.Conv2d(channels, channels, 1)
        self.columns = nn.Conv2d(channels, channels, 1)
        for layer in (self.second, self.others, self.columns):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, count: int) -> Tensor:
        """(B * count, F, h, w) to the same, `count` eigenimages to a scene."""
        inner = functional.relu(self.first(features))
        change = self.second(inner) + self.columns(inner.mean(2, keepdim=True))
        if count > 1:
            joint = self.others(inner.unflatten(0, (-1, count)).mean(1))
            change = change + joint.repeat_interleave(count, 0)
        return features + change


class FilterNetwork(nn.Module):
    """Corrects filtered eigenimages by what the unfiltered ones still tell.

    Args:
        channels: features at half the resolution; twice as many at a quarter.
        blocks: blocks on each of the three stages.
    """

    def __init__(self, *, channels: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.head = nn.Conv2d(4 * 4, channels, 3, padding=1)
        self.encoder = nn.ModuleList(Block(channels) for _ in range(blocks))
        self.down = nn.Conv2d(channels, 2 * channels, 2, stride=2)
        self.bottom = nn.ModuleList(Block(2 * channels) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        self.decoder = nn.ModuleList(Block(channels) for _ in range(blocks))
        self.tail = nn.Conv2d(channels, 2 * 4, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, coefficients: Tensor, deviation: Tensor, filtered: Tensor, striped: Tensor) -> Tensor:
        """Better eigenimages (B, K, H, W), at first the filtered ones.

        Args:
            coefficients, deviation, filtered: (B, K, H, W) in units of the noise: before the filter, the standard
                deviation of their noise, and after it.
            striped: (B, W) 1 in columns that had stripes, else 0.
        """
        count, height, width = coefficients.shape[1:]
        removed = coefficients - filtered
        columns = striped[:, None, None, :].to(filtered).expand_as(filtered)
        # compressed, since strong eigenimages reach hundreds of noise levels
        seen = [
            (removed / deviation).clamp(-LARGEST_DIFFERENCE, LARGEST_DIFFERENCE) / 2,
            torch.asinh(filtered / 2),
            deviation.log(),
            columns,
        ]
        padding = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        images = functional.pad(torch.stack(seen, 2).flatten(0, 1), padding, mode="replicate")
        features = self.head(functional.pixel_unshuffle(images, 2))
        for block in self.encoder:
            features = block(features, count)
        below = self.down(features)
        for block in self.bottom:
            below = block(below, count)
        features = features + self.up(below)
        for block in self.decoder:
            features = block(features, count)
        change = functional.pixel_shuffle(self.tail(features).float(), 2)[..., :height, :width]
        own, share = change.unflatten(0, (-1, count)).unbind(2)
        return filtered + own * deviation + torch.tanh(share) * removed
