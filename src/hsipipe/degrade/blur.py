"""Blur and decimation, Y = D_r(P * X), and its exact transpose, as banded separable matrix products.

The kernel is split by its singular value decomposition into rank-1 terms; each is a convolution down the rows and one
along the columns. PSF, continuation beyond the edges and the r x r block mean fold into one banded matrix per axis and
term, so that B X = sum_k L_k X R_k^T. A band's product is done in blocks of a few output rows, which read only the
input rows that they need.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hsipipe.degrade.psf import check_kernel
from hsipipe.errors import UserError, unknown

EDGES = ("reflect", "zero")
NEGLIGIBLE = 1e-7  # singular values below this share of the largest are dropped
BLOCK = 48  # high-resolution rows or columns per block: shorter ones overlap more, longer ones hold more zeros
CHUNK_BYTES = 1 << 21  # bytes of intermediate result that are made at a time, so that they stay in the cache
Block = tuple[slice, slice, np.ndarray]


def block_mean(images: np.ndarray, ratio: int) -> np.ndarray:
    """The mean of each ratio x ratio block: (..., H, W) -> (..., H / ratio, W / ratio), in the images' type.

    Raises:
        UserError: a size that is no multiple of the ratio.
    """
    *lead, rows, cols = images.shape
    check_ratio((rows, cols), ratio)
    # Whole rows are added first: far fewer strided reads than one mean over both short axes.
    summed = images.reshape(*lead, rows // ratio, ratio, cols).sum(axis=-2)
    return summed.reshape(*lead, rows // ratio, cols // ratio, ratio).sum(axis=-1) / images.dtype.type(ratio**2)


def check_ratio(shape: tuple[int, int], ratio: int) -> None:
    """Refuse a ratio that does not divide a size (rows, cols).

    Raises:
        UserError: not a whole number of at least 1, or not a divisor.
    """
    if ratio != int(ratio) or ratio < 1:
        raise UserError("must be a whole number of at least 1", key="ratio", found=ratio)
    if shape[0] % ratio or shape[1] % ratio or 0 in shape:
        raise UserError(
            f"{shape[0]} x {shape[1]} pixels are no multiple of the ratio",
            key="ratio",
            found=ratio,
            remedy=f"crop to {shape[0] // ratio * ratio} x {shape[1] // ratio * ratio}",
        )


class Blur:
    """The operator B: convolution with a PSF, then the r x r block mean; linear, the same for every band.

    Args:
        psf: (n, n) kernel, n odd, divided by its sum here; None: no blur beyond the block mean.
        ratio: r, a divisor of both sizes.
        shape: (H, W) of the high-resolution images.
        edge: "reflect" (d c b a | a b c d | d c b a) or "zero" (nothing outside).

    Attributes:
        psf, ratio, shape, edge: as given (psf with sum 1); low_shape: (h, w).

    Raises:
        UserError: unknown edge, a size that is no multiple of the ratio, a kernel larger than the image or refused by
            `hsipipe.degrade.psf.check_kernel`.
    """

    def __init__(self, psf: np.ndarray | None, ratio: int, shape: tuple[int, int], *, edge: str = "reflect") -> None:
        if edge not in EDGES:
            raise unknown("edge", edge, EDGES)
        rows, cols = int(shape[0]), int(shape[1])
        check_ratio((rows, cols), ratio)
        self.psf = None if psf is None else check_kernel(psf)
        self.ratio, self.shape, self.edge = int(ratio), (rows, cols), edge
        self.low_shape = (rows // self.ratio, cols // self.ratio)
        if self.psf is not None and len(self.psf) > min(self.shape):
            raise UserError(
                f"a kernel of {len(self.psf)} x {len(self.psf)} is larger than the image",
                key="psf",
                found=f"{rows} x {cols} pixels",
                remedy="choose a smaller kernel",
            )
        down, along = separable_terms(np.ones((1, 1)) if self.psf is None else self.psf)
        self.rank = len(down)
        self._terms = {"rows": down, "cols": along}
        self._plans: dict[tuple[str, np.dtype], list[Block]] = {}

    def forward(self, images: np.ndarray) -> np.ndarray:
        """B X: (..., H, W) -> (..., h, w); float32 in, float32 out (float64 stays float64).

        Raises:
            UserError: images of another size.
        """
        flat, lead = _flat(images, self.shape)
        (low_rows, low_cols), cols, rank = self.low_shape, self.shape[1], self.rank
        row_plan, col_plan = self._plan("rows", flat.dtype), self._plan("cols", flat.dtype)
        result = np.empty((len(flat), low_rows, low_cols), flat.dtype)
        for part in _chunks(len(flat), rank * low_rows * cols * flat.itemsize):
            source = flat[part]
            # (image, low row, term, column): one product per block makes the rows of all terms.
            middle = np.empty((len(source), low_rows, rank, cols), flat.dtype)
            for low, high, matrix in row_plan:
                target = middle[:, low].reshape(len(source), -1, cols)
                np.matmul(matrix, source[:, high], out=target)
            lines = middle.reshape(-1, rank, cols)
            pixels = result[part].reshape(-1, low_cols)
            for low, high, matrix in col_plan:
                pixels[:, low] = _sum_of_products(lines[:, :, high], matrix)
        return result.reshape(*lead, *self.low_shape)

    def adjoint(self, images: np.ndarray) -> np.ndarray:
        """B^T Y, the exact transpose: (..., h, w) -> (..., H, W); float32 in, float32 out (float64 stays float64).

        Raises:
            UserError: images of another size.
        """
        flat, lead = _flat(images, self.low_shape)
        (low_rows, low_cols), (rows, cols), rank = self.low_shape, self.shape, self.rank
        row_plan, col_plan = self._plan("rows_transposed", flat.dtype), self._plan("cols_transposed", flat.dtype)
        result = np.empty((len(flat), rows, cols), flat.dtype)
        for part in _chunks(len(flat), rank * low_rows * cols * flat.itemsize):
            lines = flat[part].reshape(-1, low_cols)
            middle = np.empty((len(lines), rank, cols), flat.dtype)
            for high, low, matrix in col_plan:
                middle[:, :, high] = (lines[:, low] @ matrix).reshape(len(lines), rank, -1)
            stacked = middle.reshape(-1, low_rows, rank, cols)
            for high, low, matrix in row_plan:
                source = stacked[:, low].reshape(len(stacked), -1, cols)
                np.matmul(matrix, source, out=result[part, high])
        return result.reshape(*lead, *self.shape)

    @cached_property
    def normal_diagonal(self) -> np.ndarray:
        """The diagonal of B^T B as an image (H, W) float32, exact.

        With B = sum_k L_k (x) R_k it is sum_kl (L_k . L_l)_i (R_k . R_l)_j, the dots taken over the low axis.
        """
        down, along = (self._squares(axis).reshape(self.rank**2, -1) for axis in ("rows", "cols"))
        return (down.T @ along).astype(np.float32)

    def _squares(self, axis: str) -> np.ndarray:
        """sum over the low axis of A_k A_l, for all pairs of terms: (rank, rank, high)."""
        total = np.zeros((self.rank, self.rank, self._size(axis)))
        for low in self._low_slices(axis):
            high, matrices = self._axis_rows(axis, low)
            total[:, :, high] += np.einsum("kpi,lpi->kli", matrices, matrices)
        return total

    def _size(self, axis: str) -> int:
        return self.shape[0 if axis == "rows" else 1]

    def _low_slices(self, axis: str) -> list[slice]:
        count, step = self._size(axis) // self.ratio, max(1, BLOCK // self.ratio)
        return [slice(start, min(start + step, count)) for start in range(0, count, step)]

    def _axis_rows(self, axis: str, low: slice) -> tuple[slice, np.ndarray]:
        return axis_rows(self._terms[axis], self._size(axis), self.ratio, self.edge, low)

    def _plan(self, which: str, dtype: np.dtype) -> list[Block]:
        """The blocks (outputs, inputs, matrix) of an axis for one type of number, made at the first use."""
        if (which, dtype) not in self._plans:
            axis, _, turned = which.partition("_")
            make = self._transposed_block if turned else self._forward_block
            blocks = [make(axis, low) for low in self._low_slices(axis)]
            self._plans[which, dtype] = [
                (out, into, np.ascontiguousarray(matrix, dtype=dtype)) for out, into, matrix in blocks
            ]
        return self._plans[which, dtype]

    def _forward_block(self, axis: str, low: slice) -> Block:
        high, matrices = self._axis_rows(axis, low)
        if axis == "rows":  # (low and term, high)
            return low, high, matrices.transpose(1, 0, 2).reshape(-1, matrices.shape[2])
        return low, high, matrices.transpose(0, 2, 1)  # (term, high, low)

    def _transposed_block(self, axis: str, block: slice) -> Block:
        half, ratio = self._terms[axis].shape[1] // 2, self.ratio
        high = slice(block.start * ratio, block.stop * ratio)
        reach = -(-half // ratio)
        low = slice(max(0, block.start - reach), min(self._size(axis) // ratio, block.stop + reach))
        columns, matrices = self._axis_rows(axis, low)
        matrices = matrices[:, :, high.start - columns.start : high.stop - columns.start]
        if axis == "rows":  # (high, low and term)
            return high, low, matrices.transpose(2, 1, 0).reshape(matrices.shape[2], -1)
        return high, low, matrices.transpose(1, 0, 2).reshape(matrices.shape[1], -1)  # (low, term and high)


def separable_terms(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rank-1 terms of a kernel (n, n): (terms, n) down the rows and (terms, n) along the columns.

    kernel = sum_k outer(down[k], along[k]), less terms below 1e-7 of the largest.
    """
    left, values, right = np.linalg.svd(kernel)
    count = max(1, int((values > NEGLIGIBLE * values[0]).sum()))
    root = np.sqrt(values[:count])
    return (left[:, :count] * root).T, right[:count] * root[:, None]


