import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.count import count_clusters
from hsipipe.tasks.segmentation.shared.k_means import fit_k_means, lloyd, nearest, seed_centres
from hsipipe.tasks.segmentation.shared.mixture import COVARIANCES, Mixture, _iterate, fit_mixture


def groups(sizes=(600, 300, 100), distance=6.0, size=3, seed=0):
    """Samples (N, d) float32 of Gaussian groups with covariances of their own, and the group of each."""
    random = np.random.default_rng(seed)
    samples, truth = [], []
    for index, count in enumerate(sizes):
        shape = random.normal(size=(size, size)) * 0.4 + np.eye(size)
        centre = distance * np.eye(size)[index % size] * (1 if index < size else -1)
        samples.append(random.normal(size=(count, size)) @ shape + centre)
        truth += [index] * count
    return np.concatenate(samples).astype(np.float32), np.array(truth)


@pytest.fixture
def random():
    return np.random.default_rng(3)


def matched(first, second):
    """Whether two labellings are the same but for the names."""
    return len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(set(first.tolist()))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_fits_like_scikit_learn(covariance, random):
    from sklearn.mixture import GaussianMixture

    samples, _ = groups()
    ours = fit_mixture(samples, 3, random=random, covariance=covariance, floor=1e-6, tolerance=1e-6, iterations=500)
    kind = {"diagonal": "diag"}.get(covariance, covariance)
    theirs = GaussianMixture(3, covariance_type=kind, n_init=3, tol=1e-6, max_iter=500, random_state=0).fit(samples)
    assert ours.converged
    assert ours.log_likelihood == pytest.approx(theirs.score(samples), abs=2e-3)
    assert ours.bic() == pytest.approx(theirs.bic(samples), abs=5)
    assert ours.parameters == theirs._n_parameters()
    assert np.sort(ours.weights) == pytest.approx(np.sort(theirs.weights_), abs=5e-3)
    order = np.argsort(ours.weights), np.argsort(theirs.weights_)
    assert ours.means[order[0]] == pytest.approx(theirs.means_[order[1]], abs=0.05)
    if covariance == "full":
        assert ours.covariances[order[0]] == pytest.approx(theirs.covariances_[order[1]], abs=0.05)


def test_probabilities_are_those_of_the_densities():
    from scipy.stats import multivariate_normal

    shape = np.array([[[2.0, 0.6], [0.6, 1.0]], [[0.5, -0.1], [-0.1, 0.3]]])
    mixture = Mixture(np.array([0.7, 0.3]), np.array([[0.0, 1.0], [2.0, -1.0]]), np.linalg.cholesky(shape), "full")
    points = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    densities = [
        weight * multivariate_normal(mean, covariance).pdf(points)
        for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    ]
    expected = np.array(densities).T / np.sum(densities, axis=0)[:, None]
    assert mixture.probabilities(points) == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(mixture.labels(points), expected.argmax(1))
    assert mixture.marginal(1).covariances[:, 0, 0] == pytest.approx([2.0, 0.5])


def test_the_likelihood_never_falls():
    samples, _ = groups(distance=1.5)
    mixture = fit_mixture(samples, 4, random=np.random.default_rng(0), floor=1e-9, iterations=0, starts=1)
    likelihoods = []
    for _ in range(20):
        mixture, likelihood = _iterate(samples, mixture, 1e-9)
        likelihoods.append(likelihood)
    assert (np.diff(likelihoods) > -1e-5).all()
    assert mixture.weights.sum() == pytest.approx(1)


def test_a_mixture_far_from_the_origin_is_as_good(random):
    samples, truth = groups()
    far = fit_mixture(samples + np.float32(1000), 3, random=random)
    assert matched(truth[:10], far.labels(samples + np.float32(1000))[:10])
    near = fit_mixture(samples, 3, random=np.random.default_rng(3))
    assert far.log_likelihood == pytest.approx(near.log_likelihood, abs=0.01)


def test_floor_keeps_flat_samples_apart(random):
    samples = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32), 20, axis=0)
    mixture = fit_mixture(samples, 3, random=random)
    assert np.isfinite(mixture.log_likelihood)
    assert matched(np.repeat(np.arange(3), 20), mixture.labels(samples))
    with pytest.raises(UserError, match="3 different samples cannot make 4 clusters"):
        fit_mixture(samples, 4, random=random)


