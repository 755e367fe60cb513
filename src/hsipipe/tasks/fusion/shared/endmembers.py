"""Endmember spectra of a scene, and how many of them there are.

Sources: Nascimento and Bioucas-Dias, "Vertex component analysis: a fast algorithm to unmix hyperspectral data", IEEE
TGRS 43(4), 898-910, 2005, doi:10.1109/TGRS.2005.844293; Lee and Seung, "Learning the parts of objects by non-negative
matrix factorization", Nature 401, 788-791, 1999, doi:10.1038/44565; Cichocki and Phan, "Fast local algorithms for large
scale nonnegative matrix and tensor factorizations", IEICE Transactions E92-A(3), 2009 (the coordinate descent);
Bioucas-Dias and Nascimento, "Hyperspectral subspace identification", IEEE TGRS 46(8), 2435-2445, 2008,
doi:10.1109/TGRS.2008.918089 (noise by regression).
"""

from __future__ import annotations

import warnings

import numpy as np

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for, seed_for

REGRESSORS = 8  # neighbouring bands that predict a band where there are too few spectra for all of them
MARGIN = 1.05  # how far above the largest eigenvalue of pure noise a variance must lie to be of the signal
FAINTEST = 1e-3  # of the mean brightness: fainter spectra have no shape left that a projection could scale


def check_spectra(spectra: np.ndarray, count: int | None = None) -> np.ndarray:
    """Spectra as float64, or the error that says what is wrong with them or with the number wanted.

    Raises:
        UserError: not (N, C), not finite, or `count` (key "num_endmembers") is below 1 or above min(N, C).
    """
    spectra = np.asarray(spectra, np.float64)
    if spectra.ndim != 2 or 0 in spectra.shape:
        raise UserError("the spectra must be (spectra, bands)", found=spectra.shape)
    if not np.isfinite(spectra).all():
        raise UserError("the spectra must be finite", remedy="mask or fill the invalid pixels first")
    if count is not None and not 1 <= count <= min(spectra.shape):
        raise UserError(
            "must be from 1 to the lesser of spectra and bands",
            key="num_endmembers",
            found=f"{count} for {spectra.shape[0]} spectra of {spectra.shape[1]} bands",
        )
    return spectra


