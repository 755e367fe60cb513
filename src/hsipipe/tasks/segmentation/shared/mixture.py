"""Gaussian mixtures by expectation-maximisation (EM), in products of matrices.

Sources: A. P. Dempster, N. M. Laird and D. B. Rubin, "Maximum likelihood from incomplete data via the EM algorithm",
Journal of the Royal Statistical Society B 39(1), 1977; C. Biernacki, G. Celeux and G. Govaert, "Choosing starting
values for the EM algorithm", Computational Statistics & Data Analysis 41, 2003 (several short runs, the best goes on).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hsipipe.tasks.segmentation.shared.k_means import lloyd, seed_centres
from hsipipe.tasks.segmentation.shared.scaling import moments

COVARIANCES = ("full", "tied", "diagonal")
CHUNK = 4096  # samples worked on at once: what one component makes of them stays in the processor's cache
SHORT_SAMPLES, SHORT_ITERATIONS = 4000, 10


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture of K components in d dimensions.

    Attributes: weights (K,), sum 1; means (K, d); factors (K, d, d), the lower Cholesky factors of the covariances, all
    float64; kind of the covariances; log_likelihood, mean over the samples of the fit; samples, their number;
    iterations; converged.
    """

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray
    kind: str
    log_likelihood: float = float("nan")
    samples: int = 0
    iterations: int = 0
    converged: bool = False

    @property
    def covariances(self) -> np.ndarray:
        """(K, d, d) float64."""
        return self.factors @ self.factors.transpose(0, 2, 1)

    @property
    def parameters(self) -> int:
        """Free parameters: weights, means and covariances."""
        count, size = self.means.shape
        full = size * (size + 1) // 2
        return count - 1 + count * size + {"full": count * full, "tied": full, "diagonal": count * size}[self.kind]

    def bic(self, effective: float | None = None) -> float:
        """Bayesian information criterion (Schwarz, 1978) of the fit; smaller is better.

        `effective` samples count as independent ones, in the likelihood as in the penalty; None: all do.
        """
        number = self.samples if effective is None else effective
        return -2 * number * self.log_likelihood + self.parameters * float(np.log(number))

    def labels(self, samples: np.ndarray) -> np.ndarray:
        """The most probable component, 0 to K-1, of samples (N, d) float32: (N,) int64."""
        return np.concatenate([scores.argmax(1) for scores in self._scores(samples)])

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """Posterior probabilities (N, K) float32 of the components for samples (N, d)."""
        return np.concatenate([_softmax(scores)[0] for scores in self._scores(samples)])

    def permuted(self, order: np.ndarray) -> Mixture:
        """The same mixture with its components in another order: indices (K,) of the old ones."""
        return replace(self, weights=self.weights[order], means=self.means[order], factors=self.factors[order])

    def marginal(self, size: int) -> Mixture:
        """The mixture of the first `size` dimensions alone."""
        # The leading block of a lower Cholesky factor is the factor of the leading block of the covariance.
        return replace(self, means=self.means[:, :size], factors=self.factors[:, :size, :size])

    def _scores(self, samples: np.ndarray):
        """Log of weight times density, in chunks (n, K) float32."""
        terms = _Terms(self)
        return (terms.scores(samples[start : start + CHUNK])[0] for start in range(0, len(samples), CHUNK))

    def to_state(self) -> dict[str, np.ndarray]:
        """Plain arrays, for `from_state`."""
        return {
            "weights": self.weights,
            "means": self.means,
            "factors": self.factors,
            "covariance": np.array(COVARIANCES.index(self.kind)),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Mixture:
        """The mixture that `to_state` described."""
        weights, means, factors = (np.asarray(state[name], np.float64) for name in ("weights", "means", "factors"))
        return cls(weights, means, factors, COVARIANCES[int(state["covariance"])])


class _Terms:
    """What the densities need of a mixture, made once per pass.

    A sample enters as y = L^-1 (x - m): single precision is enough there, as y is of the size of 1 whatever the scale.
    """

    def __init__(self, mixture: Mixture) -> None:
        size = mixture.means.shape[1]
        inverse = np.linalg.inv(mixture.factors).transpose(0, 2, 1)
        self.maps = inverse.astype(np.float32)
        self.means = mixture.means.astype(np.float32)
        logarithms = np.log(np.diagonal(mixture.factors, axis1=1, axis2=2)).sum(1)
        with np.errstate(divide="ignore"):
            constants = np.log(mixture.weights) - logarithms - 0.5 * size * np.log(2 * np.pi)
        self.constants = constants.astype(np.float32)

    def scores(self, part: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Log of weight times density (n, K), and the whitened samples (n, d) of each component."""
        scores = np.empty((len(part), len(self.means)), np.float32)
        whitened = []
        for component, (mean, inverse) in enumerate(zip(self.means, self.maps, strict=True)):
            y = (part - mean) @ inverse
            scores[:, component] = self.constants[component] - 0.5 * np.einsum("nd,nd->n", y, y)
            whitened.append(y)
        return scores, whitened


def _softmax(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, K), and the log of the sum of exp (n,)."""
    largest = scores.max(1, keepdims=True)
    shares = np.exp(scores - largest)
    total = shares.sum(1, keepdims=True)
    return shares / total, (largest + np.log(total))[:, 0]


def fit_mixture(
    samples: np.ndarray,
    clusters: int,
    *,
    random: np.random.Generator,
    covariance: str = "full",
    floor: float = 1e-3,
    starts: int = 5,
    iterations: int = 100,
    tolerance: float = 1e-3,
) -> Mixture:
    """Fit a mixture: several short runs on part of the samples, the best of them continued on all.

    Args:
        samples: (N, d) float32, roughly centred.
        clusters: K, the number of components.
        random: draws the starts.
        covariance: one of `COVARIANCES`: full, tied (the same for all components) or diagonal.
        floor: added to the diagonal of each covariance, as a share of the samples' mean variance.
        starts: how many short runs, each from its own k-means++ seeds.
        iterations: of the last run, at most.
        tolerance: rise of the mean log-likelihood (nats per sample) that ends a run.

    Raises:
        UserError: as `seed_centres`.
    """
    variance = float(np.diag(moments(samples)[1]).mean())
    ridge = floor * (variance if variance > 0 else 1.0)
    part = samples
    if len(samples) > SHORT_SAMPLES:
        part = samples[random.choice(len(samples), SHORT_SAMPLES, replace=False)]
    runs = []
    for _ in range(starts):
        groups = lloyd(part, seed_centres(part, clusters, random), iterations=5).labels(part)
        start = _from_groups(part, groups, clusters, covariance, ridge)
        runs.append(_climb(part, start, ridge, SHORT_ITERATIONS, tolerance))
    best = max(runs, key=lambda run: run.log_likelihood)
    return _climb(samples, best, ridge, iterations, tolerance)


def _from_groups(samples: np.ndarray, groups: np.ndarray, clusters: int, kind: str, ridge: float) -> Mixture:
    """The mixture whose components are the groups of samples; all share the covariance within groups at first."""
    counts = np.bincount(groups, minlength=clusters)
    sums = np.stack([np.bincount(groups, column, clusters) for column in samples.T], axis=1)
    means = sums / np.maximum(counts, 1)[:, None]
    covariance = moments(samples - means.astype(np.float32)[groups])[1]
    # A group of a few samples has no covariance of its own; the common one is a safe start for all.
    factors = _factors(np.broadcast_to(covariance, (clusters, *covariance.shape)), kind, ridge)
    return Mixture(np.maximum(counts, 1) / np.maximum(counts, 1).sum(), means, factors, kind)


def _factors(covariances: np.ndarray, kind: str, ridge: float) -> np.ndarray:
    """Lower Cholesky factors (K, d, d) of covariances with the floor added."""
    if kind == "diagonal":
        covariances = covariances * np.eye(covariances.shape[-1])
    floored = covariances + ridge * np.eye(covariances.shape[-1])
    try:
        return np.linalg.cholesky(floored)
    except np.linalg.LinAlgError:
        # Rounding can leave a covariance of few, nearly equal members with eigenvalues far below zero.
        values, axes = np.linalg.eigh(covariances)
        values = np.maximum(values, 0) + ridge
        return np.linalg.cholesky((axes * values[..., None, :]) @ axes.swapaxes(-1, -2))


def _climb(samples: np.ndarray, mixture: Mixture, ridge: float, iterations: int, tolerance: float) -> Mixture:
    """EM until the mean log-likelihood rises by less than `tolerance`."""
    before, done = -np.inf, 0
    while True:
        following, likelihood = _iterate(samples, mixture, ridge)
        finished = likelihood - before < tolerance
        if finished or done == iterations:
            return replace(
                mixture,
                log_likelihood=likelihood,
                samples=len(samples),
                iterations=done,
                converged=bool(finished),
            )
        mixture, before, done = following, likelihood, done + 1


def _iterate(samples: np.ndarray, mixture: Mixture, ridge: float) -> tuple[Mixture, float]:
    """One iteration of EM: the next mixture, and the mean log-likelihood of the present one."""
    count, size = mixture.means.shape
    terms = _Terms(mixture)
    mass, shifts, scatters = np.zeros(count), np.zeros((count, size)), np.zeros((count, size, size))
    likelihood = 0.0
    for start in range(0, len(samples), CHUNK):
        scores, whitened = terms.scores(samples[start : start + CHUNK])
        shares, logs = _softmax(scores)
        likelihood += float(logs.sum(dtype=np.float64))
        mass += shares.sum(0, dtype=np.float64)
        for component, y in enumerate(whitened):
            share = shares[:, component]
            shifts[component] += share @ y
            y *= np.sqrt(share)[:, None]
            scatters[component] += y.T @ y
    # The moments are those of y = L^-1 (x - m): nothing cancels, however far the mean lies from the origin.
    held = np.maximum(mass, 10 * np.finfo(float).eps)
    shifts /= held[:, None]
    within = scatters / held[:, None, None] - shifts[:, :, None] * shifts[:, None, :]
    factors = mixture.factors
    covariances = factors @ within @ factors.transpose(0, 2, 1)
    if mixture.kind == "tied":
        covariances = np.broadcast_to(np.einsum("k,kij->ij", mass / mass.sum(), covariances), factors.shape)
    means = mixture.means + np.einsum("kij,kj->ki", factors, shifts)
    following = Mixture(mass / mass.sum(), means, _factors(covariances, mixture.kind, ridge), mixture.kind)
    return following, likelihood / len(samples)
