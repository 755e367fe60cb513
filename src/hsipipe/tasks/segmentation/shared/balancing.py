"""Weights of classes, so that the rare count for as much as the frequent."""

from __future__ import annotations

import numpy as np

from hsipipe.errors import UserError, unknown

KINDS = ("none", "inverse", "deephyp")


def class_weights(labels: np.ndarray, classes: int, *, kind: str) -> np.ndarray:
    """The weight of each class, (classes,) float64.

    none: 1 each. inverse: inverse to the class's number of samples, scaled to a mean of 1 over the samples, so that the
    loss keeps its size; a class without samples has 0. deephyp: the largest number plus one over the class's number
    plus one, as that program has it per batch (for it, give the labels of a batch); not scaled: 6, 2 and 0 samples give
    1, 2.33 and 7.

    Args:
        labels: any shape, classes from 0 to `classes` - 1; negative labels are not counted.
        classes: how many there are.

    Raises:
        UserError: a kind that there is not, a label from `classes` on, or no labels at all.
    """
    if kind not in KINDS:
        raise unknown("class balancing", kind, KINDS)
    given = np.asarray(labels).ravel()
    given = given[given >= 0].astype(np.int64)
    if not given.size:
        raise UserError("no sample has a class", key="class_weights")
    if given.max() >= classes:
        raise UserError(f"classes go from 0 to {classes - 1}", key="class_weights", found=int(given.max()))
    counts = np.bincount(given, minlength=classes).astype(np.float64)
    if kind == "none":
        return np.ones(classes)
    if kind == "deephyp":
        return (counts.max() + 1) / (counts + 1)
    present = counts > 0
    weights = np.zeros(classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
