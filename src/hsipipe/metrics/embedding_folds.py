"""Folds for judging embeddings: whole groups (individuals, blocks of a scene) on one side, never split over two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for

RESTARTS = 20


@dataclass(frozen=True)
class Fold:
    """Which samples a probe is fitted to and which it is judged on.

    Attributes: train, test: rising row numbers (int64) without a common one; leaky: whether samples of one group may
    lie on both sides, so that scores come out too high.
    """

    train: np.ndarray
    test: np.ndarray
    leaky: bool = False


def group_folds(labels: np.ndarray, groups: np.ndarray, *, folds: int = 5, seed: int = 0) -> list[Fold]:
    """Folds that share no group, with each class spread over them as evenly as its groups allow.

    Groups are dealt out from the largest to the smallest, each to the fold where it adds least to the sum over classes
    and folds of the squared share of the class in the fold; of some seeded orders, the one with the lowest sum is kept.
    Each class has groups in at least two folds, so that no training part lacks it.

    Args:
        labels: (N,) classes, of any type that sorts.
        groups: (N,) names of individuals (both sides of one have the same) or of blocks; a group may hold several
            classes.
        folds: how many, at least 2 and at most as many as there are groups.
        seed: of the orders.

    Returns:
        `folds` folds; each sample is tested once.

    Raises:
        UserError: fewer than two groups of a class, more folds than groups, or lengths that differ.
    """
    labels, groups = _checked(labels, groups)
    classes, codes = np.unique(labels, return_inverse=True)
    names, members = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (members, codes), 1)
    _need_two_groups(classes, counts)
    if not 2 <= folds <= len(names):
        raise UserError(
            f"{len(names)} groups cannot fill {folds} folds",
            key="folds",
            found=folds,
            remedy=f"take 2 to {len(names)} folds or more individuals",
        )
    # The last column stands for all classes together: it evens out the sizes of the folds.
    shares = np.hstack([counts / counts.sum(0), counts.sum(1, keepdims=True) / counts.sum()])
    best: tuple[float, np.ndarray] | None = None
    for restart in range(RESTARTS):
        places = _deal(shares, folds, generator_for("embedding folds", seed, restart))
        table = np.zeros((folds, shares.shape[1]))
        np.add.at(table, places, shares)
        cost = float((table**2).sum())
        safe = ((table[:, :-1] > 0).sum(0) > 1).all() and (table[:, -1] > 0).all()
        if safe and (best is None or cost < best[0] - 1e-12):
            best = cost, places
    if best is None:
        raise UserError(
            "no assignment of groups to folds leaves every class in every training part",
            key="folds",
            found=f"{folds} folds of {len(names)} groups",
            remedy="take other folds, smaller blocks or more individuals",
        )
    return _folds_of(best[1][members], folds, leaky=False)


def random_folds(labels: np.ndarray, *, folds: int = 5, seed: int = 0) -> list[Fold]:
    """Folds that ignore groups: the leaky split, for comparison only.

    Args:
        labels: (N,) classes; each is dealt out evenly, by a seeded shuffle.
        folds: how many; a class needs two samples.
        seed: of the shuffle.

    Raises:
        UserError: fewer than two samples of a class, or more folds than samples.
    """
    labels = np.asarray(labels)
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min(initial=2) < 2:
        raise UserError(f"class {classes[counts.argmin()]} has one sample", remedy="leave it out or add samples")
    if not 2 <= folds <= len(labels):
        raise UserError(f"{len(labels)} samples cannot fill {folds} folds", key="folds", found=folds)
    generator = generator_for("random embedding folds", seed)
    # One long deal through all classes keeps the folds of equal size where the classes are not multiples of it.
    order = np.lexsort((generator.random(len(labels)), codes))
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels)) % folds
    return _folds_of(places, folds, leaky=True)


def keep_distance(folds: Sequence[Fold], labels: np.ndarray, places: np.ndarray, *, guard: int) -> list[Fold]:
    """The folds without the training samples that lie within `guard` pixels of a test sample.

    Distance is the larger of the row and the column difference. With patches of radius r, a guard of r keeps the centre
    of each training patch out of all test patches, and one of 2r leaves the two parts without a common pixel.

    Args:
        folds: of N samples.
        labels: (N,) classes.
        places: (N, 2) rows and columns, or (N, 3) image, row and column.
        guard: pixels, 0 for none.

    Raises:
        UserError: a class that is left without training samples.
    """
    from scipy.spatial import cKDTree

    places, labels = _as_places(places).astype(np.float64), np.asarray(labels)
    if guard < 0:
        raise UserError("must be 0 or more pixels", key="guard", found=guard)
    if guard == 0:
        return list(folds)
    # Images lie further apart than any two pixels of one.
    places[:, 0] *= 2 * (np.abs(places[:, 1:]).max(initial=0) + guard + 1)
    kept = []
    for fold in folds:
        tree = cKDTree(places[fold.test])
        near = tree.query(places[fold.train], p=np.inf, distance_upper_bound=guard + 0.5)[0]
        train = fold.train[~np.isfinite(near)]
        lost = np.setdiff1d(labels[fold.train], labels[train])
        if len(lost):
            raise UserError(
                f"a guard of {guard} pixels leaves no training sample of class {lost[0]}",
                key="guard",
                remedy="take a smaller guard, or smaller blocks",
            )
        kept.append(replace(fold, train=train))
    return kept


def _deal(shares: np.ndarray, folds: int, generator: np.random.Generator) -> np.ndarray:
    """The fold of each group, (G,)."""
    order = np.lexsort((generator.random(len(shares)), -shares.max(1).round(12)))
    # A random order of the folds too: ties would always fall to the first.
    numbers = generator.permutation(folds)
    table = np.zeros((folds, shares.shape[1]))
    places = np.empty(len(shares), np.int64)
    for group in order:
        added = 2 * table @ shares[group]
        chosen = int(added.argmin())
        table[chosen] += shares[group]
        places[group] = numbers[chosen]
    return places


def _folds_of(places: np.ndarray, folds: int, *, leaky: bool) -> list[Fold]:
    return [Fold(np.flatnonzero(places != k), np.flatnonzero(places == k), leaky) for k in range(folds)]


def _need_two_groups(classes: np.ndarray, counts: np.ndarray) -> None:
    held = (counts > 0).sum(0)
    if len(classes) < 2:
        raise UserError("needs samples of at least two classes", key="labels", found=f"{len(classes)} class(es)")
    if held.min() < 2:
        raise UserError(
            f"class {classes[held.argmin()]} has one group (individual or block): it cannot be trained on and tested",
            key="labels",
            remedy="leave the class out or add individuals",
        )


def _checked(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, groups = np.asarray(labels), np.asarray(groups)
    if labels.ndim != 1 or labels.shape != groups.shape:
        raise UserError(f"labels of {labels.shape} do not fit groups of {groups.shape}", key="groups")
    return labels, groups


def _as_places(places: np.ndarray) -> np.ndarray:
    places = np.asarray(places)
    if places.ndim != 2 or places.shape[1] not in (2, 3):
        raise UserError(
            "must be (N, 2) rows and columns or (N, 3) with the image first", key="places", found=places.shape
        )
    return places if places.shape[1] == 3 else np.column_stack([np.zeros(len(places), places.dtype), places])
