import itertools

import numpy as np
import pytest
import scipy.stats

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_separation import distance_matrix
from hsipipe.metrics.embedding_variance import adjusted_p, eta_squared, kruskal_wallis, permanova


def slow_permanova(distances, labels):
    """Pseudo-F and R2 by Anderson's sums over pairs of samples."""
    count, classes = len(labels), sorted(set(labels))
    total = within = 0.0
    for i, j in itertools.combinations(range(count), 2):
        total += distances[i, j] ** 2 / count
        if labels[i] == labels[j]:
            within += distances[i, j] ** 2 / sum(one == labels[i] for one in labels)
    between = total - within
    return (between / (len(classes) - 1)) / (within / (count - len(classes))), between / total


@pytest.fixture
def sample():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.array(["a", "b", "c"]), [9, 12, 7])
    features = generator.normal(size=(28, 6))
    features[:, 0] += (labels == "b") * 2
    features[:, 1] = np.round(features[:, 1])
    return features, labels


def test_eta_squared_by_hand():
    # Class means 1 and 5 about 3: between 4 * 4 = 16; total 9 + 1 + 1 + 9 = 20. The other dimension is constant.
    features = np.array([[0.0, 0.1], [2.0, 0.1], [4.0, 0.1], [6.0, 0.1]])
    found = eta_squared(features, np.array([0, 0, 1, 1]))
    assert found[0] == pytest.approx(0.8)
    assert np.isnan(found[1])


def test_eta_squared_follows_from_scipys_f(sample):
    features, labels = sample
    found = eta_squared(features, labels)
    f = scipy.stats.f_oneway(*(features[labels == one] for one in "abc")).statistic
    assert found == pytest.approx(2 * f / (2 * f + 25))


def test_kruskal_wallis_is_scipys_with_ties_too(sample):
    features, labels = sample
    found = kruskal_wallis(features, labels)
    reference = scipy.stats.kruskal(*(features[labels == one] for one in "abc"))
    assert found.statistic == pytest.approx(reference.statistic)
    assert found.p == pytest.approx(reference.pvalue)


def test_kruskal_wallis_by_hand():
    # Ranks 1, 2 and 3, 4: H = 12 / 20 * (9 / 2 + 49 / 2) - 15 = 2.4.
    assert kruskal_wallis(np.array([[1.0], [2.0], [8.0], [9.0]]), np.array([0, 0, 1, 1])).statistic[0] == pytest.approx(
        2.4
    )


def test_correction_by_hand_leaves_out_dimensions_that_do_not_vary():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    # Of four: 0.005 * 4 = 0.02, 0.01 * 4 / 2 = 0.02, 0.03 * 4 / 3 = 0.04, 0.04.
    assert np.allclose(adjusted_p(p), [0.02, np.nan, 0.04, 0.04, 0.02], equal_nan=True)
    assert np.isnan(adjusted_p(np.array([np.nan]))).all()


def test_share_of_significant_dimensions():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    features = generator.normal(size=(60, 100))
    features[:, :25] += 3 * labels[:, None]
    features[:, 99] = 1
    found = kruskal_wallis(features, labels)
    assert np.isnan(found.p[99])
    assert found.significant() == pytest.approx(25 / 99, abs=0.03)
    assert (found.p[:25] > 0).all()  # kept in full: none is rounded to 0
    assert found.p[:25].max() < 1e-4


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_permanova_is_the_sum_over_pairs(sample, distance):
    features, labels = sample
    distances = distance_matrix(features, distance=distance)
    f, r2 = slow_permanova(distances, labels)
    found = permanova(distances, labels, permutations=9)
    assert (found.f, found.r2) == (pytest.approx(f), pytest.approx(r2))


def test_permanova_of_one_dimension_is_the_analysis_of_variance(sample):
    features, labels = sample
    found = permanova(distance_matrix(features[:, :1]), labels, permutations=999)
    reference = scipy.stats.f_oneway(*(features[labels == one, 0] for one in "abc"))
    assert found.f == pytest.approx(reference.statistic)
    assert found.r2 == pytest.approx(eta_squared(features[:, :1], labels)[0])
    assert found.p < 0.01


def test_permutation_values_are_those_of_the_shuffled_labels(sample):
    features, labels = sample
    distances = distance_matrix(features)
    found = permanova(distances, labels, permutations=30, at_a_time=7)
    whole = permanova(distances, labels, permutations=30)
    assert found.null_f == pytest.approx(whole.null_f)
    assert len(found.null_r2) == 30
    assert found.p == (1 + (found.null_f >= found.f).sum()) / 31


def test_p_of_all_orders_by_hand():
    # Four points, two and two: of six labellings, two (one and its mirror) separate them; p tends to 1/3.
    points = np.array([0.0, 1.0, 10.0, 11.0])
    found = permanova(np.abs(points[:, None] - points[None]), np.array([0, 0, 1, 1]), permutations=3000)
    assert found.p == pytest.approx(1 / 3, abs=0.03)


def test_strata_remove_what_a_session_explains():
    # Species b was measured mostly in the session with an offset; within sessions species do not differ.
    generator = np.random.default_rng(0)
    session = np.repeat([0, 1], 20)
    species = np.concatenate([np.repeat([0, 1], [16, 4]), np.repeat([0, 1], [4, 16])])
    distances = distance_matrix(generator.normal(size=(40, 3)) + 4 * session[:, None])
    assert permanova(distances, species, permutations=199).p < 0.01
    assert permanova(distances, species, permutations=199, strata=session).p > 0.05


def test_null_p_is_about_uniform():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 6)
    values = [
        permanova(distance_matrix(generator.normal(size=(18, 4))), labels, permutations=99, seed=k).p
        for k in range(100)
    ]
    assert 0.4 < np.mean(values) < 0.6
    assert np.mean(np.array(values) <= 0.1) < 0.2


def test_wrong_input_is_refused(sample):
    features, labels = sample
    with pytest.raises(UserError, match="one place"):
        permanova(np.zeros((28, 28)), labels)
    with pytest.raises(UserError, match="2 to N - 1 classes"):
        permanova(distance_matrix(features), np.arange(28))
    with pytest.raises(UserError, match="do not fit"):
        eta_squared(features, labels[1:])
    with pytest.raises(UserError, match="two classes"):
        kruskal_wallis(features, np.zeros(28))
