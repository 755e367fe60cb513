"""Lengths and padding of one-dimensional convolutions in the two manners of TensorFlow, VALID and SAME."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from hsipipe.errors import UserError, unknown

PADDINGS = ("VALID", "SAME")


def output_length(length: int, *, width: int, stride: int, padding: str) -> int:
    """The length of a convolution's output: VALID ceil((n - width + 1) / stride), SAME ceil(n / stride).

    Raises:
        UserError: a padding that there is not, or a VALID filter that is wider than its input.
    """
    if padding not in PADDINGS:
        raise unknown("padding", padding, PADDINGS)
    if padding == "SAME":
        return -(-length // stride)
    if length < width:
        remedy = "choose narrower filters, smaller strides, or padding: SAME"
        raise UserError(f"a filter {width} wide does not fit", found=f"an input {length} long", remedy=remedy)
    return (length - width) // stride + 1


def padded_left(length: int, *, width: int, stride: int, padding: str) -> int:
    """The zeros before the input; after it there are as many, and one more where their sum is odd."""
    if padding == "VALID":
        return 0
    count = output_length(length, width=width, stride=stride, padding=padding)
    return max((count - 1) * stride + width - length, 0) // 2


def convolve(signal: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: str) -> Tensor:
    """Convolution of a signal (N, inputs, n) with a weight (outputs, inputs, width)."""
    length, width = signal.shape[2], weight.shape[2]
    count = output_length(length, width=width, stride=stride, padding=padding)
    left = padded_left(length, width=width, stride=stride, padding=padding)
    right = (count - 1) * stride + width - length - left
    return functional.conv1d(functional.pad(signal, (left, right)), weight, bias, stride=stride)


def convolve_transposed(
    signal: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: str, length: int
) -> Tensor:
    """The transpose of `convolve` as a linear map, plus a bias.

    Args:
        signal: (N, outputs of the convolution, its output length).
        weight: (outputs, inputs, width) of the convolution that is transposed.
        bias: (inputs,) or None.
        length: the input length of that convolution, which several may share.

    Returns:
        (N, inputs, length).
    """
    width = weight.shape[2]
    left = padded_left(length, width=width, stride=stride, padding=padding)
    whole = functional.conv_transpose1d(signal, weight, stride=stride)
    # What lies beyond the end was padding, or was never looked at by the convolution.
    cut = functional.pad(whole, (-left, length - (whole.shape[2] - left)))
    return cut if bias is None else cut + bias[:, None]
