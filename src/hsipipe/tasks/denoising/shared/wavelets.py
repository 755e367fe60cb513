"""Orthonormal two-dimensional wavelet transforms of image stacks, as products with small matrices.

One level of a periodic orthonormal transform is a square orthogonal matrix, so a level costs two matrix products per
image and its inverse two more. At the sizes of image tiles this is faster than strided convolution, batches over any
leading dimensions and runs alike on every device.

Sources: Daubechies, "Ten Lectures on Wavelets", SIAM 1992, ch. 6 (filters by spectral factorisation); Mallat,
"A theory for multiresolution signal decomposition", IEEE TPAMI 11(7), 1989, doi:10.1109/34.192463 (the layout).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hsipipe.errors import UserError, unknown

# Longer axes go through in blocks: a dense matrix costs time in proportion to the length.
LONGEST_DENSE = 512
WAVELETS = ("haar", *(f"db{order}" for order in range(1, 11)))


@dataclass(frozen=True)
class Subband:
    """One block of coefficients in the Mallat layout.

    Attributes:
        level: 1 is the finest; the approximation carries the number of levels.
        kind: "approximation"; "horizontal" (high-pass down the rows: horizontal edges), "vertical" (high-pass
            along the columns) or "diagonal" (both).
        index: slices of the last two axes.
    """

    level: int
    kind: str
    index: tuple[slice, slice]

    def of(self, coefficients: Tensor) -> Tensor:
        """The block of (..., H, W) coefficients, as a view."""
        return coefficients[(..., *self.index)]


@lru_cache(maxsize=32)
def scaling_filter(name: str) -> np.ndarray:
    """The orthonormal scaling filter of a Daubechies wavelet of extremal phase, float64, sum sqrt(2).

    Args:
        name: "haar" or "db1" to "db10"; dbN has N vanishing moments and 2N taps.

    Raises:
        UserError: unknown name.
    """
    if name not in WAVELETS:
        raise unknown("wavelet", name, WAVELETS)
    moments = 1 if name == "haar" else int(name[2:])
    # |m0|^2 = cos^(2p) P(sin^2); the roots of P in y map to pairs (z, 1/z), of which the inner one is taken.
    binomials = [math.comb(moments - 1 + k, k) for k in range(moments)]
    taps = np.ones(1, complex)
    for y in np.roots(binomials[::-1]):
        pair = np.roots([1.0, -(2.0 - 4.0 * y), 1.0])
        taps = np.convolve(taps, [1.0, -pair[np.argmin(np.abs(pair))]])
    for _ in range(moments):
        taps = np.convolve(taps, [1.0, 1.0])
    real = taps.real
    return real * (math.sqrt(2.0) / real.sum())


@lru_cache(maxsize=128)
def analysis_matrix(name: str, length: int) -> np.ndarray:
    """One level of the periodic transform as an orthogonal matrix (length, length), float64.

    The first half of the rows gives the low-pass, the second half the high-pass coefficients, aligned as in PyWavelets'
    mode "periodization". Filters longer than the signal wrap around; the matrix stays orthogonal.

    Raises:
        UserError: unknown wavelet, or a length that is odd or below 2.
    """
    if length < 2 or length % 2:
        raise UserError("a wavelet level needs an even length", found=length)
    taps = scaling_filter(name)
    size = len(taps)
    half = length // 2
    matrix = np.zeros((length, length))
    for tap in range(size):
        columns = (2 * np.arange(half) + size // 2 - tap) % length
        np.add.at(matrix, (np.arange(half), columns), taps[size - 1 - tap])
        np.add.at(matrix, (half + np.arange(half), columns), (-1.0) ** (tap + 1) * taps[tap])
    return matrix


def usable_levels(rows: int, cols: int, levels: int) -> int:
    """`levels`, or as many as leave the coarsest approximation at least 4 pixels wide; 0 below 8 pixels."""
    return max(0, min(levels, int(math.log2(max(1, min(rows, cols) / 4)))))


def padded_size(rows: int, cols: int, levels: int) -> tuple[int, int]:
    """The size of the coefficients of a (rows, cols) image: both rounded up to multiples of 2^levels."""
    step = 2**levels
    return -(-rows // step) * step, -(-cols // step) * step


def pad_symmetric(images: Tensor, rows: int, cols: int) -> Tensor:
    """Extend (..., H, W) images at the end of both axes to (..., rows, cols) by mirroring, edge samples repeated."""
    for axis, wanted in ((-2, rows), (-1, cols)):
        length = images.shape[axis]
        if wanted > length:
            place = torch.arange(wanted, device=images.device) % (2 * length)
            images = images.index_select(axis, torch.where(place < length, place, 2 * length - 1 - place))
    return images


def decompose(images: Tensor, *, wavelet: str = "db5", levels: int = 5) -> Tensor:
    """Wavelet coefficients of images, in the Mallat layout (see `subbands`).

    Args:
        images: (..., H, W), floating point, any size; mirrored at the end to multiples of 2^levels, then periodic.
        wavelet: one of `WAVELETS`.
        levels: number of levels; 0 returns the images themselves.

    Returns:
        (..., H', W') with (H', W') = `padded_size(H, W, levels)`; orthonormal, so noise keeps its variance.
    """
    size = images.shape[-2:]
    rows, cols = padded_size(size[0], size[1], levels)
    if levels == 0:
        return images
    flat = images.reshape(-1, *size)
    result = torch.empty((flat.shape[0], rows, cols), dtype=images.dtype, device=images.device)
    for part in _parts(flat.shape[0], rows * cols, images):
        block = pad_symmetric(flat[part], rows, cols)
        target = result[part]
        for level in range(levels):
            changed = analyse(analyse(block, wavelet).mT, wavelet).mT
            target[..., : rows >> level, : cols >> level] = changed
            block = target[..., : rows >> (level + 1), : cols >> (level + 1)]
    return result.reshape(*images.shape[:-2], rows, cols)


def reconstruct(
    coefficients: Tensor, *, wavelet: str = "db5", levels: int = 5, size: tuple[int, int] | None = None
) -> Tensor:
    """The images of `decompose`'s coefficients; exact up to rounding. The coefficients are left as they are.

    Args:
        coefficients: (..., H', W') in the Mallat layout.
        wavelet, levels: as given to `decompose`.
        size: (H, W) of the images before padding; None keeps (H', W').
    """
    rows, cols = coefficients.shape[-2:]
    height, width = size or (rows, cols)
    if levels == 0:
        return coefficients[..., :height, :width]
    flat = coefficients.reshape(-1, rows, cols)
    result = torch.empty((flat.shape[0], height, width), dtype=flat.dtype, device=flat.device)
    for part in _parts(flat.shape[0], rows * cols, flat):
        block = flat[part].clone()
        for level in reversed(range(levels)):
            corner = block[..., : rows >> level, : cols >> level]
            changed = synthesise(synthesise(corner, wavelet).mT, wavelet).mT
            if level:
                corner.copy_(changed)
            else:
                result[part] = changed[..., :height, :width]
    return result.reshape(*coefficients.shape[:-2], height, width)


def subbands(rows: int, cols: int, levels: int) -> list[Subband]:
    """The blocks of (rows, cols) coefficients, coarse to fine: the approximation, then three details per level.

    `rows` and `cols` are those of the coefficients (multiples of 2^levels), not of the image.
    """
    result = [Subband(levels, "approximation", (slice(0, rows >> levels), slice(0, cols >> levels)))]
    for level in range(levels, 0, -1):
        low_rows, high_rows = slice(0, rows >> level), slice(rows >> level, rows >> (level - 1))
        low_cols, high_cols = slice(0, cols >> level), slice(cols >> level, cols >> (level - 1))
        result.append(Subband(level, "horizontal", (high_rows, low_cols)))
        result.append(Subband(level, "vertical", (low_rows, high_cols)))
        result.append(Subband(level, "diagonal", (high_rows, high_cols)))
    return result


def _parts(count: int, pixels: int, like: Tensor) -> list[slice]:
    """Slices of the stack that keep temporaries small: 2 MiB of float32 where there is a cache to hit, else more."""
    step = max(1, (2**19 if like.device.type == "cpu" else 2**26) // max(1, pixels))
    return [slice(first, first + step) for first in range(0, count, step)]


def analyse(signals: Tensor, wavelet: str) -> Tensor:
    """One level of the periodic transform along the last axis (..., N): N/2 low-pass, then N/2 high-pass values."""
    length = signals.shape[-1]
    if length <= LONGEST_DENSE:
        return signals @ _like(analysis_matrix(wavelet, length), signals).mT
    window, step = _window(wavelet, length, signals)
    margin = (window.shape[1] - step) // 2
    wrapped = torch.cat([signals[..., length - margin :], signals, signals[..., :margin]], dim=-1)
    blocks = wrapped.unfold(-1, step + 2 * margin, step) @ window.mT
    # (..., blocks, step) with low then high in each block to (..., N) with all low, then all high.
    return blocks.unflatten(-1, (2, -1)).transpose(-3, -2).flatten(-3)


def synthesise(coefficients: Tensor, wavelet: str) -> Tensor:
    """The inverse of `analyse`."""
    length = coefficients.shape[-1]
    if length <= LONGEST_DENSE:
        return coefficients @ _like(analysis_matrix(wavelet, length), coefficients)
    window, step = _window(wavelet, length, coefficients)
    margin = (window.shape[1] - step) // 2
    # (..., 2, blocks, step / 2) to (..., blocks, step): what each block has of low and high.
    halves = coefficients.unflatten(-1, (2, length // step, step // 2)).transpose(-3, -2).flatten(-2)
    pieces = halves @ window
    signals = pieces[..., margin : margin + step].clone()
    # The margins of a block belong to its neighbours; margins wider than a block are excluded by `_window`.
    signals[..., step - margin :] += pieces[..., :margin].roll(-1, dims=-2)
    signals[..., :margin] += pieces[..., margin + step :].roll(1, dims=-2)
    return signals.flatten(-2)


def _window(wavelet: str, length: int, like: Tensor) -> tuple[Tensor, int]:
    """The rows of the analysis matrix for one block of a long signal, (step, step + 2 margin), and the step."""
    taps = len(scaling_filter(wavelet))
    # Blocks as long as 128 where the length divides, but longer than the filter, else the whole.
    step = next((size for size in (128, 64, 96, 160, 32, 48) if length % size == 0 and size >= taps), length)
    return _like(_window_matrix(wavelet, step), like), step


@lru_cache(maxsize=16)
def _window_matrix(wavelet: str, step: int) -> np.ndarray:
    taps = scaling_filter(wavelet)
    size, margin, half = len(taps), len(taps) // 2 - 1, step // 2
    matrix = np.zeros((step, step + 2 * margin))
    for tap in range(size):
        columns = 2 * np.arange(half) + size // 2 - tap + margin
        matrix[np.arange(half), columns] = taps[size - 1 - tap]
        matrix[half + np.arange(half), columns] = (-1.0) ** (tap + 1) * taps[tap]
    return matrix


def _like(matrix: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(matrix, dtype=like.dtype, device=like.device)
