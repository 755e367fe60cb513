import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_probe import COSTS, DEFAULT_COST, fit_probe, fit_scaling


def clusters(classes=3, each=20, dimension=5, gap=2.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centres = gap * generator.normal(size=(classes, dimension))
    return centres[labels] + generator.normal(size=(len(labels), dimension)), labels, np.arange(len(labels)) // 2


@pytest.mark.parametrize(("classes", "dimension"), [(2, 5), (3, 5), (2, 90), (3, 90)])
def test_probe_is_scikit_learns_logistic_regression_also_with_more_features_than_samples(classes, dimension):
    features, labels, groups = clusters(classes, dimension=dimension, gap=0.5)
    probe = fit_probe(features, labels, groups, costs=[0.5])
    standard = StandardScaler().fit(features)
    reference = LogisticRegression(C=0.5, tol=1e-8, max_iter=5000).fit(standard.transform(features), labels)
    new = np.random.default_rng(1).normal(size=(30, dimension))
    assert np.allclose(probe.probabilities(new), reference.predict_proba(standard.transform(new)), atol=2e-3)
    assert np.array_equal(probe.predict(features), reference.predict(standard.transform(features)))


def test_scale_and_offset_of_features_do_not_matter():
    features, labels, groups = clusters()
    stretched = features * np.geomspace(1e-6, 1e6, features.shape[1]) + 50
    first, second = fit_probe(features, labels, groups), fit_probe(stretched, labels, groups)
    assert first.cost == second.cost
    moved = features * np.geomspace(1e-6, 1e6, features.shape[1]) + 50
    assert np.allclose(first.scores(features), second.scores(moved), atol=1e-2)


def test_a_constant_feature_is_left_alone():
    scaling = fit_scaling(np.column_stack([[1.0, 3.0], [0.1, 0.1]]))
    assert scaling.centre.tolist() == [2.0, 0.1]
    assert scaling.scale.tolist() == [1.0, 1.0]
    assert np.allclose(fit_scaling(np.array([[1.0], [5.0]])).scale, 2)


def test_cost_is_chosen_without_splitting_groups():
    # Individuals differ much, classes little: what tells individuals apart does not carry over to others.
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(24), 6)
    labels = groups % 2
    features = 3 * generator.normal(size=(24, 40))[groups] + 0.1 * generator.normal(size=(144, 40))
    features[:, 0] += 3 * labels
    honest = fit_probe(features, labels, groups)
    split = fit_probe(features, labels, np.arange(144))
    assert honest.chosen
    assert honest.cost < split.cost


def test_a_class_of_one_group_takes_the_default_cost():
    features, labels, _ = clusters()
    probe = fit_probe(features, labels, labels)
    assert (probe.cost, probe.chosen) == (DEFAULT_COST, False)


def test_the_same_data_give_the_same_probe():
    features, labels, groups = clusters(gap=0.5)
    first, second = (fit_probe(features, labels, groups, seed=4) for _ in range(2))
    assert first.cost == second.cost
    assert first.cost in COSTS
    assert np.array_equal(first.weights, second.weights)


def test_ill_conditioned_separable_features_converge_without_a_warning():
    generator = np.random.default_rng(0)
    wave = np.sin(np.outer(generator.uniform(1, 2, 120), np.linspace(0, 3, 200)))
    labels = (wave[:, 0:1] + wave[:, 150:151] > np.median(wave[:, 150])).ravel().astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe = fit_probe(wave, labels, np.arange(120), costs=[100.0])
    assert (probe.predict(wave) == labels).mean() > 0.95


def test_margin_is_the_true_logit_less_the_largest_other():
    features, labels, groups = clusters(gap=1.0)
    probe = fit_probe(features, labels, groups)
    scores, margins = probe.scores(features), probe.margins(features, labels)
    others = np.array([np.delete(line, label).max() for line, label in zip(scores, labels, strict=True)])
    assert np.allclose(margins, scores[np.arange(60), labels] - others)
    assert np.array_equal(margins > 0, probe.predict(features) == labels)
    with pytest.raises(UserError, match="class 7 is none"):
        probe.margins(features, np.full(60, 7))


def test_names_of_classes_come_back():
    features, labels, groups = clusters()
    names = np.array(["moth", "bird", "beetle"])[labels]
    assert np.array_equal(np.unique(fit_probe(features, names, groups).predict(features)), np.unique(names))


def test_wrong_input_is_refused():
    features, labels, groups = clusters()
    with pytest.raises(UserError, match="not finite"):
        fit_probe(np.where(features > 2, np.nan, features), labels, groups)
    with pytest.raises(UserError, match="two classes"):
        fit_probe(features, 0 * labels, groups)
    with pytest.raises(UserError, match="do not fit"):
        fit_probe(features, labels[1:], groups)
    with pytest.raises(UserError, match="above 0"):
        fit_probe(features, labels, groups, costs=[0.0])
    with pytest.raises(UserError, match="5 features"):
        fit_probe(features, labels, groups).predict(features[:, :4])
