import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_evaluation import (
    cross_spectral,
    label_curve,
    neighbour_folds,
    nuisance_decodability,
    pair_folds,
    pooled,
    probe_folds,
    score_predictions,
)
from hsipipe.metrics.embedding_folds import group_folds


def specimens(seed=0, individuals=12, dimension=8):
    """Three species, two sides of each individual, three sessions crossed with species."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(3 * individuals), 2)
    labels = np.array(["a", "b", "c"])[groups % 3]
    sessions = np.array(["s1", "s2", "s3"])[(groups // 3) % 3]
    features = generator.normal(size=(len(groups), dimension))
    features[:, 0] += 6 * (groups % 3)
    return features, labels, groups, sessions


def test_scores_are_scikit_learns_in_percent():
    generator = np.random.default_rng(0)
    truth, predicted = generator.integers(0, 4, 50), generator.integers(0, 4, 50)
    scores = score_predictions(truth, predicted)
    assert scores["accuracy"] == pytest.approx(100 * accuracy_score(truth, predicted))
    assert scores["balanced_accuracy"] == pytest.approx(100 * balanced_accuracy_score(truth, predicted))
    assert scores["macro_f1"] == pytest.approx(100 * f1_score(truth, predicted, average="macro"))


def mean_score(judged):
    """Balanced accuracy, percent, over folds."""
    return np.mean([one.scores["balanced_accuracy"] for one in judged])


def test_scores_by_hand():
    # Recall 3/4 and 1/2; F1 6/8 ... (2 * 3 / (4 + 4)) and 2 / (2 + 2).
    scores = score_predictions(np.array(list("xxxxyy")), np.array(list("xxxyxy")))
    assert scores == pytest.approx({"accuracy": 400 / 6, "balanced_accuracy": 62.5, "macro_f1": 62.5})
    with pytest.raises(UserError, match="do not fit"):
        score_predictions(np.array([1]), np.array([]))


def test_probe_and_neighbours_read_separable_classes():
    features, labels, groups, _ = specimens()
    folds = group_folds(labels, groups, folds=4)
    assert mean_score(probe_folds(features, labels, groups, folds)) > 95
    near = neighbour_folds(features + 3, labels, folds)
    assert {one.method for one in near} == {"knn5", "knn20"}


def test_features_may_differ_from_fold_to_fold():
    features, labels, groups, _ = specimens()
    folds = group_folds(labels, groups, folds=3)
    useless = np.zeros_like(features)
    judged = probe_folds([features, useless, features], labels, groups, folds)
    assert judged[0].scores["accuracy"] > 90
    assert judged[1].scores["accuracy"] < 50


def test_the_test_part_does_not_enter_the_fit():
    features, labels, groups, _ = specimens()
    fold = group_folds(labels, groups, folds=3)[:1]
    spoilt = features.copy()
    spoilt[fold[0].test[1:]] = 1e9
    first = probe_folds(features, labels, groups, fold)[0].predicted[0]
    assert probe_folds(spoilt, labels, groups, fold)[0].predicted[0] == first


def test_label_curve_uses_the_share_of_each_class_nested_and_repeatable():
    features, labels, groups, _ = specimens()
    folds = group_folds(labels, groups, folds=4)
    found, again = (label_curve(features, labels, groups, folds, draws=2, costs=[1.0]) for _ in range(2))
    assert [one.scores for one in found] == [one.scores for one in again]
    of_first = [(one.fraction, one.draw, one.samples) for one in found if one.fold == 0]
    # 18 training samples of each class: 1 % and 5 % round to at least one, 10 % to two.
    assert of_first == [(0.01, 0, 3), (0.01, 1, 3), (0.05, 0, 3), (0.05, 1, 3), (0.1, 0, 6), (0.1, 1, 6), (1.0, 0, 54)]
    assert all(len(one.test) == 18 for one in found)
    full = probe_folds(features, labels, groups, folds, costs=[1.0])
    assert [one.scores for one in found if one.fraction == 1] == [one.scores for one in full]
    with pytest.raises(UserError, match="fractions"):
        label_curve(features, labels, groups, folds, fractions=[0.0])


def test_pair_is_judged_on_its_two_classes_alone():
    features, labels, groups, _ = specimens()
    features[labels == "c", 0] = features[labels == "b", 0]
    folds = group_folds(labels, groups, folds=4)
    told_apart = pooled(pair_folds(features, labels, groups, folds, ("a", "b")), labels)["balanced_accuracy"]
    alike = pooled(pair_folds(features, labels, groups, folds, ("b", "c")), labels)["balanced_accuracy"]
    assert told_apart > 95
    assert 25 < alike < 75
    with pytest.raises(UserError, match="class z of the pair"):
        pair_folds(features, labels, groups, folds, ("a", "z"))


def test_session_is_decodable_where_it_was_planted_only():
    features, _, groups, sessions = specimens()
    clean = nuisance_decodability(features, sessions, groups, folds=4, permutations=19)
    assert clean.chance == pytest.approx(100 / 3)
    assert len(clean.null) == 19
    assert abs(clean.null.mean() - clean.chance) < 10
    features[:, 3] += 8 * (sessions == "s2")
    features[:, 4] += 8 * (sessions == "s3")
    planted = nuisance_decodability(features, sessions, groups, folds=4, permutations=19)
    assert planted.value > 90
    assert planted.p == pytest.approx(0.05)
    assert clean.p > 0.05


def test_cross_spectral_tests_each_probe_under_all_bands():
    features, labels, groups, _ = specimens()
    folds = group_folds(labels, groups, folds=3)
    mirrored = features.copy()
    mirrored[:, 0] = 12 - mirrored[:, 0]
    found = cross_spectral({"A": features, "B": mirrored}, labels, groups, folds)
    assert set(found) == {("A", "A"), ("A", "B"), ("B", "A"), ("B", "B")}
    assert mean_score(found["A", "A"]) > 95
    # Read backwards, the outer classes change places and the middle one stays.
    assert mean_score(found["A", "B"]) == pytest.approx(100 / 3, abs=5)
    same = [one.scores for one in probe_folds(features, labels, groups, folds)]
    assert [one.scores for one in found["A", "A"]] == same
    with pytest.raises(UserError, match="same samples"):
        cross_spectral({"A": features, "B": features[:, 1:]}, labels, groups, folds)
