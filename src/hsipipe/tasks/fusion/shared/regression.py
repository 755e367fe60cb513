"""Ridge regression of HSI bands on MSI bands, from moments that add up over windows and chunks.

Sources: Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics 12(1), 1970,
doi:10.1080/00401706.1970.10488634; Golub, Heath and Wahba, "Generalized cross-validation as a method for choosing a
good ridge parameter", Technometrics 21(2), 1979, doi:10.1080/00401706.1979.10489751.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Weights tried, as parts of the number of samples (the features have unit variance).
WEIGHTS = np.logspace(-8, 2, 41)
CHUNK = 16384


@dataclass(frozen=True)
class Fit:
    """Bands as affine functions of features: `matrix` (C, f) and `offset` (C,), float64; `ridge` (C,) the weights."""

    matrix: np.ndarray
    offset: np.ndarray
    ridge: np.ndarray


@dataclass(frozen=True)
class Moments:
    """First and second moments of features (f) and targets (C), summed over `count` samples; they add with `+`."""

    count: int
    features: np.ndarray
    targets: np.ndarray
    features_features: np.ndarray
    features_targets: np.ndarray
    targets_targets: np.ndarray

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(mine + theirs for mine, theirs in zip(_parts(self), _parts(other), strict=True)))


def _parts(moments: Moments) -> tuple:
    return tuple(getattr(moments, name) for name in Moments.__dataclass_fields__)


def polynomial_features(spectra: np.ndarray, degree: int) -> np.ndarray:
    """The bands and, for degree 2, their squares and products; the constant is left to the regression.

    Args:
        spectra: (m, N).
        degree: 1 or 2.

    Returns:
        (m, N), or for degree 2 (m + m (m + 1) / 2, N).
    """
    if degree == 1:
        return spectra
    first, second = np.triu_indices(len(spectra))
    return np.concatenate([spectra, spectra[first] * spectra[second]])


def moments_of(features: np.ndarray, targets: np.ndarray) -> Moments:
    """The moments of one set of samples.

    Args:
        features: (f, N).
        targets: (C, N).

    Returns:
        Sums in float64.
    """
    inputs, outputs = features.astype(np.float64), targets.astype(np.float64)
    return Moments(
        count=inputs.shape[1],
        features=inputs.sum(1),
        targets=outputs.sum(1),
        features_features=inputs @ inputs.T,
        features_targets=inputs @ outputs.T,
        targets_targets=np.einsum("cn,cn->c", outputs, outputs),
    )


def image_moments(msi: np.ndarray, hsi: np.ndarray, *, degree: int) -> Moments:
    """The moments of the polynomial features of one image and the bands of another of the same size, in chunks.

    Args:
        msi: (m, h, w).
        hsi: (C, h, w).
        degree: 1 or 2.
    """
    inputs, outputs = msi.reshape(len(msi), -1), hsi.reshape(len(hsi), -1)
    chunks = [slice(start, start + CHUNK) for start in range(0, inputs.shape[1], CHUNK)]
    parts = [moments_of(polynomial_features(inputs[:, part], degree), outputs[:, part]) for part in chunks]
    return sum(parts[1:], start=parts[0])


def fit_ridge(moments: Moments, *, ridge: float | np.ndarray | None = None) -> Fit:
    """Regress each target on the features and a constant.

    Minimises |y - W f - c|^2 / N + ridge |W s|^2, with s the features' standard deviations; constant features get no
    weight.

    Args:
        moments: of the samples.
        ridge: the weight, at least 0, or one for each target (C,); None takes for each target that of `WEIGHTS` with
            the least generalised cross-validation error.
    """
    mean, target_mean = moments.features / moments.count, moments.targets / moments.count
    covariance = moments.features_features / moments.count - np.outer(mean, mean)
    power = np.diag(moments.features_features) / moments.count
    variance = np.maximum(np.diag(covariance), 0)
    # What is left of a constant feature after the subtraction is rounding.
    deviation = np.where(variance > 1e-12 * power, np.sqrt(variance), np.inf)
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    values = np.maximum(values, 0)
    across = (moments.features_targets / moments.count - np.outer(mean, target_mean)) / deviation[:, None]
    rotated = vectors.T @ across
    if ridge is None:
        spread = np.maximum(moments.targets_targets / moments.count - target_mean**2, 0)
        chosen = _cross_validate(values, rotated, spread, moments.count)
    else:
        chosen = np.broadcast_to(np.asarray(ridge, dtype=np.float64), target_mean.shape)
    floor = 1e-12 * max(float(values.max(initial=0)), 1e-300)
    shrunk = rotated / (np.maximum(values, floor)[:, None] + chosen)
    matrix = ((vectors @ shrunk) / deviation[:, None]).T
    return Fit(matrix, target_mean - matrix @ mean, chosen)


def _cross_validate(values: np.ndarray, rotated: np.ndarray, spread: np.ndarray, count: int) -> np.ndarray:
    """The weight of `WEIGHTS` with the least generalised cross-validation error, for each target."""
    positive = values > 1e-14
    values, energy = values[positive], rotated[positive] ** 2
    best, chosen = np.full(len(spread), np.inf), np.full(len(spread), WEIGHTS[-1])
    for weight in WEIGHTS[::-1]:
        freedom = 1 + (values / (values + weight)).sum()
        # Where the fit has as many parameters as samples, nothing is left to judge it by.
        if freedom > 0.95 * count:
            break
        explained = ((values + 2 * weight) / (values + weight) ** 2) @ energy
        error = np.maximum(spread - explained, 1e-15 * spread) / (1 - freedom / count) ** 2
        better = error < best
        best, chosen = np.where(better, error, best), np.where(better, weight, chosen)
    return chosen


def apply_fit(fit: Fit, msi: np.ndarray, *, degree: int) -> np.ndarray:
    """The bands that the fit gives for each pixel, in chunks of pixels.

    Args:
        fit: with as many features as `polynomial_features(msi, degree)` has.
        msi: (m, H, W).
        degree: 1 or 2.

    Returns:
        (C, H, W) float32.
    """
    inputs = msi.reshape(len(msi), -1)
    matrix, offset = fit.matrix.astype(np.float32), fit.offset.astype(np.float32)[:, None]
    fused = np.empty((len(matrix), inputs.shape[1]), dtype=np.float32)
    for start in range(0, inputs.shape[1], CHUNK):
        features = polynomial_features(inputs[:, start : start + CHUNK].astype(np.float32), degree)
        np.matmul(matrix, features, out=fused[:, start : start + CHUNK])
        fused[:, start : start + CHUNK] += offset
    return fused.reshape(-1, *msi.shape[1:])


def predict(fit: Fit, images: np.ndarray) -> np.ndarray:
    """A linear fit applied to images of bands: (f, h, w) to (C, h, w) float32."""
    return apply_fit(fit, images, degree=1)


def across_scales(coarse: Moments, fine: Moments) -> np.ndarray:
    """The ridge weight whose fit to a coarser image predicts a finer one best, for each target.

    Cross-validation within one image cannot see what a fit does beyond the range of its samples, but a sharper image
    holds brighter, darker and purer spectra than any blurred one does. The step from the coarse to the fine image
    stands for that from the fine image to one finer still.

    Args:
        coarse: moments of the images after a further degradation.
        fine: moments of the images themselves.

    Returns:
        (C,) out of `WEIGHTS`.
    """
    best, chosen = np.full(len(fine.targets), np.inf), np.full(len(fine.targets), WEIGHTS[-1])
    for weight in WEIGHTS[::-1]:
        error = mean_square_error(fit_ridge(coarse, ridge=weight), fine)
        better = error < best
        best, chosen = np.where(better, error, best), np.where(better, weight, chosen)
    return chosen


def mean_square_error(fit: Fit, moments: Moments) -> np.ndarray:
    """The mean square error of a fit on the samples of the moments: (C,)."""
    count, matrix, offset = moments.count, fit.matrix, fit.offset
    square = np.einsum("cf,fg,cg->c", matrix, moments.features_features, matrix, optimize=True)
    mixed = np.einsum("cf,fc->c", matrix, moments.features_targets)
    drift = matrix @ moments.features - moments.targets
    return (moments.targets_targets - 2 * mixed + square + 2 * offset * drift) / count + offset**2
