"""Smoothing of feature maps within regions, as far as the image's own edges allow."""

from __future__ import annotations

import numpy as np

from hsipipe.errors import unknown

SMOOTHINGS = ("none", "edges", "gaussian")
# Neighbours of a pixel, half of them (the others are seen from the other side), with the weights of a 3 x 3 binomial.
NEIGHBOURS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.5), (1, -1, 0.5))


def smooth(
    features: np.ndarray,
    valid: np.ndarray,
    how: str,
    *,
    edge: float = 2.0,
    passes: int = 10,
    sigma: float = 1.0,
) -> np.ndarray:
    """Smooth feature maps; pixels that are not valid neither give nor take.

    Args:
        features: (d, H, W) float32.
        valid: (H, W) bool.
        how: `none`, `edges` (see `smooth_within_edges`) or `gaussian` (blur over valid pixels).
        edge, passes: of `edges`.
        sigma: of `gaussian`, pixels.

    Raises:
        UserError: an unknown name.
    """
    if how not in SMOOTHINGS:
        raise unknown("smoothing", how, SMOOTHINGS)
    if how == "none":
        return features
    if how == "edges":
        return smooth_within_edges(features, valid, edge=edge, passes=passes)
    from scipy.ndimage import gaussian_filter

    known = np.maximum(gaussian_filter(valid.astype(np.float32), sigma), 1e-6)
    blurred = np.stack([gaussian_filter(np.where(valid, band, 0), sigma) for band in features])
    return np.where(valid, blurred / known, features).astype(np.float32)


def smooth_within_edges(features: np.ndarray, valid: np.ndarray, *, edge: float = 2.0, passes: int = 10) -> np.ndarray:
    """Bilateral filter of 3 x 3 pixels, applied several times: a diffusion that stops at edges.

    In each pass a pixel becomes the weighted mean of itself and its neighbours, with the weights
    exp(-|f_i - f_j|^2 / (2 edge^2 m)), m the median of |f_i - f_j|^2 over all neighbours. As m is measured anew in each
    pass, it shrinks with what the passes before have evened out, and the result settles: a few passes more or less make
    little difference, and no unit and no noise level need be known.

    Sources: C. Tomasi and R. Manduchi, "Bilateral filtering for gray and color images", ICCV 1998; D. Barash, "A
    fundamental relationship between bilateral filtering, adaptive smoothing, and the nonlinear diffusion equation",
    IEEE TPAMI 24(6), 2002.

    Args:
        features: (d, H, W).
        valid: (H, W) bool.
        edge: difference, as multiple of the usual one between neighbours, that counts as an edge; above 0.
        passes: how many times; 0 or more.

    Returns:
        (d, H, W) float32; values at pixels that are not valid are unchanged.
    """
    current = np.where(valid, features, 0).astype(np.float32)
    pairs = [(*_slices(valid.shape, down, right), weight) for down, right, weight in NEIGHBOURS]
    both = [valid[here] & valid[there] for here, there, _ in pairs]
    for _ in range(passes):
        distances = [_squared_distances(current, here, there) for here, there, _ in pairs]
        # The 4 nearest neighbours only: a diagonal step is longer, and its differences are larger.
        known = [distance[mask] for distance, mask in zip(distances[:2], both[:2], strict=True)]
        typical = float(np.median(np.concatenate(known))) if any(part.size for part in known) else 0.0
        if typical <= 0:
            break
        total, weights = current.copy(), np.ones(valid.shape, np.float32)
        for (here, there, share), distance, mask in zip(pairs, distances, both, strict=True):
            weight = share * np.exp(distance * np.float32(-0.5 / (edge**2 * typical))) * mask
            weights[here] += weight
            weights[there] += weight
            for band, source in zip(total, current, strict=True):
                band[here] += weight * source[there]
                band[there] += weight * source[here]
        total /= weights
        current = total
    return np.where(valid, current, features).astype(np.float32, copy=False)


def _slices(shape: tuple[int, ...], down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Index of the pixels that have a neighbour `down` rows and `right` columns on, and of these neighbours."""
    rows, cols = shape
    here = (slice(0, max(rows - down, 0)), slice(max(0, -right), max(cols - max(right, 0), 0)))
    there = (slice(min(down, rows), rows), slice(min(max(right, 0), cols), max(cols + min(right, 0), 0)))
    return here, there


def _squared_distances(features: np.ndarray, here: tuple[slice, slice], there: tuple[slice, slice]) -> np.ndarray:
    """|f_i - f_j|^2 of neighbours, band by band: no temporary array larger than a band."""
    total = np.zeros(features[0][here].shape, np.float32)
    for band in features:
        difference = band[here] - band[there]
        total += difference * difference
    return total
