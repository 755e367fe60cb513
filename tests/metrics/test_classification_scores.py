import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, precision_score, recall_score

from hsipipe.errors import UserError
from hsipipe.metrics.classification import CLASSIFICATION_METRICS, confusion, score_classes, score_labels
from hsipipe.metrics.registry import METRICS


def scores_of(truth, prediction, counted=None):
    return {name: value for name, value, _ in score_labels(np.array(truth), np.array(prediction), counted)}


def test_by_hand():
    # rows 1, 5: [[3, 1], [0, 2]]
    truth, prediction = np.array([[1, 1, 1, 1, 5, 5]]), np.array([[1, 1, 1, 5, 5, 5]])
    table = confusion(truth, prediction)
    assert table.classes.tolist() == [1, 5]
    assert table.counts.tolist() == [[3, 1], [0, 2]]
    scores = scores_of(truth, prediction)
    assert scores["oa"] == pytest.approx(100 * 5 / 6)
    assert scores["aa"] == pytest.approx(100 * (3 / 4 + 1) / 2)
    chance = (4 * 3 + 2 * 3) / 36
    assert scores["kappa"] == pytest.approx((5 / 6 - chance) / (1 - chance))
    assert score_classes(truth, prediction) == [
        (1, 75.0, 100.0, 4),
        (5, 100.0, pytest.approx(100 * 2 / 3), 2),
    ]


def test_as_scikit_learn():
    generator = np.random.default_rng(0)
    truth = generator.choice([1, 10, 11, 14], (40, 50), p=[0.5, 0.3, 0.15, 0.05])
    prediction = np.where(generator.random((40, 50)) < 0.7, truth, generator.choice([1, 10, 11, 14], (40, 50)))
    flat = truth.ravel(), prediction.ravel()
    scores = scores_of(truth, prediction)
    assert scores["oa"] == pytest.approx(100 * accuracy_score(*flat))
    assert scores["aa"] == pytest.approx(100 * balanced_accuracy_score(*flat))
    assert scores["kappa"] == pytest.approx(cohen_kappa_score(*flat))
    rows = score_classes(truth, prediction)
    assert [row[1] / 100 for row in rows] == pytest.approx(recall_score(*flat, average=None).tolist())
    assert [row[2] / 100 for row in rows] == pytest.approx(precision_score(*flat, average=None).tolist())


def test_background_and_what_does_not_count_is_left_out():
    truth, prediction = np.array([[1, 1, 2, 0, -1]]), np.array([[1, 2, 2, 1, 2]])
    assert scores_of(truth, prediction)["oa"] == pytest.approx(100 * 2 / 3)
    counted = np.array([[True, False, True, True, True]])
    assert scores_of(truth, prediction, counted)["oa"] == 100
    assert scores_of(truth, prediction, counted)["kappa"] == 1


def test_a_pixel_without_prediction_is_wrong():
    truth, prediction = np.array([[1, 1, 2, 2]]), np.array([[1, 0, 2, 2]])
    scores = scores_of(truth, prediction)
    assert (scores["oa"], scores["aa"]) == (75, 75)
    # shares of the truth 1/2, 1/2; of the prediction 1/4, 2/4
    assert scores["kappa"] == pytest.approx((3 / 4 - 3 / 8) / (1 - 3 / 8))


def test_a_class_that_the_truth_lacks_is_wrong_and_has_no_recall():
    truth, prediction = np.array([[1, 1, 2, 2]]), np.array([[1, 7, 2, 2]])
    scores = scores_of(truth, prediction)
    assert (scores["oa"], scores["aa"]) == (75, 75)
    assert [row[0] for row in score_classes(truth, prediction)] == [1, 2]


def test_a_class_never_predicted_has_no_precision():
    rows = score_classes(np.array([[1, 2]]), np.array([[1, 1]]))
    assert np.isnan(rows[1][2])
    assert rows[1][1] == 0


def test_one_class_alone():
    assert scores_of([[3, 3]], [[3, 3]]) == {"oa": 100, "aa": 100, "kappa": 1}


def test_rows_have_the_names_and_units_of_the_registry():
    rows = score_labels(np.array([[1, 2]]), np.array([[1, 2]]))
    assert [(name, unit) for name, _, unit in rows] == [(name, METRICS[name].unit) for name in CLASSIFICATION_METRICS]


def test_errors():
    with pytest.raises(UserError, match="does not fit"):
        score_labels(np.ones((2, 2), int), np.ones((2, 3), int))
    with pytest.raises(UserError, match="no labelled pixel"):
        score_labels(np.zeros((2, 2), int), np.ones((2, 2), int))
