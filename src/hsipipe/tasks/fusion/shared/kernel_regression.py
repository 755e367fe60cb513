"""Regression of the HSI's coefficients on the MSI's bands: a linear part and a smooth function, chosen by hold-out.

A spectrum's coefficients are taken as f(z) = W (1, z) + sum_i alpha_i k(z, z_i), with z the standardised MSI pixel
and k a Matern kernel: kriging with a linear drift. The HSI shows the means of f over a blur. As a blur is linear,
that is no difficulty: features are computed for every MSI pixel, blurred like the HSI, and the coefficients of the
HSI are regressed on blurred features. What is learnt holds for single MSI pixels, not only for mixtures as large as
the blur.

Residuals of neighbours are alike, most of all those of wide structures. So the fit is weighted by the inverse of
their power spectrum (feasible generalised least squares), which is taken from residuals of held-out blocks.

Sources: Rasmussen and Williams, "Gaussian processes for machine learning", MIT Press 2006, sections 2.7 (explicit
basis) and 4.2 (Matern); Williams and Seeger, "Using the Nystrom method to speed up kernel machines", NIPS 2000;
Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; Aitken, "On least squares and
linear combination of observations", Proc. Royal Society of Edinburgh 55, 1936, doi:10.1017/S0370164600014346.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hsipipe.tasks.fusion.shared.kernel_candidates import (
    BINS,
    CHUNK,
    Candidate,
    Sample,
    Trial,
    out_of_fold,
    radial_spectrum,
    try_candidate,
)

CENTRES = 300
LENGTHS = (1.0, 2.0, 4.0)  # of the kernel, in standard deviations of four bands
SHARPNESS = 8.0  # of the weights with which the kernels' predictions are averaged: (least error / error)^8
MOST_QUADRATIC = 8  # MSI bands; with more, their products outnumber what a ridge needs
MAP_BYTES = 1 << 27  # of kernel values at the MSI's resolution that are held at a time
DRIFT_SHARE = 1e-3  # of the penalty on the linear part beside a kernel


@dataclass(frozen=True)
class Regression:
    """The fitted function of an MSI pixel.

    Attributes:
        offset, scale: (m,), standardise a pixel.
        centres: (p, m) standardised pixels, p = 0 without kernels.
        lengths: of the kernels; weights: one (p, K) for each.
        drift: (1 + m, K), or with products of bands (1 + m + m (m + 1) / 2, K).
        name: "constant", "linear", "quadratic" or "kernel": what the hold-out chose.
        errors: root mean square hold-out error of each candidate, at the HSI's resolution, per band of the cube.
        residuals: per sample, (K, h', w') out-of-fold residuals of the choice.
    """

    offset: np.ndarray
    scale: np.ndarray
    centres: np.ndarray
    lengths: tuple[float, ...]
    weights: tuple[np.ndarray, ...]
    drift: np.ndarray
    name: str
    errors: dict[str, float]
    residuals: tuple[np.ndarray, ...]

    def __call__(self, guide: np.ndarray) -> np.ndarray:
        """Coefficients (K, H, W) float32 of MSI pixels (m, H, W)."""
        flat = guide.reshape(len(guide), -1)
        result = np.empty((self.drift.shape[1], flat.shape[1]), np.float32)
        drift = self.drift.T.astype(np.float32)
        weights = [part.T.astype(np.float32) for part in self.weights]
        quadratic = len(self.drift) > 1 + len(guide)
        for start in range(0, flat.shape[1], CHUNK):
            part = slice(start, start + CHUNK)
            pixels = standardised(flat[:, part], self.offset, self.scale)
            result[:, part] = drift @ drift_features(pixels, quadratic=quadratic)
            if weights:
                distance = distances(self.centres, pixels)
                for length, weight in zip(self.lengths, weights, strict=True):
                    result[:, part] += weight @ matern(distance, length)
        return result.reshape(-1, *guide.shape[1:])


def standardised(pixels: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(m, N) float32 with the given mean and deviation taken out."""
    return ((pixels - offset[:, None]) / scale[:, None]).astype(np.float32)


def drift_features(pixels: np.ndarray, *, quadratic: bool) -> np.ndarray:
    """A constant, the bands, and on demand their products: (1 + m [+ m (m + 1) / 2], N)."""
    parts = [np.ones((1, pixels.shape[1]), pixels.dtype), pixels]
    if quadratic:
        first, second = np.triu_indices(len(pixels))
        parts.append(pixels[first] * pixels[second])
    return np.concatenate(parts)


