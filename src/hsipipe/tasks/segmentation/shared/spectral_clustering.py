"""Spectral clustering: groups of points that a walk along near neighbours seldom leaves.

Sources: A. Ng, M. Jordan and Y. Weiss, "On spectral clustering: analysis and an algorithm", NIPS 2001; L. Zelnik-Manor
and P. Perona, "Self-tuning spectral clustering", NIPS 2004.
"""

from __future__ import annotations

import numpy as np

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.k_means import fit_k_means

DENSE = 400  # points up to which all eigenvalues are computed at once


def neighbour_graph(points: np.ndarray, neighbours: int):
    """Symmetric sparse weights (n, n) between points (n, d) and their nearest: exp(-d_ij^2 / (s_i s_j)).

    s_i is the distance of point i to its last neighbour, so that the weights follow the local density. Two points are
    joined if either is among the nearest of the other.

    Args:
        points: (n, d), n >= 2.
        neighbours: of each point; at most n - 1 are used.
    """
    from scipy.sparse import coo_matrix
    from scipy.spatial import cKDTree

    count = min(neighbours, len(points) - 1)
    distances, index = cKDTree(points).query(points, count + 1)
    # A point comes first among its own neighbours, unless others lie on the very same spot; no loops either way.
    source, target = np.repeat(np.arange(len(points)), count + 1), index.ravel()
    reach = np.maximum(distances[:, -1], 1e-6 * distances.max())
    # Where all of them lie on one spot the weight is exp(0).
    weights = np.exp(-(distances.ravel() ** 2) / np.maximum(reach[source] * reach[target], np.finfo(float).tiny))
    other = source != target
    graph = coo_matrix((weights[other], (source[other], target[other])), shape=(len(points),) * 2).tocsr()
    return graph.maximum(graph.T)


def spectral_clusters(
    points: np.ndarray, clusters: int, *, random: np.random.Generator, neighbours: int = 10, starts: int = 10
) -> np.ndarray:
    """Cluster points by k-means on the first eigenvectors of their graph's normalised Laplacian, rows of unit length.

    Args:
        points: (n, d).
        clusters: K, at most n.
        random: draws the starts.
        neighbours: see `neighbour_graph`.
        starts: of the k-means.

    Returns:
        Labels (n,), 0 to K-1.

    Raises:
        UserError: fewer different points than clusters.
    """
    if clusters == 1:
        return np.zeros(len(points), np.int64)
    different = len(np.unique(points, axis=0))
    if different < clusters:
        raise UserError(f"{different} different points cannot make {clusters} clusters", key="clusters")
    if clusters == len(points):
        return np.arange(len(points))
    vectors = _lowest(neighbour_graph(points, neighbours), clusters, random)[1]
    rows = (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return fit_k_means(rows, clusters, starts=starts, random=random).labels(rows)


def _lowest(graph, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The `count` smallest eigenvalues of I - D^-1/2 W D^-1/2 in rising order, and their vectors (n, count)."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import eigsh

    degree = np.asarray(graph.sum(1)).ravel()
    root = diags(1 / np.sqrt(np.maximum(degree, 1e-300)))
    similarity = root @ graph @ root
    if graph.shape[0] <= max(DENSE, 3 * count):
        values, vectors = np.linalg.eigh(similarity.toarray())
    else:
        # The largest of the similarity are the smallest of the Laplacian, and what Lanczos finds first.
        values, vectors = eigsh(similarity, k=count, which="LA", v0=random.standard_normal(graph.shape[0]))
    order = np.argsort(-values)[:count]
    return 1 - values[order], vectors[:, order]
