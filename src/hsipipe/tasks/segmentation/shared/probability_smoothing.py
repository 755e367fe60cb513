"""Smoothing of class probabilities over an image, stopped by the image's own edges. Labels are never looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COMPONENTS = 10
TOLERANCE = 1e-4
MOST_STEPS = 500
# Half of the eight neighbours, as steps in rows and columns; the other half sees the pixel from its side.
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True)
class Neighbourhood:
    """How alike neighbouring pixels are.

    Attributes: weights: for each of `STEPS` the weights (rows, cols) float32 in [0, 1] between a pixel and the one a
    step away, 0 where that lies outside the image or either is not valid.
    """

    weights: tuple[np.ndarray, ...]

    @property
    def degree(self) -> np.ndarray:
        """The sum of a pixel's weights over its eight neighbours, (rows, cols)."""
        total = np.zeros_like(self.weights[0])
        for weight, (down, right) in zip(self.weights, STEPS, strict=True):
            here, there = _ends(weight.shape, down, right)
            total[here] += weight[here]
            total[there] += weight[here]
        return total


def neighbourhood(cube: np.ndarray, valid: np.ndarray, *, components: int = COMPONENTS) -> Neighbourhood:
    """Weights exp(-|z_i - z_j|^2 / 2m) between neighbours, z the leading principal components of the spectra.

    m is the median of |z_i - z_j|^2 over the image's neighbours, so that no unit and no noise level need be known.

    Args:
        cube: (bands, rows, cols).
        valid: (rows, cols) bool.
        components: how many; differences in the others are mostly noise.
    """
    shape = valid.shape
    spectra = cube[:, valid].T.astype(np.float64)
    if not len(spectra):
        return Neighbourhood(tuple(np.zeros(shape, np.float32) for _ in STEPS))
    spectra -= spectra.mean(0)
    axes = np.linalg.eigh(spectra.T @ spectra)[1][:, ::-1][:, :components]
    maps = np.zeros((axes.shape[1], *shape), np.float64)
    maps[:, valid] = (spectra @ axes).T
    distances, both = [], []
    for down, right in STEPS:
        here, there = _ends(shape, down, right)
        distances.append(((maps[:, *here] - maps[:, *there]) ** 2).sum(0))
        both.append(valid[here] & valid[there])
    known = np.concatenate([distance[mask] for distance, mask in zip(distances, both, strict=True)])
    median = float(np.median(known)) if known.size else 0.0
    # Where most neighbours are equal, any difference at all is an edge.
    typical = median if median > 0 else np.finfo(np.float64).tiny
    weights = []
    for (down, right), distance, mask in zip(STEPS, distances, both, strict=True):
        weight = np.zeros(shape, np.float32)
        weight[_ends(shape, down, right)[0]] = np.exp(-np.minimum(distance / (2 * typical), 700)) * mask
        weights.append(weight)
    return Neighbourhood(tuple(weights))


def smooth_probabilities(probabilities: np.ndarray, neighbours: Neighbourhood, *, strength: float) -> np.ndarray:
    """The maps x that are nearest to the given p and alike where the image is: min |x - p|^2 + strength x^T L x.

    L is the Laplacian of the weights. The answer solves (I + strength L) x = p for each class; as L has zero row sums
    and I + strength L is an M-matrix, probabilities stay between 0 and 1 and sum to 1. Solved by conjugate gradients
    with a Jacobi preconditioner. Strength 0 changes nothing.

    Sources: L. Grady, Multilabel random walker image segmentation using prior models, CVPR 2005,
    doi:10.1109/CVPR.2005.239; X. Kang, S. Li and J. A. Benediktsson, Spectral-spatial hyperspectral image
    classification with edge-preserving filtering, IEEE TGRS 52(5), 2014, doi:10.1109/TGRS.2013.2264508.

    Args:
        probabilities: (K, rows, cols).
        neighbours: of the image.
        strength: 0 or more.

    Returns:
        (K, rows, cols) float32.
    """
    given = probabilities.astype(np.float32)
    if strength == 0:
        return given
    degree = neighbours.degree
    diagonal = 1 + np.float32(strength) * degree
    found = given.copy()
    residual = given - _operate(found, neighbours, diagonal, strength)
    scaled = residual / diagonal
    direction = scaled.copy()
    product = _per_class(residual, scaled)
    # A class that is nowhere probable has nothing to solve for.
    wanted = np.maximum(_per_class(given, given) * TOLERANCE**2, np.finfo(np.float32).tiny)
    for _ in range(MOST_STEPS):
        if (_per_class(residual, residual) <= wanted).all():
            break
        image = _operate(direction, neighbours, diagonal, strength)
        power = _per_class(direction, image)
        step = np.divide(product, power, out=np.zeros_like(product), where=power > 0)[:, None, None].astype(np.float32)
        found += step * direction
        residual -= step * image
        scaled = residual / diagonal
        following = _per_class(residual, scaled)
        turn = np.divide(following, product, out=np.zeros_like(product), where=product > 0)
        direction = scaled + turn[:, None, None].astype(np.float32) * direction
        product = following
    return np.clip(found, 0, 1)


def _operate(maps: np.ndarray, neighbours: Neighbourhood, diagonal: np.ndarray, strength: float) -> np.ndarray:
    """(I + strength L) of each map (K, rows, cols)."""
    result = maps * diagonal
    for weight, (down, right) in zip(neighbours.weights, STEPS, strict=True):
        here, there = _ends(weight.shape, down, right)
        shared = np.float32(strength) * weight[here]
        result[:, *here] -= shared * maps[:, *there]
        result[:, *there] -= shared * maps[:, *here]
    return result


def _per_class(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("khw,khw->k", first, second, dtype=np.float64)


def _ends(shape: tuple[int, ...], down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Index of the pixels that have a neighbour a step away, and of these neighbours."""
    rows, cols = shape
    here = (slice(0, max(rows - down, 0)), slice(max(0, -right), max(cols - max(right, 0), 0)))
    there = (slice(min(down, rows), rows), slice(min(max(right, 0), cols), max(cols + min(right, 0), 0)))
    return here, there
