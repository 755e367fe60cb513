"""MemNet3D: the persistent memory network, with 3-D convolutions over bands, rows and columns.

Y. Tai, J. Yang, X. Liu and C. Xu, "MemNet: A Persistent Memory Network for Image Restoration", IEEE International
Conference on Computer Vision, 2017, doi 10.1109/ICCV.2017.486.

A memory block has two parts. Its recursive unit, a chain of residual blocks, makes the short-term memories H_1 ... H_R;
the long-term memories B_0 ... B_(m-1) are what came out of the feature extraction and of the memory blocks before. Its
gate unit, a convolution of one voxel over all of them, decides how much of each to keep: B_m = W [H_1 ... H_R, B_0 ...
B_(m-1)]. Every convolution takes its input through batch normalisation and a ReLU first. What the last convolution
makes of the last memory is added to the noisy image.

Deviation: the residual blocks of a recursive unit have weights of their own, where the paper's share one set, and the
last memory alone is turned into an image and trained on, where the paper supervises every memory (section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hsipipe.tasks.denoising.shared.band_slabs import apply_in_slabs, is_recorded

Pass = Callable[..., Tensor]
GATE_BANDS = 8  # that the gate unit takes at once where no gradient is asked for


class PreactivatedConv(nn.Module):
    """Batch normalisation, ReLU, and a convolution without bias that keeps the size.

    Args:
        inputs, outputs: channels.
        kernel: side of the kernel along bands, rows and columns.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(inputs)
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, bias=False)

    def forward(self, features: Tensor, apply: Pass | None = None) -> Tensor:
        """(B, inputs, bands, H, W) to (B, outputs, bands, H, W); `apply` calls what follows the normalisation."""
        normed = self.norm(features)
        if apply is None:
            # Normalisation keeps its input, not its output, for the backward pass: the ReLU may overwrite the output.
            return self.conv(functional.relu(normed, inplace=True))
        return apply(self._rectify_and_convolve, normed)

    def _rectify_and_convolve(self, normed: Tensor) -> Tensor:
        return self.conv(functional.relu(normed))


class MemoryBlock(nn.Module):
    """The recursive unit and the gate unit of section 3.2.

    Args:
        channels: of every memory.
        residual_blocks: R, the number of short-term memories.
        long_memories: how many long-term memories the gate is given.
    """

    def __init__(self, channels: int, residual_blocks: int, long_memories: int) -> None:
        super().__init__()
        self.recursive = nn.ModuleList(
            nn.Sequential(PreactivatedConv(channels, channels), PreactivatedConv(channels, channels))
            for _ in range(residual_blocks)
        )
        self.gate = PreactivatedConv((residual_blocks + long_memories) * channels, channels, kernel=1)

    def forward(self, long: Sequence[Tensor], apply: Pass | None = None) -> Tensor:
        """Long-term memories B_0 ... B_(m-1), each (B, channels, bands, H, W), to the next, B_m, of the same shape."""
        features, short = long[-1], []
        for pair in self.recursive:
            inner = features
            for layer in pair.children():
                inner = layer(inner, apply)
            features = inner + features
            short.append(features)
        memories = [*short, *long]
        if torch.is_grad_enabled() or self.training or is_recorded():
            return self.gate(torch.cat(memories, dim=1), apply)
        # The gate decides voxel by voxel: a few bands at a time, all memories side by side would fill a lot of memory.
        slabs = zip(*(memory.split(GATE_BANDS, dim=2) for memory in memories), strict=True)
        return torch.cat([self.gate(torch.cat(slab, dim=1)) for slab in slabs], dim=2)


class MemNet3D(nn.Module):
    """The network of section 3 with 3-D convolutions.

    Args:
        channels: of every memory; the paper: 64 in two dimensions, here 32.
        memory_blocks, residual_blocks: the paper: 6 and 6 in two dimensions, here 2 and 2.
        checkpointing: keep only the input of each convolution's ReLU for the backward pass.
    """

    def __init__(
        self, *, channels: int = 32, memory_blocks: int = 2, residual_blocks: int = 2, checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.halo = 2 + 2 * memory_blocks * residual_blocks
        self.extractor = PreactivatedConv(1, channels)
        self.memory = nn.ModuleList(MemoryBlock(channels, residual_blocks, index + 1) for index in range(memory_blocks))
        self.reconstructor = PreactivatedConv(channels, 1)

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, C, H, W) to the denoised (B, C, H, W), any C, H and W."""
        if self.training or torch.is_grad_enabled():
            return noisy + self._residual(noisy)
        return noisy + apply_in_slabs(self._residual, noisy, halo=self.halo)

    def _residual(self, noisy: Tensor) -> Tensor:
        apply = partial(checkpoint, use_reentrant=False) if self.checkpointing and torch.is_grad_enabled() else None
        long = [self.extractor(noisy.unsqueeze(1), apply)]
        for block in self.memory:
            long.append(block(long, apply))
        return self.reconstructor(long[-1], apply).squeeze(1)


def build(
    *,
    bands: int | None = None,
    channels: int = 32,
    memory_blocks: int = 2,
    residual_blocks: int = 2,
    checkpointing: bool = False,
) -> nn.Module:
    """The network: (B, C, H, W) noisy, band-wise scaled to [0, 1], to (B, C, H, W) denoised, any C, H and W.

    Args:
        bands: the number of bands to train on; the network does not depend on it.
        channels, memory_blocks, residual_blocks, checkpointing: see `MemNet3D`.

    Raises:
        ValueError: a number below 1.
    """
    if min(channels, memory_blocks, residual_blocks) < 1 or (bands is not None and bands < 1):
        raise ValueError(
            "bands, channels, memory_blocks and residual_blocks must be at least 1, got "
            f"{bands}, {channels}, {memory_blocks}, {residual_blocks}"
        )
    return MemNet3D(
        channels=channels,
        memory_blocks=memory_blocks,
        residual_blocks=residual_blocks,
        checkpointing=checkpointing,
    )
