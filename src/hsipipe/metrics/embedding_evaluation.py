"""What frozen embeddings tell about classes and nuisances, fold by fold: probe, neighbours, few labels, other bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_folds import Fold, group_folds
from hsipipe.metrics.embedding_neighbours import NEIGHBOURS, predict_by_neighbours
from hsipipe.metrics.embedding_permutations import permuted_labels
from hsipipe.metrics.embedding_probe import COSTS, fit_probe
from hsipipe.randomness import generator_for

FRACTIONS = (0.01, 0.05, 0.1, 1.0)
# One array (N, D) for all folds, or one for each: encoders and principal components are fitted away from the test part.
Features = np.ndarray | Sequence[np.ndarray]


@dataclass(frozen=True)
class Judged:
    """What was found in one fold.

    Attributes: fold: its number; method: such as `probe` or `knn5`; scores: `accuracy`, `balanced_accuracy` and
    `macro_f1`, in percent; test: rows; predicted: their classes; samples: how many labels it was fitted to; cost: C of
    the probe, else None; fraction: of the training labels; draw: number of the random draw; leaky: as the fold's.
    """

    fold: int
    method: str
    scores: dict[str, float]
    test: np.ndarray
    predicted: np.ndarray
    samples: int
    cost: float | None = None
    fraction: float = 1.0
    draw: int = 0
    leaky: bool = False


def score_predictions(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Accuracy, mean recall of the true classes, and mean F1 of the classes in either, all in percent.

    Args:
        truth, predicted: (N,) classes.

    Raises:
        UserError: lengths that differ, or none.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or not truth.size:
        raise UserError(f"{predicted.size} predictions do not fit {truth.size} labels")
    right = truth == predicted
    classes = np.union1d(truth, predicted)
    hits = np.array([right[truth == one].sum() for one in classes])
    own = np.array([(truth == one).sum() for one in classes])
    given = np.array([(predicted == one).sum() for one in classes])
    return {
        "accuracy": 100 * float(right.mean()),
        "balanced_accuracy": 100 * float((hits[own > 0] / own[own > 0]).mean()),
        "macro_f1": 100 * float((2 * hits / (own + given)).mean()),
    }


def probe_folds(
    features: Features,
    labels: np.ndarray,
    groups: np.ndarray,
    folds: Sequence[Fold],
    *,
    costs: Sequence[float] = COSTS,
    seed: int = 0,
    places: np.ndarray | None = None,
    guard: int = 0,
) -> list[Judged]:
    """A logistic probe fitted to the training part of each fold and judged on its test part (`method` is `probe`).

    Args:
        features: (N, D), or one such array for each fold.
        labels, groups: (N,).
        folds: of the N samples.
        costs, seed, places, guard: as for `fit_probe`; with places, guard keeps blocks of the inner folds apart.
    """
    judged = []
    for number, fold in enumerate(folds):
        values = _of_fold(features, number)
        near = None if places is None else places[fold.train]
        probe = fit_probe(
            values[fold.train],
            labels[fold.train],
            groups[fold.train],
            costs=costs,
            seed=seed,
            places=near,
            guard=guard,
        )
        judged.append(_judge(number, "probe", fold, labels, probe.predict(values[fold.test]), cost=probe.cost))
    return judged


def neighbour_folds(
    features: Features, labels: np.ndarray, folds: Sequence[Fold], *, counts: Sequence[int] = NEIGHBOURS
) -> list[Judged]:
    """Nearest neighbours by cosine in each fold (`method` is `knn5`, `knn20`, ...)."""
    judged = []
    for number, fold in enumerate(folds):
        values = _of_fold(features, number)
        found = predict_by_neighbours(values[fold.train], labels[fold.train], values[fold.test], counts=counts)
        judged += [_judge(number, f"knn{k}", fold, labels, predicted) for k, predicted in found.items()]
    return judged


def label_curve(
    features: Features,
    labels: np.ndarray,
    groups: np.ndarray,
    folds: Sequence[Fold],
    *,
    fractions: Sequence[float] = FRACTIONS,
    draws: int = 3,
    costs: Sequence[float] = COSTS,
    seed: int = 0,
    places: np.ndarray | None = None,
    guard: int = 0,
) -> list[Judged]:
    """The probe with a part of the training labels; the whole test part of each fold is judged.

    Of each class the share is drawn, at least one sample; of one draw, smaller parts lie within larger ones, and all
    methods that are given the same folds and seed see the same samples.

    Args:
        features, labels, groups, folds, costs, places, guard: as for `probe_folds`.
        fractions: shares in (0, 1].
        draws: how many times a share below 1 is drawn.
        seed: of the draws and of the inner folds.

    Raises:
        UserError: a fraction outside (0, 1].
    """
    if not fractions or min(fractions) <= 0 or max(fractions) > 1:
        raise UserError("must lie above 0 and at most at 1", key="fractions", found=list(fractions))
    judged = []
    for number, fold in enumerate(folds):
        for fraction in fractions:
            for draw in range(draws if fraction < 1 else 1):
                train = _draw(labels, fold.train, fraction, seed_parts=("label fraction", seed, number, draw))
                part = Fold(train, fold.test, fold.leaky)
                values = _of_fold(features, number)
                near = None if places is None else places[train]
                probe = fit_probe(
                    values[train], labels[train], groups[train], costs=costs, seed=seed, places=near, guard=guard
                )
                found = probe.predict(values[fold.test])
                judged.append(
                    _judge(number, "probe", part, labels, found, cost=probe.cost, fraction=fraction, draw=draw)
                )
    return judged


def pair_folds(
    features: Features,
    labels: np.ndarray,
    groups: np.ndarray,
    folds: Sequence[Fold],
    pair: tuple[object, object],
    *,
    costs: Sequence[float] = COSTS,
    seed: int = 0,
) -> list[Judged]:
    """A probe fitted to two classes alone and judged on them, such as a pair that looks alike in RGB; chance is 50 %.

    Folds without a test sample of either are left out.

    Raises:
        UserError: a class that has no sample, or one that a training part lacks.
    """
    for one in pair:
        if not (labels == one).any():
            raise UserError(f"class {one} of the pair has no sample", key="pair", found=pair)
    among = np.isin(labels, np.array(pair, dtype=labels.dtype))
    judged = []
    for number, fold in enumerate(folds):
        part = Fold(fold.train[among[fold.train]], fold.test[among[fold.test]], fold.leaky)
        if len(part.test):
            values = _of_fold(features, number)
            probe = fit_probe(values[part.train], labels[part.train], groups[part.train], costs=costs, seed=seed)
            judged.append(_judge(number, "probe", part, labels, probe.predict(values[part.test]), cost=probe.cost))
    return judged


@dataclass(frozen=True)
class Decodability:
    """How well a nuisance is read from embeddings.

    Attributes: found: one entry for each fold; chance: balanced accuracy of a guess, 100 / number of levels, in
    percent; null (P,): balanced accuracy, pooled over the folds, with the levels shuffled between groups; value: the
    same with the true levels; p: share of null values, the true one included, that are as high.
    """

    found: list[Judged]
    value: float
    chance: float
    null: np.ndarray
    p: float


def nuisance_decodability(
    features: np.ndarray,
    nuisance: np.ndarray,
    groups: np.ndarray,
    *,
    folds: int = 5,
    permutations: int = 20,
    costs: Sequence[float] = COSTS,
    seed: int = 0,
) -> Decodability:
    """Balanced accuracy of the probe for a nuisance (session, side), beside that of shuffled levels.

    The folds keep groups together and are stratified by the nuisance. With shuffled levels C is the one chosen most
    often for the true ones (ties: the smallest).

    Args:
        features: (N, D).
        nuisance: (N,) levels.
        groups: (N,) individuals. Levels are shuffled between whole groups where each has one, else between samples.
        permutations: at least 1.

    Raises:
        UserError: fewer than two levels, or a level with fewer than two groups.
    """
    true_folds = group_folds(nuisance, groups, folds=folds, seed=seed)
    found = probe_folds(features, nuisance, groups, true_folds, costs=costs, seed=seed)
    chosen, times = np.unique([one.cost for one in found], return_counts=True)
    cost = float(chosen[times.argmax()])
    generator = generator_for("nuisance null", seed)
    whole = len(np.unique(np.column_stack(_codes(nuisance, groups)), axis=0)) == len(np.unique(groups))
    shuffled = permuted_labels(
        nuisance, permutations=permutations, generator=generator, groups=groups if whole else None
    )
    null = []
    for number, levels in enumerate(shuffled):
        # The folds are dealt anew: those of the true levels would not be stratified by the shuffled ones.
        parts = group_folds(levels, groups, folds=folds, seed=number)
        null.append(pooled(probe_folds(features, levels, groups, parts, costs=(cost,)), levels)["balanced_accuracy"])
    value = pooled(found, nuisance)["balanced_accuracy"]
    p = (1 + sum(one >= value - 1e-9 for one in null)) / (1 + len(null))
    return Decodability(found, value, 100 / len(np.unique(nuisance)), np.array(null), p)


def cross_spectral(
    embeddings: Mapping[str, np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    folds: Sequence[Fold],
    *,
    costs: Sequence[float] = COSTS,
    seed: int = 0,
) -> dict[tuple[str, str], list[Judged]]:
    """Probes fitted to embeddings under one band subset and judged on those under another, for all ordered pairs.

    Each probe is fitted once per fold to the training samples of a subset and judged on the test samples of every
    subset, its own included: neither the samples nor the bands of the test were seen.

    Args:
        embeddings: name of the band subset -> (N, D) of the same samples in the same order.
        labels, groups, folds, costs, seed: as for `probe_folds`.

    Returns:
        (subset of the training, subset of the test) -> one entry for each fold.

    Raises:
        UserError: shapes that differ.
    """
    shapes = {name: np.shape(one) for name, one in embeddings.items()}
    if len(set(shapes.values())) != 1:
        raise UserError(
            "embeddings under different bands must be of the same samples and length",
            found=shapes,
            remedy="embed with one encoder that takes any bands (stem `adapter`)",
        )
    judged: dict[tuple[str, str], list[Judged]] = {(a, b): [] for a in embeddings for b in embeddings}
    for number, fold in enumerate(folds):
        for name, values in embeddings.items():
            probe = fit_probe(values[fold.train], labels[fold.train], groups[fold.train], costs=costs, seed=seed)
            for other, seen in embeddings.items():
                found = probe.predict(seen[fold.test])
                judged[name, other].append(_judge(number, "probe", fold, labels, found, cost=probe.cost))
    return judged


def pooled(judged: Sequence[Judged], labels: np.ndarray) -> dict[str, float]:
    """Scores of the test samples of all folds taken together, percent: for folds that lack classes."""
    return score_predictions(
        np.concatenate([labels[one.test] for one in judged]), np.concatenate([one.predicted for one in judged])
    )


def _judge(number: int, method: str, fold: Fold, labels: np.ndarray, predicted: np.ndarray, **more) -> Judged:
    scores = score_predictions(labels[fold.test], predicted)
    return Judged(number, method, scores, fold.test, predicted, len(fold.train), leaky=fold.leaky, **more)


def _of_fold(features: Features, number: int) -> np.ndarray:
    return features if isinstance(features, np.ndarray) and features.ndim == 2 else features[number]


def _draw(labels: np.ndarray, train: np.ndarray, fraction: float, *, seed_parts: tuple) -> np.ndarray:
    """The first share of each class in a random order that does not depend on the share."""
    order = train[generator_for(*seed_parts).permutation(len(train))]
    chosen = []
    for one in np.unique(labels[train]):
        members = order[labels[order] == one]
        chosen.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(chosen))


def _codes(*columns: np.ndarray) -> list[np.ndarray]:
    return [np.unique(one, return_inverse=True)[1] for one in columns]
