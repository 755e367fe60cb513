"""How well clusters match classes, labelled pixels only: NMI, ARI, purity, and accuracy after the best matching."""

from __future__ import annotations

import numpy as np

from hsipipe.errors import UserError
from hsipipe.metrics.registry import METRICS

CLUSTERING_METRICS = ("nmi", "ari", "purity", "hungarian_oa", "hungarian_aa", "hungarian_kappa", "clusters")


def score_clusters(truth: np.ndarray, predicted: np.ndarray) -> list[tuple[str, float, str]]:
    """All scores of a cluster map against a label map.

    Pixels whose label is 0 or below are left out, whatever their cluster. A labelled pixel of cluster 0 (no cluster)
    counts: as a cluster of its own, that is matched to no class.

    - `nmi`: mutual information over the arithmetic mean of the two entropies, 0 to 1;
    - `ari`: adjusted Rand index (Hubert and Arabie, 1985), 1 at best, 0 by chance;
    - `purity`: share of pixels that are of the commonest class of their cluster (grows with the number of clusters);
    - `hungarian_oa`, `hungarian_aa`, `hungarian_kappa`: overall accuracy, mean recall and Cohen's kappa after each
      cluster has been given at most one class, such that the overall accuracy is largest (Kuhn, 1955);
    - `clusters`: how many clusters the labelled pixels lie in.

    Args:
        truth: (H, W) integers.
        predicted: (H, W) integers.

    Returns:
        (metric, value, unit) in the order of `CLUSTERING_METRICS`.

    Raises:
        UserError: shapes that differ, or no labelled pixel.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    table = contingency(truth, predicted)
    labelled = truth > 0
    classes, clusters = truth[labelled], predicted[labelled]
    has_none = bool((clusters <= 0).any())
    matched = table[:, 1:] if has_none else table
    confusion = best_matching(matched)
    total, correct = table.sum(), np.diag(confusion).sum()
    # Pixels of clusters without a class are predicted as none of the classes.
    chance = float((table.sum(1) * confusion.sum(0)).sum() / total**2)
    accuracy = float(correct / total)
    scores = {
        "nmi": float(normalized_mutual_info_score(classes, clusters, average_method="arithmetic")),
        "ari": float(adjusted_rand_score(classes, clusters)),
        "purity": float(matched.max(0, initial=0).sum() / total),
        "hungarian_oa": accuracy,
        "hungarian_aa": float((np.diag(confusion) / table.sum(1)).mean()),
        "hungarian_kappa": (accuracy - chance) / (1 - chance) if chance < 1 else float(accuracy == 1),
        "clusters": float(matched.shape[1]),
    }
    return [(name, float(scores[name]), METRICS[name].unit) for name in CLUSTERING_METRICS]


def contingency(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Pixels of each class (rows, in rising order) in each cluster (columns, likewise); labelled pixels only.

    Clusters of 0 and below are counted as one.

    Raises:
        UserError: shapes that differ, or no labelled pixel.
    """
    if truth.shape != predicted.shape:
        raise UserError(f"a map of clusters of {predicted.shape} does not fit labels of {truth.shape}")
    labelled = truth > 0
    if not labelled.any():
        raise UserError("there is no labelled pixel to score the clusters at", found="labels that are all 0 or below")
    classes, rows = np.unique(truth[labelled], return_inverse=True)
    clusters, cols = np.unique(np.maximum(predicted[labelled], 0), return_inverse=True)
    counts = np.bincount(rows * len(clusters) + cols, minlength=len(classes) * len(clusters))
    return counts.reshape(len(classes), len(clusters))


def best_matching(table: np.ndarray) -> np.ndarray:
    """Confusion matrix (classes, classes) after the matching of clusters to classes with the most pixels right.

    A class without a cluster has an empty column; pixels of clusters without a class appear nowhere.

    Args:
        table: (classes, clusters) counts.
    """
    from scipy.optimize import linear_sum_assignment

    classes, clusters = linear_sum_assignment(table, maximize=True)
    confusion = np.zeros((len(table),) * 2, table.dtype)
    confusion[:, classes] = table[:, clusters]
    return confusion
