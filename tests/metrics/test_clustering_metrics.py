import math

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.metrics.clustering import CLUSTERING_METRICS, best_matching, contingency, score_clusters
from hsipipe.metrics.registry import METRICS


def scores_of(truth, predicted):
    return {name: value for name, value, _ in score_clusters(np.array(truth), np.array(predicted))}


def test_rows_have_the_names_and_units_of_the_registry():
    rows = score_clusters(np.array([[1, 2]]), np.array([[1, 2]]))
    assert [(name, unit) for name, _, unit in rows] == [(name, METRICS[name].unit) for name in CLUSTERING_METRICS]
    assert all(type(value) is float for _, value, _ in rows)


def test_names_of_classes_and_clusters_do_not_matter():
    scores = scores_of([[10, 10, 14], [14, 0, -3]], [[7, 7, 2], [2, 5, 6]])
    assert scores == pytest.approx(dict.fromkeys(CLUSTERING_METRICS, 1.0) | {"clusters": 2.0})


def test_scores_by_hand():
    # classes of 4 and 2 pixels; the table of counts is [[3, 1], [0, 2]]
    truth, predicted = [[1, 1, 1, 1, 5, 5]], [[1, 1, 1, 2, 2, 2]]
    scores = scores_of(truth, predicted)
    assert contingency(np.array(truth), np.array(predicted)).tolist() == [[3, 1], [0, 2]]
    information = 3 / 6 * math.log(3 * 6 / (4 * 3)) + 1 / 6 * math.log(1 * 6 / (4 * 3)) + 2 / 6 * math.log(2 * 6 / 6)
    entropies = -(4 / 6 * math.log(4 / 6) + 2 / 6 * math.log(2 / 6)), math.log(2)
    assert scores["nmi"] == pytest.approx(2 * information / sum(entropies))
    # pairs: 3 + 1 agree; 7 in classes, 6 in clusters, 15 in all
    assert scores["ari"] == pytest.approx((4 - 7 * 6 / 15) / ((7 + 6) / 2 - 7 * 6 / 15))
    assert scores["purity"] == scores["hungarian_oa"] == pytest.approx(5 / 6)
    assert scores["hungarian_aa"] == pytest.approx((3 / 4 + 1) / 2)
    chance = (4 * 3 + 2 * 3) / 36
    assert scores["hungarian_kappa"] == pytest.approx((5 / 6 - chance) / (1 - chance))


def test_a_cluster_more_than_classes_is_matched_to_none():
    scores = scores_of([[1, 1, 1, 2, 2, 2]], [[1, 1, 3, 2, 2, 2]])
    assert scores["purity"] == 1
    assert scores["hungarian_oa"] == pytest.approx(5 / 6)
    assert scores["hungarian_aa"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["clusters"] == 3
    assert scores["hungarian_kappa"] == pytest.approx((5 / 6 - 15 / 36) / (1 - 15 / 36))


def test_a_labelled_pixel_without_a_cluster_is_wrong():
    assert scores_of([[1, 1, 2, 2]], [[0, 1, 2, 2]])["hungarian_oa"] == pytest.approx(3 / 4)
    assert scores_of([[1, 1, 2, 2]], [[0, 0, 2, 2]])["purity"] == pytest.approx(1 / 2)
    assert scores_of([[1, 1, 2, 2]], [[0, 0, 0, 0]])["hungarian_oa"] == 0


def test_fewer_clusters_than_classes_leave_a_class_without():
    scores = scores_of([[1, 1, 1, 2, 2, 3]], [[1, 1, 1, 1, 1, 1]])
    assert scores["nmi"] == 0
    assert scores["ari"] == 0
    assert scores["hungarian_oa"] == pytest.approx(1 / 2)
    assert scores["hungarian_aa"] == pytest.approx(1 / 3)
    assert scores["hungarian_kappa"] == pytest.approx(0)


def test_the_matching_is_the_best_of_all():
    table = np.random.default_rng(0).integers(0, 50, (4, 4))
    from itertools import permutations

    best = max(sum(table[row, col] for row, col in enumerate(order)) for order in permutations(range(4)))
    assert np.diag(best_matching(table)).sum() == best


def test_maps_that_do_not_fit_and_maps_without_labels():
    with pytest.raises(UserError, match="does not fit labels"):
        score_clusters(np.ones((2, 3), int), np.ones((3, 2), int))
    with pytest.raises(UserError, match="no labelled pixel"):
        score_clusters(np.zeros((2, 3), int), np.ones((2, 3), int))
