"""A frozen linear layer whose weights take four bits each: the base of QLoRA.

T. Dettmers, A. Pagnoni, A. Holtzman and L. Zettlemoyer, "QLoRA: Efficient Finetuning of Quantized LLMs", NeurIPS 2023,
arXiv 2305.14314, section 3. The weights are cut into blocks of 64; each block is divided by its largest magnitude, and
each value becomes the nearest of 16 levels: quantiles of the normal distribution (NF4) or a 4-bit float (FP4). Double
quantisation stores the blocks' magnitudes themselves in eight bits, in blocks of 256: 4.13 bits a weight, not 4.5.

Packing and unpacking is bitsandbytes' work; everything that it needs is kept here as plain buffers of the module, so
that a state dictionary, a copy or a move to another device takes them along like any other tensor.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from hsipipe.errors import UserError, unknown

FORMATS = ("nf4", "fp4")
BLOCK = 64  # weights per scale, as in the paper
NESTED_BLOCK = 256  # scales per scale of scales; bitsandbytes' product takes no other

_NO_FUSED_KERNEL = "Failed to load CPU gemm_4bit_forward"


def load_bitsandbytes() -> Any:
    """The package bitsandbytes (six seconds at the first call).

    Raises:
        UserError: it is not installed.
    """

    def is_of_use(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_NO_FUSED_KERNEL)

    # On some processors the package warns that it found no optional kernel to download, which nothing here would use.
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    log.addFilter(is_of_use)
    try:
        import bitsandbytes
    except ImportError as error:
        raise UserError(
            "4-bit weights need the package bitsandbytes, which cannot be imported",
            found=str(error),
            remedy='pip install "hsipipe[gpu]", or leave quantisation out',
        ) from error
    finally:
        log.removeFilter(is_of_use)
    return bitsandbytes


class _Product(torch.autograd.Function):
    """W x + b, for which the weights are dequantised now and again for the gradient."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: QuantisedLinear, bias: Tensor | None) -> Tensor:
        ctx.layer = layer
        return functional.linear(inputs, layer.weight(inputs.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient @ ctx.layer.weight(gradient.dtype), None, None


class QuantisedLinear(nn.Module):
    """y = W x + b, as `nn.Linear`, with W in four bits and both frozen; gradients flow to x alone.

    The weights are dequantised for the product and again for the gradient, never kept: with few tokens in a batch a
    layer so costs a little time, with many next to none. `from_linear` quantises a layer; the constructor makes one of
    zeros, to load a state into.

    Args:
        inputs, outputs: sizes of x and y.
        bias: whether there is a bias; it stays in full precision.
        quantisation: nf4 or fp4.
        double_quantisation: keep the blocks' scales in eight bits.

    Attributes:
        packed: (ceil(outputs * inputs / 2), 1) uint8, two weights each, row by row.
        scales: (blocks,) largest magnitude per block of 64; uint8 under double quantisation, otherwise float32.
        nested_scales, offset: (ceil(blocks / 256),) and () float32, which decode `scales`; double quantisation only.

    Raises:
        UserError: an unknown format, or bitsandbytes is not installed.
    """

    packed: Tensor
    scales: Tensor
    nested_scales: Tensor
    nested_levels: Tensor
    offset: Tensor

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        bias: bool = True,
        quantisation: str = "nf4",
        double_quantisation: bool = True,
    ) -> None:
        super().__init__()
        if quantisation not in FORMATS:
            raise unknown("4-bit format", quantisation, FORMATS)
        library = load_bitsandbytes().functional
        self.in_features, self.out_features = inputs, outputs
        self.quantisation, self.double_quantisation = quantisation, double_quantisation
        blocks = math.ceil(inputs * outputs / BLOCK)
        self.register_buffer("packed", torch.zeros(math.ceil(inputs * outputs / 2), 1, dtype=torch.uint8))
        self.register_buffer("scales", torch.zeros(blocks, dtype=torch.uint8 if double_quantisation else torch.float32))
        if double_quantisation:
            self.register_buffer("nested_scales", torch.zeros(math.ceil(blocks / NESTED_BLOCK)))
            self.register_buffer("offset", torch.zeros(()))
            # A constant table, the same for every layer: it moves with the module, but is no part of its state.
            self.register_buffer("nested_levels", library.create_dynamic_map(), persistent=False)
        self.bias = nn.Parameter(torch.zeros(outputs), requires_grad=False) if bias else None

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, *, quantisation: str = "nf4", double_quantisation: bool = True
    ) -> QuantisedLinear:
        """Quantise a layer, on its device; the layer itself is left as it is.

        Raises:
            UserError: an unknown format, or bitsandbytes is not installed.
        """
        layer = cls(
            inputs=linear.in_features,
            outputs=linear.out_features,
            bias=linear.bias is not None,
            quantisation=quantisation,
            double_quantisation=double_quantisation,
        ).to(linear.weight.device)
        packed, state = load_bitsandbytes().functional.quantize_4bit(
            linear.weight.detach().float().contiguous(),
            blocksize=BLOCK,
            quant_type=quantisation,
            compress_statistics=double_quantisation,
        )
        layer.packed.copy_(packed)
        layer.scales.copy_(state.absmax)
        if double_quantisation:
            layer.nested_scales.copy_(state.state2.absmax)
            layer.offset.copy_(state.offset)
        if layer.bias is not None:
            layer.bias.data = linear.bias.detach().clone()
        return layer

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs), in the precision of autocast or of the input."""
        return self.product(inputs, self.bias)

    def product(self, inputs: Tensor, bias: Tensor | None = None) -> Tensor:
        """W x, and a frozen bias (outputs,) if one is given: (..., inputs) to (..., outputs)."""
        kind = inputs.device.type
        if torch.is_autocast_enabled(kind):  # which does not know the operators of bitsandbytes
            inputs = inputs.to(torch.get_autocast_dtype(kind))
        bias = None if bias is None else bias.to(inputs.dtype)
        if kind == "cuda" and self.in_features % BLOCK == 0:  # its fused kernel takes whole blocks only
            state = self._state(inputs.dtype, (self.out_features, self.in_features))
            return load_bitsandbytes().matmul_4bit(inputs, self.packed, state, bias=bias)
        return _Product.apply(inputs, self, bias)

    def weight(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The dequantised weights, (outputs, inputs)."""
        # As one long row: up to version 0.50 at least, the CPU kernel of bitsandbytes takes the scales of other blocks
        # if a row is longer than a block and not a multiple of it, which triples the error.
        state = self._state(dtype, (1, 2 * len(self.packed)))
        flat = load_bitsandbytes().functional.dequantize_4bit(self.packed, state).flatten()
        return flat[: self.out_features * self.in_features].view(self.out_features, self.in_features)

    def dequantised(self) -> nn.Linear:
        """A plain layer, frozen, that computes the same."""
        weight = self.weight()
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device=weight.device)
        linear.requires_grad_(False)
        linear.weight.copy_(weight)
        if self.bias is not None:
            linear.bias.copy_(self.bias)
        return linear

    @property
    def quantised_parameters(self) -> int:
        """Weights in four bits: parameters of the layer that `parameters()` does not list."""
        return self.in_features * self.out_features

    def extra_repr(self) -> str:
        """Sizes and format, for printing."""
        double = ", double" if self.double_quantisation else ""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, {self.quantisation}{double}"

    def _state(self, dtype: torch.dtype, shape: tuple[int, int]) -> Any:
        """What bitsandbytes needs to know about the buffers, to unpack them to `dtype` and `shape`."""
        library = load_bitsandbytes().functional
        nested: dict[str, Any] = {}
        if self.double_quantisation:
            nested["offset"] = self.offset
            nested["state2"] = library.QuantState(
                absmax=self.nested_scales, code=self.nested_levels, blocksize=NESTED_BLOCK, dtype=torch.float32
            )
        return library.QuantState(
            absmax=self.scales,
            shape=torch.Size(shape),
            blocksize=BLOCK,
            quant_type=self.quantisation,
            dtype=dtype,
            **nested,
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantisedLinear:
        """Move, but never cast, the scales: bitsandbytes wants float32, and rounding them would round every weight."""
        before = {name: tensor for name, tensor in self.named_buffers(recurse=False) if tensor.is_floating_point()}
        super()._apply(fn, recurse)
        for name, tensor in before.items():
            moved = getattr(self, name)
            if moved.dtype != tensor.dtype:
                setattr(self, name, tensor.to(moved.device))
        return self
