"""Q2n: the quality index of an image of many bands as one hypercomplex image (Garzelli and Nencini, 2009)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def q2n(truth: np.ndarray, prediction: np.ndarray, *, window: int) -> float:
    """Mean of Q2n over blocks of `window` x `window` pixels, in [0, 1]; the best is 1.

    The C bands of a pixel are the components of one hypercomplex number of 2^n >= C of them (the rest are 0). For a
    block, Q = |cov(x, y)| / (s_x s_y) * 2 s_x s_y / (s_x^2 + s_y^2) * 2 |m_x| |m_y| / (|m_x|^2 + |m_y|^2), with
    cov(x, y) the mean of (x - m_x) times the conjugate of (y - m_y). It sees spectral and radiometric distortion.
    A. Garzelli and F. Nencini, "Hypercomplex Quality Assessment of Multi/Hyperspectral Images", IEEE GRSL 6(4), 2009.

    A factor whose two images are both constant (or both of zero mean) is 1.

    Args:
        truth, prediction: (C, h, w).
        window: side of the blocks; they do not overlap, except that the last ones are moved to end at the edge.

    Raises:
        ValueError: shapes that differ, or an image smaller than a block.
    """
    if truth.ndim != 3 or truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} must be (C, h, w) of one shape")
    # Blocks are compared as they are: some programs scale both by the truth's mean and spread first, which hides
    # what the index says of radiometric distortion.
    scores = []
    for rows in block_slices(truth.shape[1], window):
        for cols in block_slices(truth.shape[2], window):
            x, y = (cube[:, rows, cols].reshape(len(cube), -1).astype(np.float64) for cube in (truth, prediction))
            scores.append(_block_quality(x, y))
    return float(np.mean(scores))


def block_slices(length: int, window: int) -> list[slice]:
    """Slices of `window` that cover `length`, side by side; the last is moved to end with it.

    Raises:
        ValueError: length below window.
    """
    if not 1 <= window <= length:
        raise ValueError(f"no block of {window} fits into {length}")
    starts = sorted({*range(0, length - window + 1, window), length - window})
    return [slice(start, start + window) for start in starts]


def _block_quality(x: np.ndarray, y: np.ndarray) -> float:
    """Q2n of two blocks (C, N)."""
    mean_x, mean_y = x.mean(1), y.mean(1)
    x, y = x - mean_x[:, None], y - mean_y[:, None]
    # The product is bilinear: its mean needs the covariances of all pairs of bands, each with a sign and a place.
    signs, places = conjugate_products(len(x))
    covariance = np.bincount(places.ravel(), (signs * (x @ y.T)).ravel())
    spread = np.einsum("cn,cn->", x, x) + np.einsum("cn,cn->", y, y)
    power_x, power_y = mean_x @ mean_x, mean_y @ mean_y
    power = power_x + power_y
    flat = spread <= 1e-24 * power * x.shape[1]  # rounding of the means
    structure = 1.0 if flat else 2 * float(np.sqrt(covariance @ covariance)) / spread
    luminance = 2 * float(np.sqrt(power_x * power_y)) / power if power > 0 else 1.0
    return structure * luminance


@lru_cache(maxsize=4)
def conjugate_products(count: int) -> tuple[np.ndarray, np.ndarray]:
    """What e_i times the conjugate of e_j is, for the first `count` units: signs[i, j] * e_(places[i, j]).

    The units are those of the Cayley-Dickson construction (a, b)(c, d) = (ac - d*b, da + bc*): complex numbers,
    quaternions, octonions and so on.

    Returns:
        signs: (count, count) int8, +1 or -1; places: (count, count) int, i xor j.
    """
    signs = np.ones((1, 1), np.int8)
    while len(signs) < count:
        conjugate = np.full(len(signs), -1, np.int8)
        conjugate[0] = 1
        # Quarters: (a, 0)(c, 0), (a, 0)(0, d), (b, 0)(c, 0) and (0, b)(0, d) of the formula.
        signs = np.block([[signs, signs.T], [signs * conjugate, -(signs.T * conjugate)]])
        signs = signs.astype(np.int8)
    conjugate = np.where(np.arange(count) == 0, 1, -1)
    units = np.arange(count)
    return signs[:count, :count] * conjugate, units[:, None] ^ units
