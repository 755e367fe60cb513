"""`score`: what frozen embeddings are worth on the fold that nothing was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import unknown
from hsipipe.metrics.embedding_evaluation import (
    cross_spectral,
    label_curve,
    neighbour_folds,
    nuisance_decodability,
    pair_folds,
    probe_folds,
)
from hsipipe.metrics.embedding_folds import Fold, random_folds
from hsipipe.metrics.embedding_separation import distance_matrix, silhouette
from hsipipe.metrics.embedding_variance import eta_squared, kruskal_wallis, permanova
from hsipipe.metrics.registry import METRICS
from hsipipe.scores import Score
from hsipipe.tasks.representation.case import CaseFile
from hsipipe.tasks.representation.prediction import Embeddings, read_embeddings

FRACTIONS = {0.01: "probe_1", 0.05: "probe_5", 0.1: "probe_10"}
PERMUTATIONS = 199
# Judged on a sample of the tested images where there are more: distances between all of them are needed.
MOST_DISTANCES = 1500
# The leaky comparison is made on a sample where there are more images than this.
MOST_LEAKY = 2000
CHANCE = 1e-6  # a feature that varies less is constant


def score(
    case: str | Path,
    scenes: Sequence[str | Path],  # noqa: ARG001 -- the case file holds the images
    prediction: str | Path,
    *,
    case_settings: dict[str, Any],
) -> list[Score]:
    """Judge the embeddings of a run: probes fitted on its training folds, judged on its test fold.

    Args:
        case: the case file.
        prediction: the embeddings of all its images.
        case_settings: `pairs` of classes, and `windows_nm` in which classes are known to differ.

    Raises:
        UserError: pairs of classes that there are not.
    """
    made = read_embeddings(prediction)
    seed = made.seed
    with CaseFile(case) as opened:
        train, test = opened.fold(seed)
        fold = Fold(train, test)
        labels, groups = opened.labels, opened.groups
        found = _probes(made.values, labels, groups, fold, seed)
        found |= _pairs(made.values, opened, fold, case_settings["pairs"], seed)
        if np.ptp(made.values, axis=0).max() > CHANCE:
            found |= _structure(made.values[test], labels[test], seed)
        if {"first_bands", "second_bands"} <= set(made.more):
            halves = {name: made.more[name] for name in ("first_bands", "second_bands")}
            crossed = cross_spectral(halves, labels, groups, [fold], costs=(1.0,), seed=seed)
            there = [one[0].scores["balanced_accuracy"] for pair, one in crossed.items() if pair[0] != pair[1]]
            found["other_bands"] = float(np.mean(there))
        found |= _sessions(made.values, opened, test, seed)
        found |= _planted(made, case_settings["windows_nm"], case_settings["importance_nm"])
        item = f"fold {seed % opened.folds}"
        scene = opened.identities[int(test[0])].name.split("/")[0]
        return [
            Score(scene, item, name, value, METRICS[name].unit)
            for name, value in found.items()
            if not math.isnan(value)
        ]


def _probes(values: np.ndarray, labels: np.ndarray, groups: np.ndarray, fold: Fold, seed: int) -> dict[str, float]:
    (judged,) = probe_folds(values, labels, groups, [fold], seed=seed)
    found = {
        "probe": judged.scores["balanced_accuracy"],
        "probe_accuracy": judged.scores["accuracy"],
        "probe_f1": judged.scores["macro_f1"],
    }
    for one in neighbour_folds(values, labels, [fold]):
        found[one.method] = one.scores["balanced_accuracy"]
    curve = label_curve(values, labels, groups, [fold], fractions=tuple(FRACTIONS), costs=(1.0,), seed=seed)
    for fraction, name in FRACTIONS.items():
        of_fraction = [one.scores["balanced_accuracy"] for one in curve if one.fraction == fraction]
        found[name] = float(np.mean(of_fraction))
    some = np.arange(len(labels))[:: max(1, -(-len(labels) // MOST_LEAKY))]
    leaky = random_folds(labels[some], seed=seed)[:1]
    (told,) = probe_folds(values[some], labels[some], np.arange(len(some)), leaky, costs=(1.0,), seed=seed)
    return found | {"probe_leaky": told.scores["balanced_accuracy"]}


def _pairs(
    values: np.ndarray, opened: CaseFile, fold: Fold, pairs: Sequence[Sequence[str]], seed: int
) -> dict[str, float]:
    found = []
    for pair in pairs:
        for name in pair:
            if name not in opened.species:
                raise unknown("class", name, opened.species, file=opened.path)
        numbers = (opened.species.index(pair[0]), opened.species.index(pair[1]))
        judged = pair_folds(values, opened.labels, opened.groups, [fold], numbers, seed=seed)
        found += [one.scores["balanced_accuracy"] for one in judged]
    return {"pairs": float(np.mean(found))} if found else {}


def _structure(values: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, float]:
    """How far classes lie apart among the tested embeddings, and how much of their variation they explain."""
    some = np.arange(len(labels))[:: max(1, -(-len(labels) // MOST_DISTANCES))]
    values, labels = values[some], labels[some]
    if len(np.unique(labels)) < 2 or len(labels) <= len(np.unique(labels)):
        return {}
    distances = distance_matrix(values)
    apart = silhouette(distances, labels, permutations=19, seed=seed)
    by_angle = distance_matrix(values, distance="cosine")
    cosine = silhouette(by_angle, labels, permutations=1, seed=seed)
    # By angles: of standardised features the share explained would be the mean of eta squared over again.
    explained = permanova(by_angle, labels, permutations=PERMUTATIONS, seed=seed)
    return {
        "silhouette": apart.value,
        "silhouette_null": apart.null_mean,
        "silhouette_cosine": cosine.value,
        "eta2": float(np.nanmean(eta_squared(values, labels))),
        "kruskal_share": 100 * kruskal_wallis(values, labels).significant(),
        "permanova_r2": explained.r2,
        "permanova_p": explained.p,
    }


def _sessions(values: np.ndarray, opened: CaseFile, test: np.ndarray, seed: int) -> dict[str, float]:
    """How well the session of recording, which should mean nothing, is read from the embeddings of tested images."""
    sessions, groups = opened.sessions[test], opened.groups[test]
    levels = [np.unique(groups[sessions == one]) for one in np.unique(sessions)]
    if len(levels) < 2 or min(map(len, levels)) < 2:
        return {}
    folds = min(5, *map(len, levels))
    told = nuisance_decodability(values[test], sessions, groups, folds=folds, permutations=1, costs=(1.0,), seed=seed)
    return {"session": told.value, "session_chance": told.chance}


def _planted(made: Embeddings, windows_nm: Sequence[Sequence[float]], width_nm: float | None) -> dict[str, float]:
    """Where the most important of the planted windows stands among all, by what the probe's margin loses; 1: first.

    A window is a planted one if the two share at least half of the narrower.
    """
    if not windows_nm or width_nm is None or "margin_drop" not in made.more:
        return {}
    centres, drops = made.more["window_nm"], made.more["margin_drop"]
    inside = np.zeros(len(centres), bool)
    for low, high in windows_nm:
        shared = np.minimum(centres + width_nm / 2, high) - np.maximum(centres - width_nm / 2, low)
        inside |= shared >= min(width_nm, high - low) / 2
    if not inside.any():
        return {}
    order = np.argsort(-drops, kind="stable")
    rank = int(np.flatnonzero(inside[order])[0]) + 1
    return {"planted_rank": float(rank), "planted_effect": float(drops[inside].max())}
