"""Nearest neighbours by the angle between embeddings: what can be read from them without fitting anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hsipipe.errors import UserError

NEIGHBOURS = (5, 20)


def predict_by_neighbours(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, counts: Sequence[int] = NEIGHBOURS, rows: int = 1024
) -> dict[int, np.ndarray]:
    """The class most frequent among the k training samples of largest cosine similarity.

    Ties of votes go to the class with the larger sum of similarities; a k above the number of training samples means
    all of them.

    Args:
        train: (N, D); labels: (N,); test: (M, D). A vector of zeros has similarity 0 to all.
        counts: values of k, at least 1.
        rows: how many test samples are compared at a time.

    Returns:
        k -> (M,) classes.

    Raises:
        UserError: numbers of features that differ, no training sample, or a k below 1.

    Source: T. Cover, P. Hart, IEEE Transactions on Information Theory 13(1), 1967, doi:10.1109/TIT.1967.1053964.
    """
    first, second = unit_rows(train), unit_rows(test)
    if first.shape[1] != second.shape[1] or not len(first) == len(labels) > 0:
        raise UserError(f"training features of {first.shape} with {len(labels)} labels do not fit {second.shape}")
    if not counts or min(counts) < 1:
        raise UserError("must be at least 1", key="neighbours", found=list(counts))
    classes, codes = np.unique(labels, return_inverse=True)
    predicted = {k: np.empty(len(second), classes.dtype) for k in counts}
    largest = min(max(counts), len(first))
    for start in range(0, len(second), rows):
        part = slice(start, start + rows)
        similarity = second[part] @ first.T
        # Stable, so that equal similarities fall to the earlier sample on every machine.
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :largest]
        near = np.take_along_axis(similarity, nearest, 1)
        for k in counts:
            chosen = codes[nearest[:, :k]]
            votes = np.zeros((len(chosen), len(classes)))
            lines = np.arange(len(chosen))[:, None]
            np.add.at(votes, (lines, chosen), 1)
            # Sums of k similarities in [-1, 1] divided by 4k stay below half a vote.
            np.add.at(votes, (lines, chosen), near[:, :k] / (4 * k))
            predicted[k][part] = classes[votes.argmax(1)]
    return predicted


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows of (N, D) divided by their Euclidean norm, float64; rows of zeros stay."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2:
        raise UserError("embeddings must be (samples, features)", found=features.shape)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.divide(features, norms, out=np.zeros_like(features), where=norms > 0)
