"""k-means with careful seeding, in products of matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError

CHUNK = 16384


@dataclass(frozen=True)
class KMeans:
    """Attributes: centres (K, d) float32; inertia, the mean squared distance of a sample to its centre; iterations."""

    centres: np.ndarray
    inertia: float
    iterations: int

    def labels(self, samples: np.ndarray) -> np.ndarray:
        """The nearest centre, 0 to K-1, of samples (N, d): (N,) int64."""
        return nearest(samples, self.centres)[0]


def nearest(samples: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (N,) of the nearest of centres (K, d) and the squared distance (N,) float32 to it."""
    labels, distances = np.empty(len(samples), np.int64), np.empty(len(samples), np.float32)
    norms = (centres.astype(np.float64) ** 2).sum(1).astype(np.float32) / 2
    for start in range(0, len(samples), CHUNK):
        part = samples[start : start + CHUNK]
        scores = part @ centres.T - norms
        best = scores.argmax(1)
        labels[start : start + CHUNK] = best
        differences = part - centres[best]
        distances[start : start + CHUNK] = np.einsum("nd,nd->n", differences, differences)
    return labels, distances


def seed_centres(
    samples: np.ndarray, clusters: int, random: np.random.Generator, weights: np.ndarray | None = None
) -> np.ndarray:
    """Greedy k-means++: each centre is the best of a few samples drawn in proportion to the squared distance.

    Source: D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007 (section 5 for the
    greedy form).

    Raises:
        UserError: fewer different samples than clusters.
    """
    share = np.ones(len(samples)) if weights is None else np.asarray(weights, np.float64)
    trials = 2 + int(np.log(clusters))
    chosen = [int(random.choice(len(samples), p=share / share.sum()))]
    distances = _squared_to(samples, chosen)[0]
    for _ in range(1, clusters):
        chances = np.cumsum(distances * share, dtype=np.float64)
        if chances[-1] <= 0:
            raise UserError(
                f"{len(chosen)} different samples cannot make {clusters} clusters",
                key="clusters",
                remedy="ask for fewer",
            )
        drawn = np.searchsorted(chances, random.random(trials) * chances[-1], side="right")
        candidates = np.minimum(_squared_to(samples, np.minimum(drawn, len(samples) - 1)), distances)
        best = int((candidates @ share).argmin())
        chosen.append(int(drawn[best]))
        distances = candidates[best]
    return samples[chosen]


def _squared_to(samples: np.ndarray, chosen: list[int] | np.ndarray) -> np.ndarray:
    """Squared distances (trials, N) from some samples to all."""
    return np.stack([np.einsum("nd,nd->n", delta, delta) for delta in (samples - samples[index] for index in chosen)])


def lloyd(
    samples: np.ndarray,
    centres: np.ndarray,
    *,
    iterations: int = 100,
    tolerance: float = 1e-4,
    weights: np.ndarray | None = None,
) -> KMeans:
    """Move centres to the means of their members until the mean squared distance falls by less than a share.

    Source: S. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 28(2), 1982.

    Args:
        samples: (N, d) float32.
        centres: (K, d), where to start.
        iterations: at most so many.
        tolerance: relative fall of the mean squared distance that ends the search.
        weights: (N,) of the samples, or None for equal ones.
    """
    share = np.ones(len(samples), np.float32) if weights is None else np.asarray(weights, np.float32)
    share = share / share.sum(dtype=np.float64)
    before, count = np.inf, 0
    labels, distances = nearest(samples, centres)
    inertia = float(distances @ share)
    while count < iterations and before - inertia > tolerance * inertia:
        count += 1
        mass = np.bincount(labels, share, len(centres))
        sums = np.stack([np.bincount(labels, column * share, len(centres)) for column in samples.T], axis=1)
        moved = sums / np.maximum(mass, 1e-300)[:, None]
        for empty in np.flatnonzero(mass == 0):
            # A centre without members takes the sample that is worst served.
            worst = int((distances * share).argmax())
            moved[empty], distances[worst] = samples[worst], 0
        centres, before = moved.astype(np.float32), inertia
        labels, distances = nearest(samples, centres)
        inertia = float(distances @ share)
    return KMeans(np.asarray(centres, np.float32), inertia, count)


def fit_k_means(
    samples: np.ndarray,
    clusters: int,
    *,
    starts: int,
    random: np.random.Generator,
    weights: np.ndarray | None = None,
) -> KMeans:
    """The best of several runs from different seeds.

    Args:
        samples: (N, d) float32.
        clusters: K, at most the number of different samples.
        starts: how many runs.
        random: draws the seeds.
        weights: (N,) of the samples, or None.

    Raises:
        UserError: as `seed_centres`.
    """
    runs = (lloyd(samples, seed_centres(samples, clusters, random, weights), weights=weights) for _ in range(starts))
    return min(runs, key=lambda run: run.inertia)
