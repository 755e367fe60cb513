"""Whether the two images of a pair lie on one another: mirrored or rotated partners, and sub-pixel shifts.

Both are judged at the HSI's resolution by one measure that needs neither radiometry nor spectral response: the share of
the MSI's variance that a linear function of the HSI's leading principal components explains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.tasks.fusion.files.symmetry import AS_IT_IS, SYMMETRIES, Symmetry

COMPONENTS = 5
LEAST_PIXELS = 64  # below, too few for a verdict
CLEARLY_MORE = 0.1  # of the variance, that another symmetry must explain beyond the present one
FAR_LESS = 0.5  # of what the present one leaves: enough by itself; a scene symmetric in itself has several such,
LESS = 0.7  # or so much, which a poor fit of any orientation leaves within reach, if the symmetry also stands out:
STANDS_OUT = 0.8  # of what each of the others leaves
SMOOTHING = 1.0  # LR pixels, before gradients are taken
FARTHEST = 3  # whole LR pixels that are searched
STEPS = 6


@dataclass(frozen=True)
class Shift:
    """How far the MSI's content lies below (rows) and to the right (cols) of the HSI's, in LR pixels.

    `error` is the standard error of either, `explained` the share of the MSI's variance explained after the shift.
    """

    rows: float
    cols: float
    error: float
    explained: float


def find_symmetry(hsi: np.ndarray, msi: np.ndarray, valid: tuple[np.ndarray, np.ndarray]) -> dict[Symmetry, float]:
    """The variance explained under each symmetry that brings the HSI to the MSI's size.

    Args:
        hsi: (C, h, w).
        msi: (m, rows, cols), the block means.
        valid: (h, w) of the HSI and (rows, cols) of the MSI.

    Returns:
        Symmetry -> share in [0, 1], corrected for the number of components and for neighbours that are alike, so that
        unlike images explain nothing of one another; empty for images too small to judge.
    """
    shares: dict[Symmetry, float] = {}
    components = leading_components(hsi, valid[0])
    for symmetry in SYMMETRIES:
        if symmetry.size(hsi.shape[1:]) != msi.shape[1:]:
            continue
        keep = symmetry.turn(valid[0]) & valid[1]
        if keep.sum() >= LEAST_PIXELS:
            basis, values = _basis(symmetry.turn(components)[:, keep]), _standard(msi[:, keep])
            image, rest = np.zeros((2, *msi.shape))
            image[:, keep], rest[:, keep] = values, _residual(basis, values)
            shares[symmetry] = _explained(basis, values, independent_pixels(image, rest, keep))
    return shares


def independent_pixels(image: np.ndarray, rest: np.ndarray, keep: np.ndarray) -> float:
    """As how many independent pixels those of an image count in a regression that leaves `rest`.

    Where neighbours correlate by r along an axis in the image and by s in what is left, N (1 - r s) / (1 + r s) of N
    count (Bartlett, Journal of the Royal Statistical Society 98, 1935, for first-order autoregression); axes multiply.

    Args:
        image, rest: (bands, rows, cols) of mean 0 over `keep`, zero elsewhere.
        keep: (rows, cols) bool.
    """
    count = float(keep.sum())
    for axis in (0, 1):
        alike = _alike(image, keep, axis) * _alike(rest, keep, axis)
        count *= (1 - alike) / (1 + alike)
    return count


def _alike(image: np.ndarray, keep: np.ndarray, axis: int) -> float:
    """The correlation of neighbours along an axis (0 rows, 1 columns), the mean over bands, not below 0."""
    ahead, behind = (np.arange(start, keep.shape[axis] - 1 + start) for start in (0, 1))
    pairs = int((keep.take(ahead, axis) & keep.take(behind, axis)).sum())
    products = (image.take(ahead, axis + 1) * image.take(behind, axis + 1)).sum(axis=(1, 2)) / max(pairs, 1)
    power = (image**2).sum(axis=(1, 2)) / keep.sum()
    return float(np.clip(np.mean(products / np.maximum(power, 1e-300)), 0.0, 1.0))


def better_symmetry(shares: dict[Symmetry, float], present: Symmetry = AS_IT_IS) -> Symmetry | None:
    """The symmetry that fits clearly better than the present one, or None.

    It must leave at most half of the variance that the present one leaves; or somewhat more, where the images explain
    little of one another in any orientation, if it then stands out among all others.
    """
    if not shares:
        return None
    best = max(shares, key=lambda symmetry: shares[symmetry])
    now = shares.get(present, 0.0)
    if best == present or shares[best] < now + CLEARLY_MORE:
        return None
    left = 1 - shares[best]
    others = [1 - share for symmetry, share in shares.items() if symmetry not in (best, present)]
    stands_out = left <= STANDS_OUT * min(others, default=1.0)
    return best if left <= FAR_LESS * (1 - now) or (left <= LESS * (1 - now) and stands_out) else None


def estimate_shift(hsi: np.ndarray, msi: np.ndarray, valid: np.ndarray | None = None) -> Shift | None:
    """The shift between the two images by least squares, to a small part of an LR pixel.

    The best whole shift is searched first. Then M_b(x + d) = w_b . P(x) is linearised in d for all MSI bands b, with P
    the HSI's components; w_b is eliminated by projection, so that shift and radiometry are found together (Lucas and
    Kanade, IJCAI 1981, with variable projection), and the MSI resampled, until it stays.

    Args:
        hsi: (C, h, w).
        msi: (m, h, w), the MSI's block means.
        valid: (h, w) bool or None.

    Returns:
        None for images too small, or without a structure that both share.
    """
    from scipy.ndimage import binary_erosion, gaussian_filter
    from scipy.ndimage import shift as resample

    keep = np.ones(hsi.shape[1:], bool) if valid is None else valid
    margin = FARTHEST + 2
    inner = np.zeros_like(keep)
    inner[margin:-margin, margin:-margin] = True
    inner &= binary_erosion(keep, iterations=2, border_value=1)
    if inner.sum() < LEAST_PIXELS:
        return None
    smooth = (0, SMOOTHING, SMOOTHING)
    basis = _basis(gaussian_filter(leading_components(hsi, keep), smooth)[:, inner])
    fine = gaussian_filter(msi.astype(np.float64), smooth)
    fine /= np.maximum(fine[:, inner].std(axis=1), 1e-12)[:, None, None]
    start = max(
        ((row, col) for row in range(-FARTHEST, FARTHEST + 1) for col in range(-FARTHEST, FARTHEST + 1)),
        key=lambda far: _explained(basis, _standard(np.roll(fine, (-far[0], -far[1]), (1, 2))[:, inner])),
    )
    shift = np.array(start, float)
    for _ in range(STEPS):
        moved = resample(fine, (0, -shift[0], -shift[1]), order=3, mode="nearest")
        down, along = (np.gradient(moved, axis=axis)[:, inner] for axis in (1, 2))
        rest = _residual(basis, moved[:, inner]).ravel()
        slopes = np.stack([_residual(basis, down).ravel(), _residual(basis, along).ravel()], axis=1)
        normal = slopes.T @ slopes
        if np.linalg.cond(normal) > 1e8:
            return None
        # rest + slopes d = 0: what the HSI cannot explain is to vanish.
        step = -np.linalg.solve(normal, slopes.T @ rest)
        shift += np.clip(step, -1, 1)
        if np.abs(shift).max() > FARTHEST + 1.5:
            return None
        if np.abs(step).max() < 1e-3:
            break
    left = rest + slopes @ step
    # Smoothing makes neighbours alike: about 4 pi sigma^2 pixels count as one.
    freedom = max(1.0, inner.sum() / (4 * np.pi * SMOOTHING**2))
    error = float(np.sqrt(np.linalg.inv(normal).diagonal().max() * left.var() * inner.sum() / freedom))
    return Shift(float(shift[0]), float(shift[1]), error, _explained(basis, _standard(moved[:, inner])))


def leading_components(hsi: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The leading components (5, h, w) float64 of an HSI (C, h, w), by its valid pixels (h, w), bands standardised."""
    spectra = hsi[:, keep].astype(np.float64)
    mean, spread = spectra.mean(axis=1), np.maximum(spectra.std(axis=1), 1e-12)
    scaled = (spectra - mean[:, None]) / spread[:, None]
    vectors = np.linalg.eigh(scaled @ scaled.T)[1][:, : -COMPONENTS - 1 : -1] / spread[:, None]
    return np.tensordot(vectors.T, hsi.astype(np.float64) - mean[:, None, None], axes=1)


def _basis(values: np.ndarray) -> np.ndarray:
    """An orthonormal basis (N, k + 1) of the rows of `values` (k, N) and a constant."""
    return np.linalg.qr(np.vstack([np.ones(values.shape[1]), values]).T)[0]


def _standard(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=1, keepdims=True)
    return centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-12)


def _residual(basis: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values - (values @ basis) @ basis.T


def _explained(basis: np.ndarray, values: np.ndarray, independent: float | None = None) -> float:
    count, used = (basis.shape[0] if independent is None else independent), basis.shape[1]
    if independent is not None and count <= used + 1:
        return 0.0
    left = float((_residual(basis, values) ** 2).sum() / max((values**2).sum(), 1e-300))
    return float(np.clip(1 - left * (count - 1) / max(count - used, 1), 0.0, 1.0))