def distances(centres: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Distances (p, N) float32 between centres (p, m) and pixels (m, N), as of four bands: |.| * 2 / sqrt(m)."""
    square = (-2.0 * centres).astype(np.float32) @ pixels
    square += np.sum(centres**2, axis=1).astype(np.float32)[:, None]
    square += np.sum(pixels**2, axis=0)
    np.maximum(square, 0, out=square)
    square *= np.float32(4.0 / len(pixels))
    return np.sqrt(square, out=square)


def matern(distance: np.ndarray, length: float) -> np.ndarray:
    """The Matern kernel of smoothness 3/2, 1 at distance 0."""
    ratio = distance * distance.dtype.type(np.sqrt(3.0) / length)
    kernel = np.exp(-ratio)
    ratio += 1
    kernel *= ratio
    return kernel


def choose_centres(pixels: np.ndarray, count: int, *, spread: bool) -> np.ndarray:
    """Pixels to put kernels at, from a fixed stream.

    Args:
        pixels: (m, N) standardised.
        count: number of centres; fewer are returned if fewer pixels differ.
        spread: seek rare pixels too (k-means++ seeding), where the samples reach as far as the pixels that the
            regression is for; else take them as often as they come, for kernels at the rim bend what lies beyond it.

    Returns:
        (p, m) float64.
    """
    generator = np.random.default_rng(0)
    step = max(1, pixels.shape[1] // 5000)
    cloud = pixels[:, ::step].T.astype(np.float64)
    if not spread:
        return np.unique(cloud[generator.choice(len(cloud), min(count, len(cloud)), replace=False)], axis=0)
    chosen = [int(np.argmin(np.sum((cloud - cloud.mean(0)) ** 2, axis=1)))]
    nearest = np.sum((cloud - cloud[chosen[0]]) ** 2, axis=1)
    while len(chosen) < min(count, len(cloud)) and nearest.max() > 1e-8:
        total = np.cumsum(nearest)
        pick = min(int(np.searchsorted(total, generator.random() * total[-1])), len(cloud) - 1)
        chosen.append(pick)
        np.minimum(nearest, np.sum((cloud - cloud[pick]) ** 2, axis=1), out=nearest)
    return cloud[chosen]


def fit_regression(
    samples: Sequence[Sample], gains: np.ndarray, *, bands: int, whiten: bool, centres: int = CENTRES
) -> Regression:
    """Fit the candidates, choose among them by blocked hold-out, and refit the choice on everything.

    Args:
        samples: windows of the pair.
        gains: (K,) what an error of 1 in a coefficient is in the cube.
        bands: of the cube, for the errors that are told.
        whiten: weigh by the inverse power spectrum of the residuals, not all frequencies alike.
        centres: at most this many kernels.

    Returns:
        The candidate with the least hold-out error: a constant (with too few pixels for anything else), linear or
        quadratic ridge, or the average of kernel regressions of several lengths.
    """
    pixels = np.concatenate([_thinned(sample.guide) for sample in samples], axis=1)
    offset, scale = pixels.mean(1, dtype=np.float64), pixels.std(1, dtype=np.float64)
    scale = np.maximum(scale, 1e-6 * max(float(np.abs(pixels).max()), 1e-12))
    count = sum(sample.inner_targets[0].size for sample in samples)
    channels = len(offset)
    if count < channels + 3:
        return _constant(samples, offset, scale)
    candidates = {"linear": _drift_candidate(samples, offset, scale, quadratic=False)}
    # Fine pixels lie beyond the coarse ones that it would learn from without a blur, where a square runs away.
    if whiten and channels <= MOST_QUADRATIC and count >= 2 * (1 + channels) * (2 + channels) // 2:
        candidates["quadratic"] = _drift_candidate(samples, offset, scale, quadratic=True)
    points, roots = np.zeros((0, channels)), {}
    if count >= 4 * (1 + channels):
        points = choose_centres(standardised(pixels, offset, scale), centres, spread=whiten)
        drift = candidates["linear"].maps
        for length in LENGTHS:
            root = _inverse_root(points, length)
            maps = [_kernel_maps(sample, offset, scale, points, root, length) for sample in samples]
            shares = np.concatenate([[0.0], np.full(channels, DRIFT_SHARE), np.ones(root.shape[1])])
            name = _kernel_name(length)
            roots[name] = length, root
            both = zip(drift, maps, strict=True)
            candidates[name] = Candidate(tuple(np.concatenate(pair) for pair in both), shares)
    spectrum = np.ones(BINS)
    for _ in range(2 if whiten else 1):
        trials = {name: try_candidate(samples, part, gains, spectrum) for name, part in candidates.items()}
        mixture = _mixture(trials, roots)
        residuals = _residuals(samples, candidates, trials, mixture)
        spectrum = radial_spectrum(residuals, gains)
    return _finished(offset, scale, points, roots, trials, mixture, residuals, bands)


def _thinned(guide: np.ndarray) -> np.ndarray:
    flat = guide.reshape(len(guide), -1)
    return flat[:, :: max(1, flat.shape[1] // 50_000)]


def _kernel_name(length: float) -> str:
    return f"kernel {length:g}"


def _constant(samples: Sequence[Sample], offset: np.ndarray, scale: np.ndarray) -> Regression:
    """Too few pixels to learn from: the mean."""
    inner = [sample.inner_targets for sample in samples]
    mean = np.concatenate([part.reshape(len(part), -1) for part in inner], axis=1).mean(1, dtype=np.float64)
    drift = np.zeros((1 + len(offset), len(mean)))
    drift[0] = mean
    residuals = tuple(part - mean[:, None, None].astype(np.float32) for part in inner)
    return Regression(offset, scale, np.zeros((0, len(offset))), (), (), drift, "constant", {}, residuals)


def _drift_candidate(samples: Sequence[Sample], offset: np.ndarray, scale: np.ndarray, *, quadratic: bool) -> Candidate:
    maps = []
    for sample in samples:
        pixels = standardised(sample.guide.reshape(len(offset), -1), offset, scale)
        features = drift_features(pixels, quadratic=quadratic)
        maps.append(sample.lowered(features.reshape(-1, *sample.guide.shape[1:])))
    shares = np.ones(len(maps[0]))
    shares[0] = 0
    return Candidate(tuple(maps), shares)


def _inverse_root(points: np.ndarray, length: float) -> np.ndarray:
    """(p, p') that turns kernel values into features of unit prior variance: K^(-1/2) without its null space."""
    square = np.sum((points[:, None] - points[None]) ** 2, axis=2) * 4.0 / points.shape[1]
    values, vectors = np.linalg.eigh(matern(np.sqrt(square), length))
    kept = values > 1e-7 * values[-1]
    return vectors[:, kept] / np.sqrt(values[kept])


def _kernel_maps(
    sample: Sample, offset: np.ndarray, scale: np.ndarray, points: np.ndarray, root: np.ndarray, length: float
) -> np.ndarray:
    """Kernel features (p', h', w') of a sample."""
    pixels = standardised(sample.guide.reshape(len(offset), -1), offset, scale)
    step = max(1, MAP_BYTES // (4 * pixels.shape[1]))
    low = []
    for first in range(0, len(points), step):
        group = points[first : first + step]
        maps = np.empty((len(group), pixels.shape[1]), np.float32)
        for start in range(0, pixels.shape[1], CHUNK):
            part = slice(start, start + CHUNK)
            maps[:, part] = matern(distances(group, pixels[:, part]), length)
        low.append(sample.lowered(maps.reshape(-1, *sample.guide.shape[1:])))
    return np.tensordot(root.T, np.concatenate(low).astype(np.float64), 1).astype(np.float32)


def _mixture(trials: dict[str, Trial], roots: dict) -> dict[str, float]:
    """The winner, or, if it is a kernel, all kernels with weights that fall with their error."""
    winner = min(trials, key=lambda name: trials[name].error)
    if winner not in roots:
        return {winner: 1.0}
    least = max(trials[winner].error, 1e-300)
    shares = {name: (least / max(trials[name].error, least)) ** SHARPNESS for name in roots}
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def _residuals(
    samples: Sequence[Sample], candidates: dict[str, Candidate], trials: dict[str, Trial], mixture: dict[str, float]
) -> tuple[np.ndarray, ...]:
    residuals = [sample.inner_targets.astype(np.float32) for sample in samples]
    for name, share in mixture.items():
        for image, predicted in zip(residuals, out_of_fold(samples, candidates[name], trials[name]), strict=True):
            image -= np.float32(share) * predicted
    return tuple(residuals)


def _finished(
    offset: np.ndarray,
    scale: np.ndarray,
    points: np.ndarray,
    roots: dict[str, tuple[float, np.ndarray]],
    trials: dict[str, Trial],
    mixture: dict[str, float],
    residuals: tuple[np.ndarray, ...],
    bands: int,
) -> Regression:
    errors = {name: float(np.sqrt(trial.plain / bands)) for name, trial in trials.items()}
    name = next(iter(mixture))
    if name not in roots:
        empty = np.zeros((0, len(offset)))
        return Regression(offset, scale, empty, (), (), trials[name].weights, name, errors, residuals)
    free = 1 + len(offset)
    drift = np.sum([share * trials[part].weights[:free] for part, share in mixture.items()], axis=0)
    weights = tuple(share * (roots[part][1] @ trials[part].weights[free:]) for part, share in mixture.items())
    lengths = tuple(roots[part][0] for part in mixture)
    return Regression(offset, scale, points, lengths, weights, drift, "kernel", errors, residuals)
