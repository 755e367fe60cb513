"""Heads between an encoder and a loss: projection (SimCLR), expander (VICReg), and the head of local features.

Heads are for training alone; what is evaluated and embedded is the encoder's output, before the head.
"""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn

from hsipipe.errors import UserError, unknown

NORMS: dict[str, str] = {
    "auto": "batch from a batch of 16 on, layer below",
    "batch": "over the samples of the batch (for maps: and their places), as in the papers",
    "layer": "over the features of each sample (for maps: of each place)",
    "group": "over groups of features of each sample (for maps: of all its places)",
    "none": "no normalisation",
}
# Below it the statistics of a batch are noise.
SMALLEST_BATCH_NORM = 16
# Most groups of group normalisation (Y. Wu and K. He, Group Normalization, ECCV 2018, arXiv 1803.08494).
GROUPS = 32


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each place of (B, C, h, w)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise (B, C, h, w) to the same shape."""
        return super().forward(maps.movedim(1, -1)).movedim(-1, 1)


def choose_norm(norm: str, *, batch_size: int | None = None) -> str:
    """The normalisation that "auto" stands for: "layer" below a batch of 16, else "batch"; others as they are.

    Args:
        norm: a key of `NORMS`.
        batch_size: samples in one forward pass (with gradient caching: of one micro-batch); None is large enough.

    Raises:
        UserError: an unknown normalisation, or "batch" with a batch of 1, which it cannot normalise.
    """
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    if norm == "auto":
        return "batch" if batch_size is None or batch_size >= SMALLEST_BATCH_NORM else "layer"
    if norm == "batch" and batch_size is not None and batch_size < 2:
        raise UserError(
            "batch normalisation has nothing to normalise over in a batch of 1",
            key="norm",
            found=norm,
            remedy="take norm: layer, or a larger batch",
        )
    return norm


def projection_head(
    *,
    inputs: int,
    hidden: int | None = None,
    outputs: int = 128,
    layers: int = 2,
    norm: str = "auto",
    batch_size: int | None = None,
) -> nn.Sequential:
    """Projection head of SimCLR: linear layers, each but the last followed by a normalisation and ReLU.

    T. Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, arXiv 2002.05709,
    section 4.2 (2 layers); T. Chen et al., Big Self-Supervised Models are Strong Semi-Supervised Learners, NeurIPS
    2020, arXiv 2006.10029, section 2 (3 layers). Their texts leave the normalisation out; their programs have it.

    Args:
        inputs: features of the encoder, D.
        hidden: features of the hidden layers; None: D.
        outputs: features that the loss sees, d.
        layers: linear layers, at least 1.
        norm: a key of `NORMS`.
        batch_size: samples in one forward pass, for "auto".

    Returns:
        A module from (B, D) to (B, d).
    """
    return _layers(_widths(inputs, hidden, outputs, layers), choose_norm(norm, batch_size=batch_size))


def expander(
    *, inputs: int, outputs: int = 8192, layers: int = 3, norm: str = "auto", batch_size: int | None = None
) -> nn.Sequential:
    """Expander of VICReg: layers of one width, normalisation and ReLU after each but the last.

    A. Bardes, J. Ponce and Y. LeCun, VICReg, ICLR 2022, arXiv 2105.04906, section 4.2 (3 layers of 8192).

    Args:
        inputs: features of the encoder, D.
        outputs: features of each layer, d.
        layers: linear layers, at least 1.
        norm: a key of `NORMS`.
        batch_size: samples in one forward pass, for "auto".

    Returns:
        A module from (B, D) to (B, d).
    """
    return projection_head(
        inputs=inputs, hidden=outputs, outputs=outputs, layers=layers, norm=norm, batch_size=batch_size
    )


def local_head(
    *,
    inputs: int,
    hidden: int | None = None,
    outputs: int = 128,
    layers: int = 2,
    norm: str = "none",
    batch_size: int | None = None,
) -> nn.Sequential:
    """Head of local features: 1x1 convolutions, the same layers for each place; ReLU between them.

    Args:
        inputs: channels of the encoder's feature map, D.
        hidden: channels of the hidden layers; None: D.
        outputs: channels that the loss sees, d.
        layers: convolutions, at least 1.
        norm: a key of `NORMS`.
        batch_size: samples in one forward pass, for "auto".

    Returns:
        A module from (B, D, h, w) to (B, d, h, w).
    """
    return _layers(_widths(inputs, hidden, outputs, layers), choose_norm(norm, batch_size=batch_size), maps=True)


def _widths(inputs: int, hidden: int | None, outputs: int, layers: int) -> list[int]:
    if layers < 1:
        raise UserError("a head needs at least 1 layer", key="layers", found=layers)
    return [inputs, *[inputs if hidden is None else hidden] * (layers - 1), outputs]


def _layers(widths: list[int], norm: str, *, maps: bool = False) -> nn.Sequential:
    if min(widths) < 1:
        raise UserError("each layer of a head needs at least 1 feature", key="head", found=widths)
    parts: list[nn.Module] = []
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        is_last = number == len(widths) - 2
        # A normalisation by mean takes a bias away again.
        bias = is_last or norm in ("none", "layer", "group")
        parts.append(nn.Conv2d(before, after, 1, bias=bias) if maps else nn.Linear(before, after, bias=bias))
        if not is_last:
            parts += [*_norm(norm, after, maps), nn.ReLU()]
    return nn.Sequential(*parts)


def _norm(norm: str, width: int, maps: bool) -> list[nn.Module]:
    if norm == "batch":
        return [nn.BatchNorm2d(width) if maps else nn.BatchNorm1d(width)]
    if norm == "layer":
        return [ChannelNorm(width) if maps else nn.LayerNorm(width)]
    if norm == "group":
        # of at least two features each: one alone, less its mean, is zero
        groups = math.gcd(width, GROUPS)
        return [nn.GroupNorm(groups if width // groups > 1 else max(groups // 2, 1), width)]
    return []
