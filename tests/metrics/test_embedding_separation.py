import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_permutations import permuted_labels
from hsipipe.metrics.embedding_separation import distance_matrix, silhouette


def test_silhouette_by_hand():
    points = np.array([0.0, 1.0, 4.0])
    distances = np.abs(points[:, None] - points[None])
    found = silhouette(distances, np.array(["x", "x", "y"]), permutations=2)
    # a = 1; b = 4 and 3; the third is alone.
    assert found.samples == pytest.approx([3 / 4, 2 / 3, 0])
    assert found.value == pytest.approx((3 / 4 + 2 / 3) / 3)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_silhouette_is_scikit_learns(distance):
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(40, 6)), generator.integers(0, 4, 40)
    distances = distance_matrix(features, distance=distance)
    reference = silhouette_samples(distances, labels, metric="precomputed")
    assert silhouette(distances, labels, permutations=1).samples == pytest.approx(reference)


def test_distances_are_of_standardised_features_and_of_angles():
    features = np.array([[0.0, 0.0, 7.0], [2.0, 400.0, 7.0]])
    assert distance_matrix(features)[0, 1] == pytest.approx(np.sqrt(8))
    angles = distance_matrix(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]), distance="cosine")
    assert np.allclose(angles, [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    with pytest.raises(UserError, match="did you mean 'cosine'"):
        distance_matrix(features, distance="cosin")
    with pytest.raises(UserError, match="finite"):
        distance_matrix(features * np.nan)


def test_null_holds_no_separation_and_true_classes_stand_out():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 12)
    features = generator.normal(size=(36, 4))
    features[:, 0] += 8 * labels
    distances = distance_matrix(features)
    found, again = (silhouette(distances, labels, permutations=49, seed=1) for _ in range(2))
    assert found.p == pytest.approx(1 / 50)
    assert found.null_mean < 0.05 < found.value
    assert np.array_equal(found.null, again.null)
    meaningless = silhouette(distances, generator.permutation(labels), permutations=49)
    assert meaningless.p > 0.05


def test_sides_of_individuals_are_shuffled_together():
    generator = np.random.default_rng(0)
    # Individuals differ, species do not: shuffling sides one by one takes likeness of sides for likeness of species.
    individuals = np.repeat(np.arange(8), 10)
    features = 5 * generator.normal(size=(8, 3))[individuals] + 0.1 * generator.normal(size=(80, 3))
    labels = individuals // 4
    distances = distance_matrix(features)
    wrong = silhouette(distances, labels, permutations=99)
    right = silhouette(distances, labels, permutations=99, groups=individuals)
    assert right.null.std() > 3 * wrong.null.std()
    assert right.p > wrong.p


def test_silhouettes_need_two_classes_and_fitting_labels():
    with pytest.raises(UserError, match="two classes"):
        silhouette(np.zeros((2, 2)), np.array([1, 1]))
    with pytest.raises(UserError, match="do not fit"):
        silhouette(np.zeros((2, 2)), np.array([1, 2, 3]))


def test_permutations_keep_strata_groups_and_counts():
    labels = np.repeat(np.array(list("abcaba")), 2)
    groups, strata = np.repeat(np.arange(6), 2), np.repeat([0, 1, 0, 1, 0, 1], 2)
    shuffled = permuted_labels(
        labels, permutations=200, generator=np.random.default_rng(0), groups=groups, strata=strata
    )
    assert shuffled.shape == (200, 12)
    assert (shuffled[:, ::2] == shuffled[:, 1::2]).all()
    for stratum in (0, 1):
        inside = np.sort(shuffled[:, strata == stratum], axis=1)
        assert (inside == np.sort(labels[strata == stratum])).all()
    # Each of the six orders of three units comes about equally often.
    orders, counts = np.unique(shuffled[:, [0, 4, 8]], axis=0, return_counts=True)
    assert len(orders) == 6
    assert counts.min() > 15


def test_groups_that_cannot_be_shuffled_whole_are_refused():
    generator = np.random.default_rng(0)
    with pytest.raises(UserError, match="group 0 has several labels"):
        permuted_labels(np.array([1, 2]), permutations=1, generator=generator, groups=np.array([0, 0]))
    with pytest.raises(UserError, match="group 0 has several strata"):
        permuted_labels(
            np.array([1, 1]), permutations=1, generator=generator, groups=np.array([0, 0]), strata=np.array([0, 1])
        )
    with pytest.raises(UserError, match="permutations"):
        permuted_labels(np.array([1, 1]), permutations=0, generator=generator)
