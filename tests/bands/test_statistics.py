"""Strategies that look at the data: planted cases whose answer is known, and independent formulas."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from hsipipe.bands.issc import normalised_cut
from hsipipe.bands.ranking import correlation
from hsipipe.bands.selection import fit_bands


def fit(spectra, **settings):
    return fit_bands(settings, wavelength_nm=None, good_bands=np.ones(spectra.shape[1], bool), spectra=spectra)


def grouped(sizes, noise=0.05, seed=0, samples=3000):
    """Bands in groups of the given sizes: independent between groups, nearly copies within; shuffled."""
    random = np.random.default_rng(seed)
    group = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    latent = random.standard_normal((samples, len(sizes)))
    gain = random.uniform(0.9, 1.1, len(group))
    spectra = 5 + gain * latent[:, group] + noise * random.standard_normal((samples, len(group)))
    return spectra.astype(np.float32), group


def test_variance():
    random = np.random.default_rng(0)
    spectra = random.standard_normal((500, 6)) * np.array([1, 5, 2, 4, 0, 3])
    selection = fit(spectra, strategy="variance", count=3)
    assert selection.indices.tolist() == [1, 3, 5]
    np.testing.assert_allclose(selection.scores, spectra.var(axis=0)[[1, 3, 5]])


def test_pca_scores_are_weighted_squared_loadings():
    spectra, _ = grouped([3, 4, 5])
    spectra = spectra * np.linspace(1, 3, 12)
    reference = PCA(n_components=2).fit(spectra)
    # scikit-learn divides by n - 1.
    scores = (reference.components_**2).T @ reference.explained_variance_ * (len(spectra) - 1) / len(spectra)
    selection = fit(spectra, strategy="pca", count=4, components=2)
    assert selection.indices.tolist() == sorted(np.argsort(-scores)[:4].tolist())
    np.testing.assert_allclose(selection.scores, scores[selection.indices], rtol=1e-6)


def test_pca_of_all_components_is_the_variance():
    spectra, _ = grouped([2, 3, 4])
    selection = fit(spectra, strategy="pca", count=9, components=9)
    np.testing.assert_allclose(selection.scores, spectra.var(axis=0, dtype=float), rtol=1e-6)
    shares = fit(spectra, strategy="pca", count=9, components=9, standardise=True).scores
    np.testing.assert_allclose(shares, 1, rtol=1e-6)


def test_peer_pca_is_fooled_by_a_component_without_variance():
    # Bands 0-3 share nearly all the variance; bands 4 and 5 are faint and independent, each a component of its own.
    random = np.random.default_rng(0)
    signal = random.standard_normal((4000, 1))
    spectra = np.hstack(
        [10 * signal + 0.1 * random.standard_normal((4000, 4)), 0.3 * random.standard_normal((4000, 2))]
    )
    assert fit(spectra, strategy="peer-pca", count=3).indices.tolist()[-2:] == [4, 5]
    assert set(fit(spectra, strategy="pca", count=3).indices.tolist()) <= {0, 1, 2, 3}


def test_peer_pca_is_the_published_rule():
    spectra, _ = grouped([3, 4, 5], noise=0.3)
    loadings = np.abs(PCA(n_components=5).fit(spectra.astype(float)).components_).sum(axis=0)
    assert fit(spectra, strategy="peer-pca", count=5).indices.tolist() == sorted(np.argsort(loadings)[-5:].tolist())


@pytest.mark.parametrize(("bands", "count"), [(408, 50), (10, 3), (7, 7), (7, 4)])
def test_peer_every_nth_is_the_published_rule(bands, count):
    expected = list(range(0, bands, bands // count))[:count]
    assert fit(np.zeros((3, bands)), strategy="peer-every-nth", count=count).indices.tolist() == expected


@pytest.mark.parametrize("strategy", ["issc", "opbs"])
@pytest.mark.parametrize("sizes", [[4, 4, 4], [2, 2, 2, 2], [1, 3, 9], [5, 1, 1, 2]])
def test_one_band_of_each_redundant_group(strategy, sizes):
    for seed in range(3):
        spectra, group = grouped(sizes, seed=seed)
        chosen = fit(spectra, strategy=strategy, count=len(sizes)).indices
        assert sorted(group[chosen].tolist()) == list(range(len(sizes)))


def test_variance_and_peer_pca_choose_redundant_bands():
    # The reason for issc and opbs: one group is a little stronger, and ranking takes all its bands.
    spectra, group = grouped([3, 3, 3])
    spectra = spectra * np.where(group == 1, 2.0, 1.0)
    assert set(group[fit(spectra, strategy="variance", count=3).indices].tolist()) == {1}
    for strategy in ("issc", "opbs"):
        assert len(set(group[fit(spectra, strategy=strategy, count=3).indices].tolist())) == 3


def test_issc_takes_the_band_at_the_centre_of_its_group():
    random = np.random.default_rng(0)
    latent = random.standard_normal((20000, 2))
    # In each group the clean band is nearest to the mean of all three.
    noise = np.array([0.5, 0.0, 0.5, 0.5, 0.5, 0.0])
    spectra = latent[:, [0, 0, 0, 1, 1, 1]] + noise * random.standard_normal((20000, 6))
    selection = fit(spectra, strategy="issc", count=2)
    assert selection.indices.tolist() == [1, 5]
    assert selection.scores.tolist() == [3, 3]


def test_issc_does_not_depend_on_gain_or_offset():
    spectra, _ = grouped([3, 4, 5])
    scaled = spectra * np.linspace(0.01, 100, 12) + 7
    expected = fit(spectra, strategy="issc", count=3).indices
    np.testing.assert_array_equal(fit(scaled, strategy="issc", count=3).indices, expected)


def test_issc_closed_form_is_the_constrained_minimum():
    # W_ij = -Z_ij / Z_jj against ridge regression of each band on the others.
    spectra, _ = grouped([2, 3], noise=0.5)
    gram = correlation(np.cov(spectra, rowvar=False))
    inverse = np.linalg.inv(gram + 0.1 * np.eye(5))
    for band in range(5):
        others = [index for index in range(5) if index != band]
        ridge = np.linalg.solve(gram[np.ix_(others, others)] + 0.1 * np.eye(4), gram[others, band])
        np.testing.assert_allclose(-inverse[others, band] / inverse[band, band], ridge, rtol=1e-6)


def test_normalised_cut():
    similarity = np.kron(np.eye(3), np.ones((4, 4))) + 0.01
    labels = normalised_cut(similarity, 3, seed=0)
    assert len(set(labels.tolist())) == 3
    assert all(len(set(block)) == 1 for block in labels.reshape(3, 4).tolist())
    assert sorted(set(normalised_cut(np.ones((6, 6)), 4, seed=0).tolist())) == [0, 1, 2, 3]  # no cluster stays empty
    assert normalised_cut(similarity, 12, seed=0).tolist() == list(range(12))


def test_opbs_is_the_greedy_determinant():
    spectra, _ = grouped([3, 2, 4], noise=0.7)
    covariance = np.cov(spectra, rowvar=False, bias=True)
    chosen = [int(np.argmax(np.diag(covariance)))]
    while len(chosen) < 5:
        volume = {
            band: np.linalg.det(covariance[np.ix_([*chosen, band], [*chosen, band])])
            for band in range(9)
            if band not in chosen
        }
        chosen.append(max(volume, key=volume.get))
    selection = fit(spectra, strategy="opbs", count=5)
    assert selection.indices.tolist() == sorted(chosen)
    assert np.prod(selection.scores) == pytest.approx(np.linalg.det(covariance[np.ix_(chosen, chosen)]), rel=1e-4)
    best = max(np.linalg.det(covariance[np.ix_(some, some)]) for some in combinations(range(9), 5))
    assert np.prod(selection.scores) > 0.5 * best


def test_opbs_beyond_the_rank_goes_on_by_variance():
    random = np.random.default_rng(0)
    latent = random.standard_normal((100, 2))
    spectra = latent @ np.array([[1.0, 0, 2, 0, 3], [0, 5, 0, 1, 0]])  # rank 2
    selection = fit(spectra, strategy="opbs", count=3)
    assert selection.indices.tolist() == [1, 2, 4]
    assert selection.scores[1] == 0  # band 2, explained by band 4
    assert len(fit(spectra, strategy="opbs", count=5)) == 5


def test_constant_bands_do_no_harm():
    spectra, _ = grouped([3, 3])
    spectra[:, 2] = 4
    for strategy in ("pca", "variance", "issc", "opbs", "peer-pca"):
        assert len(fit(spectra, strategy=strategy, count=3)) == 3
