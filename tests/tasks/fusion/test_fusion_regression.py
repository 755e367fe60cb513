import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from hsipipe.tasks.fusion.shared.regression import (
    WEIGHTS,
    across_scales,
    apply_fit,
    fit_ridge,
    image_moments,
    mean_square_error,
    moments_of,
    polynomial_features,
)


@pytest.fixture
def samples():
    generator = np.random.default_rng(3)
    features = generator.random((4, 60)) * np.array([[1], [5], [0.1], [2]]) + 1
    targets = generator.random((7, 4)) @ features + 0.3 * generator.standard_normal((7, 60))
    return features, targets


def test_without_a_weight_it_is_least_squares(samples):
    features, targets = samples
    reference = LinearRegression().fit(features.T, targets.T)
    fit = fit_ridge(moments_of(features, targets), ridge=0.0)
    np.testing.assert_allclose(fit.matrix, reference.coef_, rtol=1e-6)
    np.testing.assert_allclose(fit.offset, reference.intercept_, rtol=1e-6)


def test_with_one_it_is_ridge_regression_on_standardised_features(samples):
    features, targets = samples
    scale = features.std(1)
    reference = Ridge(alpha=0.2 * 60).fit(features.T / scale, targets.T)
    fit = fit_ridge(moments_of(features, targets), ridge=0.2)
    np.testing.assert_allclose(fit.matrix, reference.coef_ / scale, rtol=1e-8)


def test_the_weight_is_that_of_the_least_generalised_cross_validation_error(samples):
    features, targets = samples
    standard = (features - features.mean(1, keepdims=True)) / features.std(1, keepdims=True)
    count = features.shape[1]
    errors = []
    for weight in WEIGHTS:
        hat = standard.T @ np.linalg.solve(standard @ standard.T + count * weight * np.eye(4), standard) + 1 / count
        residual = targets - targets @ hat.T
        errors.append(count * (residual**2).sum(1) / (count - np.trace(hat)) ** 2)
    np.testing.assert_allclose(
        fit_ridge(moments_of(features, targets)).ridge, WEIGHTS[np.argmin(errors, axis=0)], rtol=1e-12
    )


def test_moments_of_parts_add_up(samples):
    features, targets = samples
    whole = fit_ridge(moments_of(features, targets))
    parts = fit_ridge(moments_of(features[:, :13], targets[:, :13]) + moments_of(features[:, 13:], targets[:, 13:]))
    np.testing.assert_allclose(parts.matrix, whole.matrix, rtol=1e-9)


def test_the_error_from_moments_is_that_of_the_residual(samples):
    features, targets = samples
    moments = moments_of(features, targets)
    fit = fit_ridge(moments, ridge=0.5)
    residual = targets - fit.matrix @ features - fit.offset[:, None]
    np.testing.assert_allclose(mean_square_error(fit, moments), (residual**2).mean(1), rtol=1e-9)


def test_across_scales_takes_the_weight_that_predicts_the_finer_image_best(samples):
    features, targets = samples
    coarse, fine = moments_of(features[:, ::6], targets[:, ::6]), moments_of(features, targets)
    errors = [mean_square_error(fit_ridge(coarse, ridge=weight), fine) for weight in WEIGHTS]
    np.testing.assert_array_equal(across_scales(coarse, fine), WEIGHTS[np.argmin(errors, axis=0)])


def test_features_of_degree_two():
    spectra = np.array([[2.0], [3.0], [5.0]])
    assert polynomial_features(spectra, 2)[:, 0].tolist() == [2, 3, 5, 4, 6, 10, 9, 15, 25]
    assert polynomial_features(spectra, 1) is spectra


def test_a_quadratic_map_is_found_and_applied_over_chunks():
    generator = np.random.default_rng(0)
    msi = generator.random((2, 150, 130)).astype(np.float32)
    hsi = np.stack([1 + msi[0] ** 2, msi[0] * msi[1] - msi[1], np.full_like(msi[0], 0.7)])
    fit = fit_ridge(image_moments(msi[:, ::5, ::5], hsi[:, ::5, ::5], degree=2), ridge=0.0)
    fused = apply_fit(fit, msi, degree=2)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused, hsi, atol=1e-5)


def test_constant_features_and_more_features_than_samples():
    generator = np.random.default_rng(0)
    features = np.concatenate([np.full((3, 9), 0.1), generator.random((20, 9))])
    fit = fit_ridge(moments_of(features, np.stack([features[5], np.full(9, 0.25)])))
    assert np.isfinite(fit.matrix).all()
    assert not fit.matrix[:, :3].any()
    np.testing.assert_allclose(fit.matrix[1] @ features + fit.offset[1], 0.25, atol=1e-9)
