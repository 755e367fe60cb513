"""Labels shuffled between exchangeable units: the null of PERMANOVA, of the silhouette and of a probe."""

from __future__ import annotations

import numpy as np

from hsipipe.errors import UserError


def permuted_labels(
    labels: np.ndarray,
    *,
    permutations: int,
    generator: np.random.Generator,
    groups: np.ndarray | None = None,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """Shuffled copies of the labels.

    Args:
        labels: (N,).
        permutations: how many copies, at least 1.
        generator: what is drawn from.
        groups: (N,) units that are exchanged whole (both sides of an individual); None: each sample is one.
        strata: (N,) sets that labels do not leave (sessions); None: one set.

    Returns:
        (permutations, N) of the labels' type. Without groups each copy holds every label as often as the original; with
        groups of unequal size the counts of samples may differ.

    Raises:
        UserError: a group with several labels or in several strata, or fewer than one permutation.
    """
    labels = np.asarray(labels)
    count = len(labels)
    if permutations < 1:
        raise UserError("must be at least 1", key="permutations", found=permutations)
    if groups is None:
        members, first = np.arange(count), np.arange(count)
    else:
        _, first, members = np.unique(groups, return_index=True, return_inverse=True)
        _need_one(labels, labels[first][members], groups, "labels")
    sets = np.zeros(count, np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    _need_one(sets, sets[first][members], members if groups is None else groups, "strata")
    units, unit_sets = labels[first], sets[first]
    slots = np.argsort(unit_sets, kind="stable")
    # Random keys sorted within each stratum: a uniform permutation of its units.
    keys = generator.random((permutations, len(units)))
    order = np.lexsort((keys, np.broadcast_to(unit_sets, keys.shape)), axis=1)
    shuffled = np.empty((permutations, len(units)), labels.dtype)
    shuffled[:, slots] = units[order]
    return shuffled[:, members]


def _need_one(own: np.ndarray, of_group: np.ndarray, groups: np.ndarray, kind: str) -> None:
    wrong = own != of_group
    if wrong.any():
        name = np.asarray(groups)[wrong][0]
        raise UserError(f"group {name} has several {kind}: it cannot be shuffled whole", key="groups")
