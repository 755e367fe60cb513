"""How far classes lie apart among embeddings: silhouettes with a shuffled null."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError, unknown
from hsipipe.metrics.embedding_neighbours import unit_rows
from hsipipe.metrics.embedding_permutations import permuted_labels
from hsipipe.metrics.embedding_probe import fit_scaling
from hsipipe.randomness import generator_for

DISTANCES = ("euclidean", "cosine")


@dataclass(frozen=True)
class Silhouette:
    """A mean silhouette and its null.

    Attributes: value: -1 to 1; samples (N,); null (P,): values with shuffled labels; p: share of the null, the true
    value included, that is as high.
    """

    value: float
    samples: np.ndarray
    null: np.ndarray
    p: float

    @property
    def null_mean(self) -> float:
        """Mean of the null: the silhouette of classes that mean nothing."""
        return float(self.null.mean())


def distance_matrix(features: np.ndarray, *, distance: str = "euclidean") -> np.ndarray:
    """Distances (N, N) float64 between all samples.

    Args:
        features: (N, D) finite numbers.
        distance: `euclidean` on standardised features (a feature that does not vary counts for nothing), or `cosine`,
            1 less the cosine of the angle, on the features as they are.

    Raises:
        UserError: another name, or numbers that are not finite.
    """
    from scipy.spatial.distance import cdist

    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise UserError("embeddings must be (samples, features) and finite", found=features.shape)
    if distance == "euclidean":
        standard = fit_scaling(features).apply(features)
        return cdist(standard, standard)
    if distance != "cosine":
        raise unknown("distance", distance, DISTANCES)
    units = unit_rows(features)
    matrix = np.clip(1 - units @ units.T, 0, 2)
    np.fill_diagonal(matrix, 0)
    return matrix


def silhouette(
    distances: np.ndarray,
    labels: np.ndarray,
    *,
    permutations: int = 99,
    seed: int = 0,
    groups: np.ndarray | None = None,
    strata: np.ndarray | None = None,
) -> Silhouette:
    """Mean silhouette of classes, and its null.

    A sample's silhouette is (b - a) / max(a, b), with a its mean distance to the others of its class and b the smallest
    mean distance to another class; 0 where it is alone in its class.

    Args:
        distances: (N, N), as of `distance_matrix`.
        labels: (N,) of at least two classes.
        permutations, seed: of the null.
        groups, strata: as for `permuted_labels`.

    Raises:
        UserError: fewer than two classes, or shapes that differ.

    Source: P. J. Rousseeuw, Journal of Computational and Applied Mathematics 20, 1987,
    doi:10.1016/0377-0427(87)90125-7.
    """
    classes, codes = _check(distances, labels)
    samples = _silhouettes(distances, codes, classes)
    generator = generator_for("silhouette null", seed)
    shuffled = permuted_labels(codes, permutations=permutations, generator=generator, groups=groups, strata=strata)
    null = np.array([_silhouettes(distances, one, classes).mean() for one in shuffled])
    value = float(samples.mean())
    p = (1 + int((null >= value - 1e-12).sum())) / (1 + permutations)
    return Silhouette(value, samples, null, p)


def _silhouettes(distances: np.ndarray, codes: np.ndarray, classes: int) -> np.ndarray:
    member = np.zeros((len(codes), classes))
    rows = np.arange(len(codes))
    member[rows, codes] = 1
    sums, counts = distances @ member, member.sum(0)
    own = counts[codes]
    inside = sums[rows, codes] / np.maximum(own - 1, 1)
    means = np.divide(sums, counts, out=np.full_like(sums, np.inf), where=counts > 0)
    means[rows, codes] = np.inf
    outside = means.min(1)
    largest = np.maximum(inside, outside)
    values = np.divide(outside - inside, largest, out=np.zeros(len(codes)), where=(largest > 0) & np.isfinite(largest))
    return np.where(own > 1, values, 0.0)


def _check(distances: np.ndarray, labels: np.ndarray) -> tuple[int, np.ndarray]:
    classes, codes = np.unique(labels, return_inverse=True)
    if distances.shape != (len(codes), len(codes)):
        raise UserError(f"distances of {distances.shape} do not fit {len(codes)} labels")
    if len(classes) < 2:
        raise UserError("separation needs samples of at least two classes", key="labels")
    return len(classes), codes
