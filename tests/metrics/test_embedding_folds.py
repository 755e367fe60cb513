import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_folds import Fold, group_folds, keep_distance, random_folds


def specimens(individuals_per_class):
    """Two sides of each individual."""
    labels = np.repeat([name for name, count in individuals_per_class.items() for _ in range(count)], 2)
    return labels, np.repeat(np.arange(len(labels) // 2), 2)


def test_both_sides_of_an_individual_stay_together_and_each_is_tested_once():
    labels, groups = specimens({"a": 7, "b": 4, "c": 2})
    folds = group_folds(labels, groups, folds=5, seed=3)
    assert len(folds) == 5
    for fold in folds:
        assert not fold.leaky
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert set(labels[fold.train]) == {"a", "b", "c"}
        assert np.array_equal(np.sort(np.concatenate([fold.train, fold.test])), np.arange(len(labels)))
    assert np.array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(len(labels)))


def test_classes_are_spread_evenly_where_their_groups_allow():
    labels, groups = specimens({"a": 10, "b": 5, "c": 15})
    for fold in group_folds(labels, groups, folds=5, seed=0):
        assert dict(zip(*np.unique(labels[fold.test], return_counts=True), strict=True)) == {"a": 4, "b": 2, "c": 6}


def test_groups_that_hold_several_classes_keep_every_class_in_training():
    generator = np.random.default_rng(0)
    labels, groups = generator.integers(0, 3, 300), generator.integers(0, 12, 300)
    labels[groups < 2] = 3
    for fold in group_folds(labels, groups, folds=4, seed=1):
        assert set(labels[fold.train]) == {0, 1, 2, 3}
        assert not set(groups[fold.train]) & set(groups[fold.test])


def test_folds_depend_on_the_seed_alone():
    labels, groups = specimens({"a": 8, "b": 8})
    first, again, other = (group_folds(labels, groups, folds=4, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(first, other, strict=True))


def test_a_class_of_one_individual_is_refused_by_name():
    labels, groups = specimens({"common": 5, "lonely": 1})
    with pytest.raises(UserError, match="class lonely has one group"):
        group_folds(labels, groups)


def test_more_folds_than_groups_are_refused():
    labels, groups = specimens({"a": 2, "b": 2})
    with pytest.raises(UserError, match="4 groups cannot fill 5 folds"):
        group_folds(labels, groups)
    with pytest.raises(UserError, match="do not fit"):
        group_folds(labels, groups[1:])
    with pytest.raises(UserError, match="two classes"):
        group_folds(np.zeros(4), np.arange(4))


def test_random_folds_are_stratified_and_called_leaky():
    labels = np.repeat([0, 1], [20, 10])
    folds = random_folds(labels, folds=5, seed=0)
    assert all(fold.leaky and np.bincount(labels[fold.test]).tolist() == [4, 2] for fold in folds)
    assert np.array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(30))
    with pytest.raises(UserError, match="class 1 has one sample"):
        random_folds(np.array([0, 0, 1]))


def test_guard_removes_training_pixels_near_test_pixels_of_the_same_image():
    places = np.array([[0, 0, 0], [0, 3, 3], [0, 4, 0], [1, 0, 0]])
    fold = Fold(np.array([1, 2, 3]), np.array([0]))
    labels = np.zeros(4, int)
    assert keep_distance([fold], labels, places, guard=3)[0].train.tolist() == [2, 3]
    assert keep_distance([fold], labels, places, guard=4)[0].train.tolist() == [3]
    assert keep_distance([fold], labels, places, guard=0)[0].train.tolist() == [1, 2, 3]


def test_patches_share_no_pixel_with_a_guard_of_twice_their_radius():
    rows, cols = np.mgrid[:30, :30].reshape(2, -1)
    places, labels = np.column_stack([rows, cols]), (rows + cols) % 2
    folds = group_folds(labels, rows // 10 * 3 + cols // 10, folds=3, seed=0)
    for fold in keep_distance(folds, labels, places, guard=4):
        apart = np.abs(places[fold.train][:, None] - places[fold.test][None]).max(2)
        assert apart.min() == 5  # two patches of radius 2 touch and do not overlap


def test_a_guard_that_empties_a_class_is_refused():
    places, labels = np.array([[0, 0], [0, 1], [0, 50]]), np.array(["x", "y", "x"])
    with pytest.raises(UserError, match="no training sample of class y"):
        keep_distance([Fold(np.array([1, 2]), np.array([0]))], labels, places, guard=2)