def test_state_and_order(random):
    samples, _ = groups()
    mixture = fit_mixture(samples, 3, random=random)
    again = Mixture.from_state(mixture.to_state())
    assert np.array_equal(again.labels(samples), mixture.labels(samples))
    turned = mixture.permuted(np.array([2, 0, 1]))
    assert np.array_equal(np.array([1, 2, 0])[mixture.labels(samples)], turned.labels(samples))


def test_k_means_finds_groups_and_matches_scikit_learn():
    from sklearn.cluster import KMeans

    samples, _ = groups(sizes=(500, 400, 300, 200, 100), distance=3)
    ours = fit_k_means(samples, 5, starts=10, random=np.random.default_rng(0))
    theirs = KMeans(5, n_init=10, random_state=0).fit(samples)
    assert ours.inertia == pytest.approx(theirs.inertia_ / len(samples), rel=2e-3)


def test_lloyd_by_hand():
    samples = np.array([[0.0], [1.0], [9.0], [11.0]], np.float32)
    result = lloyd(samples, np.array([[0.0], [1.0]], np.float32))
    assert result.centres.ravel().tolist() == [0.5, 10]
    assert result.inertia == pytest.approx((0.25 + 0.25 + 1 + 1) / 4)
    weighted = lloyd(samples, np.array([[0.0], [9.0]], np.float32), weights=np.array([3, 1, 1, 1]))
    assert weighted.centres.ravel().tolist() == [0.25, 10]


def test_a_centre_without_members_moves_to_where_it_is_needed():
    samples = np.array([[0.0], [1.0], [100.0]], np.float32)
    result = lloyd(samples, np.array([[0.0], [-500.0]], np.float32))
    assert sorted(result.centres.ravel().tolist()) == [0.5, 100]


def test_seeds_are_different_samples(random):
    samples = np.repeat(np.arange(4, dtype=np.float32), 50)[:, None]
    assert sorted(seed_centres(samples, 4, random).ravel().tolist()) == [0, 1, 2, 3]
    with pytest.raises(UserError, match="4 different samples cannot make 5 clusters; ask for fewer"):
        seed_centres(samples, 5, random)


def test_nearest_is_nearest_far_from_the_origin(random):
    samples = (random.normal(size=(300, 4)) + 50).astype(np.float32)
    centres = samples[:7]
    labels, distances = nearest(samples, centres)
    apart = ((samples[:, None] - centres[None]) ** 2).sum(2)
    assert distances == pytest.approx(apart[np.arange(300), labels], rel=1e-4)
    assert apart[np.arange(300), labels] == pytest.approx(apart.min(1), abs=0.02)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_bic_finds_the_number_of_groups(number, random):
    samples, _ = groups(sizes=(1000,) * number, distance=8)
    found, facts = count_clusters(samples, most=12, random=random, pixels=len(samples))
    assert found == number
    assert facts["chosen_by"] == "bic"
    assert min(facts["bic_by_clusters"], key=facts["bic_by_clusters"].get) == str(number)


def test_bic_asks_for_more_where_each_pixel_counts(random):
    # a bent group is no Gaussian: the more samples, the more components are worth their parameters
    angle = random.uniform(0, np.pi, 3000)
    samples = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.05 * random.normal(size=(3000, 2))
    few, many = (
        count_clusters(samples.astype(np.float32), most=20, random=random, pixels=3000, pixels_per_sample=share)[0]
        for share in (25, 1)
    )
    assert few < many


def test_a_covariance_that_rounding_made_indefinite_still_has_factors():
    from hsipipe.tasks.segmentation.shared.mixture import _factors

    indefinite = np.array([[[1.0, 0.0], [0.0, -0.01]], [[2.0, 0.5], [0.5, 1.0]]])
    factors = _factors(indefinite, "full", 1e-3)
    np.testing.assert_allclose(factors[0] @ factors[0].T, np.diag([1.001, 0.001]), atol=1e-12)
    np.testing.assert_allclose(factors[1] @ factors[1].T, indefinite[1] + 1e-3 * np.eye(2), atol=1e-12)
