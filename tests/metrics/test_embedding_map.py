import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_map import embedding_map


def test_principal_components_are_those_of_standardised_features():
    features = np.random.default_rng(0).normal(size=(20, 5)) * [1, 10, 100, 1, 1]
    reference = PCA(2).fit_transform(StandardScaler().fit_transform(features))
    assert np.allclose(np.abs(embedding_map(features)), np.abs(reference))


def test_tsne_keeps_clusters_apart_and_repeats():
    generator = np.random.default_rng(0)
    features = np.vstack([generator.normal(size=(12, 6)), 20 + generator.normal(size=(12, 6))])
    first, second = (embedding_map(features, method="tsne", seed=2) for _ in range(2))
    assert np.array_equal(first, second)
    centres = first[:12].mean(0), first[12:].mean(0)
    spread = max(first[:12].std(0).max(), first[12:].std(0).max())
    assert np.linalg.norm(centres[0] - centres[1]) > 3 * spread


def test_one_feature_lies_on_a_line():
    found = embedding_map(np.arange(5.0)[:, None])
    assert found.shape == (5, 2)
    assert not found[:, 1].any()


def test_wrong_input_is_refused():
    with pytest.raises(UserError, match="at least 3"):
        embedding_map(np.zeros((2, 4)))
    with pytest.raises(UserError, match="did you mean 'tsne'"):
        embedding_map(np.zeros((4, 4)), method="t-sne")