def vca(spectra: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Endmembers by vertex component analysis: the extreme spectra along `count` directions orthogonal to each other.

    Args:
        spectra: (N, C), finite.
        count: K, from 1 to min(N, C).
        seed: of the random directions.

    Returns:
        (K, C) float32, the chosen spectra projected on the signal subspace; for K = 1 the mean spectrum.

    Raises:
        UserError: as `check_spectra`.
    """
    spectra = check_spectra(spectra, count)
    mean = spectra.mean(0)
    if count == 1:
        return mean[None].astype(np.float32)
    if _is_clean(spectra, mean, count):
        basis = _leading(spectra.T @ spectra, count)
        scores = spectra @ basis
        # Projective projection: all spectra on the hyperplane through the mean one, so that shading does not count.
        scale = scores @ scores.mean(0)
        # Deviation: spectra that are almost orthogonal to the mean one, or dark, would be thrown to infinity.
        bright = scale > FAINTEST * scale.mean()
        points = np.where(bright[:, None], scores, scores.mean(0)) / np.where(bright, scale, scale.mean())[:, None]
        restored = scores @ basis.T
    else:
        centred = spectra - mean
        basis = _leading(centred.T @ centred, count - 1)
        scores = centred @ basis
        longest = float(np.sqrt((scores**2).sum(1).max()))
        points = np.column_stack([scores, np.full(len(scores), longest or 1.0)])
        restored = scores @ basis.T + mean
    return restored[_vertices(points, generator_for("vca", seed))].astype(np.float32)


def nmf_endmembers(
    spectra: np.ndarray, count: int, *, seed: int = 0, max_iterations: int = 5000, representatives: int | None = None
) -> np.ndarray:
    """Endmembers as the spectra of a non-negative matrix factorisation (coordinate descent, Frobenius norm).

    Args:
        spectra: (N, C); clipped to [0, 1].
        count: K, from 1 to min(N, C).
        seed: of the randomised start and of the choice of representatives.
        max_iterations: at most so many sweeps; it ends earlier when the error no longer falls.
        representatives: factorise at most so many spectra, drawn at random, after those that VCA finds to be extreme;
            None factorises all.

    Returns:
        (K, C) float32, non-negative.

    Raises:
        UserError: as `check_spectra`.
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    spectra = check_spectra(spectra, count)
    if representatives is not None and max(representatives, count) < len(spectra):
        drawn = generator_for("nmf representatives", seed).choice(len(spectra), max(representatives, count), False)
        spectra = np.concatenate([vca(spectra, count, seed=seed), spectra[np.sort(drawn)]])
    factors = NMF(count, init="nndsvda", max_iter=max_iterations, random_state=seed_for("nmf", seed) % 2**31)
    with warnings.catch_warnings():
        # The number of sweeps is a setting: reaching it is no news.
        warnings.simplefilter("ignore", ConvergenceWarning)
        factors.fit(np.clip(spectra, 0.0, 1.0))
    return factors.components_.astype(np.float32)


def estimate_count(spectra: np.ndarray, *, maximum: int | None = None) -> int:
    """How many directions of the spectra stand out of the noise.

    The noise variance of each band is what its regression on the others leaves of it (on its neighbours, where there
    are few spectra). Of the covariance whitened by it, those eigenvalues count that lie above the largest that noise
    alone would give, (1 + sqrt(C / N))^2 (Marchenko and Pastur 1967).

    Args:
        spectra: (N, C), finite.
        maximum: never more than this.

    Returns:
        At least 1, at most min(N, C) and `maximum`.
    """
    spectra = check_spectra(spectra)
    limit = min(*spectra.shape, maximum or min(spectra.shape))
    centred = spectra - spectra.mean(0)
    alive = centred.std(0) > 1e-9 * max(np.abs(spectra).max(), 1e-30)
    centred = centred[:, alive]
    if len(centred) < 3 or centred.shape[1] < 2:
        return 1
    noise = regression_noise(centred)
    values = np.linalg.eigvalsh(centred.T @ centred / (len(centred) - 1) / np.sqrt(np.outer(noise, noise)))
    edge = MARGIN * (1 + np.sqrt(centred.shape[1] / len(centred))) ** 2
    # One more than the directions of variation: the mean spectrum, too, needs an endmember.
    return int(np.clip((values > edge).sum() + 1, 1, limit))


def regression_noise(centred: np.ndarray) -> np.ndarray:
    """Noise variance per band of centred spectra (N, C), N > 2, C > 1: what the other bands do not predict of it."""
    count, bands = centred.shape
    # Noise-free spectra leave nothing; a millionth of a band's variance is the floor that float32 data can carry.
    floor = 1e-12 + 1e-9 * (centred**2).mean(0)
    if count > 4 * bands:
        moments = centred.T @ centred / (count - 1)
        precision = np.linalg.inv(moments + 1e-10 * np.trace(moments) / bands * np.eye(bands))
        return np.maximum(count / (count - bands) / np.diag(precision), floor)
    used = max(1, min(REGRESSORS, bands - 1, count // 3))
    noise = np.empty(bands)
    for band in range(bands):
        nearest = np.argsort(np.abs(np.arange(bands) - band), kind="stable")[1 : used + 1]
        left = centred[:, nearest]
        weights = np.linalg.lstsq(left, centred[:, band], rcond=None)[0]
        noise[band] = ((centred[:, band] - left @ weights) ** 2).sum() / (count - used - 1)
    return np.maximum(noise, floor)


def _leading(moments: np.ndarray, count: int) -> np.ndarray:
    """The `count` leading eigenvectors, in columns, each with its largest entry positive."""
    vectors = np.linalg.eigh(moments)[1][:, ::-1][:, :count]
    return vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(count)])


def _is_clean(spectra: np.ndarray, mean: np.ndarray, count: int) -> bool:
    """Whether the signal-to-noise ratio is above 15 + 10 log10 K dB (Nascimento and Bioucas-Dias, section III-B)."""
    centred = spectra - mean
    scores = centred @ _leading(centred.T @ centred, count)
    total = (spectra**2).sum() / len(spectra)
    kept = (scores**2).sum() / len(spectra) + mean @ mean
    signal, noise = kept - count / spectra.shape[1] * total, total - kept
    if noise <= 1e-12 * total:
        return True
    return bool(signal > 0 and 10 * np.log10(signal / noise) > 15 + 10 * np.log10(count))


def _vertices(points: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Indices of K points of (N, K): each the farthest along a random direction orthogonal to those found before."""
    count = points.shape[1]
    found = np.zeros((count, count))
    found[-1, 0] = 1.0
    indices = np.empty(count, int)
    for step in range(count):
        direction = generator.standard_normal((count,))
        direction = direction - found @ (np.linalg.pinv(found) @ direction)
        indices[step] = np.abs(points @ direction).argmax()
        found[:, step] = points[indices[step]]
    return indices
