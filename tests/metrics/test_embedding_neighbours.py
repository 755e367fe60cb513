import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_neighbours import predict_by_neighbours, unit_rows


def test_majority_of_the_nearest_by_angle():
    train = np.array([[1.0, 0.0], [5.0, 0.2], [0.0, 1.0], [0.1, 9.0], [0.0, 3.0]])
    labels = np.array(["x", "x", "y", "y", "y"])
    found = predict_by_neighbours(train, labels, np.array([[100.0, 1.0], [0.01, 0.2]]), counts=[1, 3, 5])
    assert found[1].tolist() == ["x", "y"]
    assert found[3].tolist() == ["x", "y"]
    assert found[5].tolist() == ["y", "y"]


def test_a_tie_goes_to_the_closer_class():
    train, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
    assert predict_by_neighbours(train, labels, np.array([[1.0, 1.1], [1.1, 1.0]]), counts=[2])[2].tolist() == [1, 0]


def test_agrees_with_scikit_learn_in_parts_too():
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(60, 4)), generator.normal(size=(33, 4))
    labels = (train[:, 0] > 0).astype(int)
    reference = KNeighborsClassifier(5, metric="cosine").fit(train, labels).predict(test)
    for rows in (7, 1000):
        assert np.array_equal(predict_by_neighbours(train, labels, test, rows=rows)[5], reference)


def test_more_neighbours_than_samples_are_all_of_them():
    labels = np.array([0, 0, 1])
    assert predict_by_neighbours(np.eye(3), labels, np.array([[0.1, 0.1, 1.0]]), counts=[20])[20].tolist() == [0]


def test_zeros_stay_zeros():
    assert unit_rows(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0, 0], [0.6, 0.8]]


def test_wrong_input_is_refused():
    with pytest.raises(UserError, match="do not fit"):
        predict_by_neighbours(np.eye(3), np.arange(3), np.eye(2))
    with pytest.raises(UserError, match="at least 1"):
        predict_by_neighbours(np.eye(3), np.arange(3), np.eye(3), counts=[0])
    with pytest.raises(UserError, match="samples, features"):
        predict_by_neighbours(np.ones(3), np.arange(3), np.eye(3))