def axis_rows(terms: np.ndarray, size: int, ratio: int, edge: str, low: slice) -> tuple[slice, np.ndarray]:
    """Some rows of the matrices of: convolve `size` samples with a term, then average `ratio` samples.

    Args:
        terms: (terms, n), n odd and at most `size`.
        size, ratio, edge: as in `Blur`, of one axis.
        low: the rows, from 0 to size / ratio.

    Returns:
        the columns that can hold anything but zero, and (terms, rows, these columns) float64.
    """
    half = terms.shape[1] // 2
    # A reflected sample lies within half a kernel of its edge, so the window holds these too.
    high = slice(max(0, low.start * ratio - half), min(size, low.stop * ratio + half))
    matrices = np.zeros((low.stop - low.start, high.stop - high.start, len(terms)))
    output = np.arange(low.start * ratio, low.stop * ratio)
    for position, offset in enumerate(range(-half, half + 1)):
        source = output - offset  # a convolution: the kernel is flipped
        if edge == "reflect":
            source = np.where(source < 0, -1 - source, np.where(source >= size, 2 * size - 1 - source, source))
        inside = (source >= 0) & (source < size)
        where = (output[inside] // ratio - low.start, source[inside] - high.start)
        np.add.at(matrices, where, terms[:, position] / ratio)
    return high, matrices.transpose(2, 0, 1)


def _sum_of_products(lines: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """sum_k lines[:, k] @ matrices[k] for lines (n, terms, in) and matrices (terms, in, out)."""
    total = lines[:, 0] @ matrices[0]
    for term in range(1, len(matrices)):
        total += lines[:, term] @ matrices[term]
    return total


def _flat(images: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Images as (n, rows, cols) of float32 or float64, and their leading axes."""
    if images.shape[-2:] != shape:
        raise UserError(
            f"images of {images.shape[-2:]} for an operator made for {shape}", remedy="make one for this size"
        )
    dtype = images.dtype if images.dtype in (np.float32, np.float64) else np.float32
    return np.ascontiguousarray(images, dtype).reshape(-1, *shape), images.shape[:-2]


def _chunks(count: int, bytes_each: int) -> list[slice]:
    step = max(1, CHUNK_BYTES // max(bytes_each, 1))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
