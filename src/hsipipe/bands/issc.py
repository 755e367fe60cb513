"""ISSC: band selection by improved sparse subspace clustering."""

from __future__ import annotations

import numpy as np

from hsipipe.bands.candidates import Candidates, Choice
from hsipipe.bands.ranking import correlation
from hsipipe.errors import UserError
from hsipipe.randomness import seed_for


def issc(candidates: Candidates, *, count: int, regularisation: float = 0.03, seed: int = 0) -> Choice:
    """One representative band of each of `count` groups of bands that represent each other.

    1. Every band is written as a combination of the others with a penalty on the squared coefficients (least-squares
       regression): minimise |X - X W|^2 + r |W|^2 with diag W = 0. In closed form, with Z = (X'X + r I)^-1:
       W_ij = -Z_ij / Z_jj.
    2. Similarity of two bands: the squared cosine between their coefficient vectors.
    3. Normalised-cut spectral clustering of the similarities.
    4. The band nearest to the mean of its cluster represents it. The score is the cluster's size.

    Only the correlation of the bands enters, so the number of pixels does not matter.

    Source: Sun, Zhang, Du, Li, Lai, "Band selection using improved sparse subspace clustering for hyperspectral imagery
    classification", IEEE JSTARS 8(6), 2015; step 1: Lu et al., "Robust and efficient subspace segmentation via least
    squares regression", ECCV 2012.

    Args:
        count: number of bands. Deviation: given, where the paper can also estimate it.
        regularisation: r, for bands of zero mean and unit norm.
        seed: for the k-means step of the clustering.
    """
    number = candidates.check_count(count)
    if not regularisation > 0:
        raise UserError("must be above 0", key="bands.regularisation", found=repr(regularisation))
    # Deviation: bands are centred. Reflectances are positive, so that without it all bands lie near one direction.
    gram = correlation(candidates.covariance())
    inverse = np.linalg.inv(gram + regularisation * np.eye(len(gram)))
    coefficients = -inverse / np.diag(inverse)
    # Deviation: a band stands for itself with weight 1 (the diagonal, 0 in W, matters in step 2 alone): two bands that
    # represent none but each other would have coefficient vectors at right angles and never be grouped.
    np.fill_diagonal(coefficients, 1.0)
    unit = coefficients / np.linalg.norm(coefficients, axis=0)
    similarity = (unit.T @ unit) ** 2
    labels = normalised_cut(similarity, number, seed)
    chosen = np.zeros(number, int)
    sizes = np.zeros(number)
    for cluster in range(number):
        members = np.flatnonzero(labels == cluster)
        # Distance to the mean of the members, less what they share: x_i'x_i - 2 x_i' mean.
        block = gram[np.ix_(members, members)]
        chosen[cluster] = members[np.argmin(np.diag(block) - 2 * block.mean(axis=1))]
        sizes[cluster] = len(members)
    return chosen, sizes


def normalised_cut(similarity: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Labels 0 ... clusters - 1, each used at least once, of a symmetric non-negative similarity matrix (n, n).

    Rows of the leading eigenvectors of D^-1/2 S D^-1/2, scaled to unit length, are grouped by k-means (Ng, Jordan,
    Weiss, "On spectral clustering", NIPS 2001).
    """
    if clusters >= len(similarity):
        return np.arange(len(similarity))
    from scipy.linalg import eigh
    from sklearn.cluster import KMeans

    degree = 1 / np.sqrt(similarity.sum(axis=1))
    size = len(similarity)
    _, vectors = eigh(similarity * degree[:, None] * degree, subset_by_index=[size - clusters, size - 1])
    rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    labels = KMeans(clusters, n_init=10, random_state=seed_for("issc", seed) % 2**32).fit_predict(rows)
    return _fill_empty(labels, clusters)


def _fill_empty(labels: np.ndarray, clusters: int) -> np.ndarray:
    """Give an empty cluster (identical rows) one member of the largest."""
    for cluster in range(clusters):
        if not (labels == cluster).any():
            largest = np.bincount(labels, minlength=clusters).argmax()
            labels[np.flatnonzero(labels == largest)[-1]] = cluster
    return labels
