"""Scaling of images to [0, 1] band by band, and back; NumPy arrays and torch tensors alike.

The whole image is scaled at once (never tile by tile, which would leave seams). A constant band has range 1 instead of
0, so it becomes 0 everywhere and comes back exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

    Array = np.ndarray | torch.Tensor

ArrayT = TypeVar("ArrayT", bound="np.ndarray | torch.Tensor")


def band_minmax(
    cube: ArrayT, valid: Array | None = None, percentiles: tuple[float, float] = (0, 100)
) -> tuple[ArrayT, ArrayT]:
    """The lowest and highest value of every band, over the valid pixels.

    Args:
        cube: (..., C, H, W), NumPy or torch; any leading axes (a batch).
        valid: (..., H, W) bool, or None for all pixels.
        percentiles: (0, 100) are the extremes; (0.1, 99.9), say, are robust against single bright pixels.

    Returns:
        low, high: (..., C), float32 (float64 for a float64 cube), of the same library and device as `cube`. Values that
        are not finite count as not valid; a band without a valid pixel gives (0, 0).

    Raises:
        ValueError: percentiles not in order within [0, 100].
    """
    first, last = percentiles
    if not 0 <= first < last <= 100:
        raise ValueError(f"percentiles must rise within [0, 100], got {percentiles}")
    if isinstance(cube, np.ndarray):
        return _minmax_numpy(cube, valid, first, last)  # type: ignore[return-value]
    return _minmax_torch(cube, valid, first, last)  # type: ignore[return-value]


def _minmax_numpy(cube: np.ndarray, valid: Any, first: float, last: float) -> tuple[np.ndarray, np.ndarray]:
    values = cube if cube.dtype in (np.float32, np.float64) else cube.astype(np.float32)
    plain = valid is None or bool(np.all(valid))
    if plain and (first, last) == (0, 100):
        low, high = values.min(axis=(-2, -1)), values.max(axis=(-2, -1))
        if np.isfinite(low).all() and np.isfinite(high).all():
            return low, high
    usable = np.isfinite(values)
    if not plain:
        usable &= np.asarray(valid, bool)[..., None, :, :]
    if (first, last) == (0, 100):
        low = np.where(usable, values, np.inf).min(axis=(-2, -1))
        high = np.where(usable, values, -np.inf).max(axis=(-2, -1))
        return np.where(np.isfinite(low), low, 0), np.where(np.isfinite(high), high, 0)
    flat = values.reshape(-1, values.shape[-2] * values.shape[-1])
    bounds = np.zeros((len(flat), 2), values.dtype)
    for band, (row, keep) in enumerate(zip(flat, usable.reshape(flat.shape), strict=True)):
        kept = row[keep]
        if kept.size:
            bounds[band] = np.percentile(kept, (first, last))
    return bounds[:, 0].reshape(values.shape[:-2]), bounds[:, 1].reshape(values.shape[:-2])


def _minmax_torch(cube: torch.Tensor, valid: Any, first: float, last: float) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    values = cube if cube.dtype in (torch.float32, torch.float64) else cube.float()
    usable = values.isfinite()
    if valid is not None:
        usable &= torch.as_tensor(valid, device=cube.device).bool()[..., None, :, :]
    if (first, last) == (0, 100):
        low = values.where(usable, torch.inf).flatten(-2).amin(-1)
        high = values.where(usable, -torch.inf).flatten(-2).amax(-1)
    else:
        ordered = values.where(usable, torch.inf).flatten(-2).sort(dim=-1).values
        count = usable.flatten(-2).sum(-1, keepdim=True)
        low, high = (_sorted_percentile(ordered, count, share) for share in (first, last))
    zero = torch.zeros((), dtype=values.dtype, device=values.device)
    return low.where(low.isfinite(), zero), high.where(high.isfinite(), zero)


def _sorted_percentile(ordered: torch.Tensor, count: torch.Tensor, percentile: float) -> torch.Tensor:
    """Linear interpolation between order statistics (NumPy's default rule) of the first `count` values of each row."""
    position = (count - 1).clamp(min=0) * (percentile / 100)
    below = position.floor().long()
    above = (below + 1).minimum((count - 1).clamp(min=0))
    low, high = ordered.gather(-1, below), ordered.gather(-1, above)
    return low.lerp(high, (position - below).to(low.dtype)).squeeze(-1)


def _range(low: ArrayT, high: ArrayT) -> ArrayT:
    """high - low, with 1 where it is 0, negative or not finite."""
    span: Any = np.subtract(high, low) if isinstance(low, np.ndarray) else high - low
    fine = (span > 0) & (span < float("inf"))
    if isinstance(span, np.ndarray):
        return np.where(fine, span, np.ones((), span.dtype))  # type: ignore[return-value]
    return span.where(fine, span.new_ones(()))


def normalise(cube: ArrayT, low: ArrayT, high: ArrayT) -> ArrayT:
    """(cube - low) / (high - low), band by band; not clipped.

    Args:
        cube: (..., C, H, W).
        low, high: (..., C) of the same library; a constant band (high <= low) has range 1.
    """
    return (cube - low[..., None, None]) / _range(low, high)[..., None, None]  # type: ignore[return-value]


def denormalise(cube: ArrayT, low: ArrayT, high: ArrayT) -> ArrayT:
    """The inverse of `normalise`: cube * (high - low) + low, band by band."""
    return cube * _range(low, high)[..., None, None] + low[..., None, None]  # type: ignore[return-value]
