"""Linear discriminant analysis with a shrunk covariance, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.training_pixels import TrainingPixels, standardisation


@dataclass(frozen=True)
class Discriminant:
    """Attributes: coefficients (K, d), intercepts (K,), of features in their own units; shrinkage in [0, 1]."""

    coefficients: np.ndarray
    intercepts: np.ndarray
    shrinkage: float

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Posterior probabilities (N, K) of features (N, d)."""
        return softmax(features @ self.coefficients.T + self.intercepts)


def fit_discriminant(pixels: TrainingPixels, *, shrinkage: float | None = None) -> Discriminant:
    """Fit normal densities with one covariance to the classes, with the classes' shares as prior probabilities.

    Features are standardised. The covariance is the mean of those of the classes, weighted by their pixels, each shrunk
    to (1 - s) S + s t I, with t its mean variance. Without a given s it is Ledoit and Wolf's, class by class, on
    features standardised within the class. A class of a single pixel has no covariance, and adds none.

    Source: R. A. Fisher, Annals of Eugenics 7, 1936; O. Ledoit and M. Wolf, A well-conditioned estimator for
    large-dimensional covariance matrices, Journal of Multivariate Analysis 88(2), 2004,
    doi:10.1016/S0047-259X(03)00096-4.

    Raises:
        UserError: a shrinkage outside [0, 1].
    """
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise UserError("must be from 0 to 1", key="shrinkage", found=shrinkage)
    centre, scale = standardisation(pixels.features)
    values = (pixels.features - centre) / scale
    size = values.shape[1]
    counts = np.bincount(pixels.classes, minlength=pixels.count)
    means = np.zeros((pixels.count, size))
    shrunk, amount, used = np.zeros((size, size)), 0.0, 0
    for number, count in enumerate(counts):
        own = values[pixels.classes == number]
        means[number] = own.mean(0)
        if count > 1:
            covariance, weight = _shrunk_covariance(own - means[number], shrinkage)
            shrunk += count * covariance
            amount, used = amount + count * weight, used + count
    if used:
        shrunk, amount = shrunk / used, amount / used
    # The smallest part of the mean variance is there always: duplicate features have a singular covariance.
    mean_variance = np.trace(shrunk) / size
    shrunk[np.diag_indices_from(shrunk)] += 1e-9 * mean_variance if mean_variance > 0 else 1.0
    weights = np.linalg.solve(shrunk, means.T).T
    intercepts = np.log(counts / counts.sum()) - 0.5 * (weights * means).sum(1)
    coefficients = weights / scale
    return Discriminant(coefficients, intercepts - coefficients @ centre, float(amount))


def _shrunk_covariance(centred: np.ndarray, shrinkage: float | None) -> tuple[np.ndarray, float]:
    """The shrunk covariance of pixels (N, d) of mean 0, and the weight of its diagonal part."""
    if shrinkage is None:
        deviation = np.sqrt((centred**2).mean(0))
        # A feature that only rounding moves has no scale of its own.
        deviation = np.where(deviation > 1e-10, deviation, 1.0)
        centred = centred / deviation
    else:
        deviation = np.ones(centred.shape[1])
    covariance = centred.T @ centred / len(centred)
    amount = ledoit_wolf_shrinkage(centred, covariance) if shrinkage is None else shrinkage
    mean_variance = np.trace(covariance) / len(covariance)
    covariance *= 1 - amount
    covariance[np.diag_indices_from(covariance)] += amount * mean_variance
    return covariance * deviation * deviation[:, None], amount


def ledoit_wolf_shrinkage(centred: np.ndarray, covariance: np.ndarray) -> float:
    """Ledoit and Wolf's weight of the scaled identity (their lemma 3.2 to 3.4), in [0, 1].

    Args:
        centred: (N, d) of mean 0.
        covariance: (d, d), centred.T @ centred / N.
    """
    samples, size = centred.shape
    mean_variance = np.trace(covariance) / size
    squared = (covariance**2).sum()
    dispersion = squared / size - mean_variance**2
    if dispersion <= 0:
        return 0.0  # already a multiple of the identity: any weight gives the same
    # The mean over pixels of |x x^T - S|^2, over N and d.
    error = ((centred**2).sum(1) ** 2).mean() / (samples * size) - squared / (samples * size)
    return float(np.clip(error / dispersion, 0, 1))


def softmax(scores: np.ndarray) -> np.ndarray:
    """exp(scores) over its sum along the last axis."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
