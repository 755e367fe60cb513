"""Clipped Gaussian noise: bounds, moments, score."""

import math

import pytest
import torch

from hsipipe.tasks.denoising.shared.clipping import (
    clipped_moments,
    find_bounds,
    score_and_information,
    unclipped_scale,
    undo_mean,
)

ZERO, ONE = torch.tensor(0.0), torch.tensor(1.0)


def test_moments_agree_with_numerical_integration() -> None:
    from scipy.integrate import quad
    from scipy.stats import norm

    for mean in (-0.3, 0.02, 0.5, 1.2):
        for scale in (0.05, 0.27, 1.0):
            points = sorted({max(0.0, min(1.0, mean))})

            def moment(power: int, mean: float = mean, scale: float = scale, points: list[float] = points) -> float:
                inside = quad(lambda y: y**power * norm.pdf(y, mean, scale), 0, 1, points=points)[0]
                return inside + norm.sf(1, mean, scale)

            got_mean, got_variance = clipped_moments(torch.tensor(mean), torch.tensor(scale), ZERO, ONE)
            assert float(got_mean) == pytest.approx(moment(1), abs=1e-5)
            assert float(got_variance) == pytest.approx(moment(2) - moment(1) ** 2, abs=1e-5)


def test_without_bounds_nothing_changes() -> None:
    mean = torch.linspace(-2, 2, 9)
    infinite = torch.tensor(math.inf)
    got_mean, variance = clipped_moments(mean, torch.tensor(0.3), -infinite, infinite)
    assert torch.allclose(got_mean, mean, atol=1e-5)
    assert torch.allclose(variance, torch.full_like(mean, 0.09), atol=1e-5)
    score, information = score_and_information(mean + 0.6, mean, torch.tensor(0.3), -infinite, infinite)
    assert torch.allclose(score, torch.full_like(mean, 2.0), atol=1e-4)
    assert torch.allclose(information, torch.ones_like(mean), atol=1e-5)


def test_score_has_mean_zero_and_the_variance_of_its_information() -> None:
    generator = torch.Generator().manual_seed(0)
    for mean in (-0.2, 0.05, 0.5, 1.1):
        sample = (mean + 0.27 * torch.randn(400_000, generator=generator)).clamp(0, 1)
        score, information = score_and_information(sample, torch.tensor(mean), torch.tensor(0.27), ZERO, ONE)
        assert abs(float(score.mean())) < 0.01
        assert float(score.square().mean()) == pytest.approx(float(information), rel=0.02)


def test_score_is_the_derivative_of_the_log_likelihood() -> None:
    from scipy.stats import norm

    for mean in (0.0, 0.4):
        low = (norm.logcdf(0, mean + 1e-5, 0.3) - norm.logcdf(0, mean - 1e-5, 0.3)) / 2e-5 * 0.3
        high = (norm.logsf(1, mean + 1e-5, 0.3) - norm.logsf(1, mean - 1e-5, 0.3)) / 2e-5 * 0.3
        score, _ = score_and_information(torch.tensor([0.0, 1.0]), torch.tensor(mean), torch.tensor(0.3), ZERO, ONE)
        assert score.tolist() == pytest.approx([low, high], abs=1e-3)


def test_undo_mean_inverts() -> None:
    clean = torch.linspace(0, 1, 101).expand(3, -1)
    scale, lower, upper = torch.tensor([0.02, 0.27, 0.5]), torch.zeros(3), torch.ones(3)
    clipped, _ = clipped_moments(clean, scale[:, None], lower[:, None], upper[:, None])
    assert torch.allclose(undo_mean(clipped, scale, lower, upper), clean, atol=2e-3)
    free = torch.full((3,), math.inf)
    assert torch.allclose(undo_mean(clean, scale, -free, free), clean, atol=2e-3)


def test_scale_before_clipping_of_a_dark_band() -> None:
    generator = torch.Generator().manual_seed(1)
    clean = 0.1 * torch.rand(2, 5000, generator=generator)
    scale, lower, upper = torch.tensor([0.27, 0.05]), torch.zeros(2), torch.ones(2)
    means, variances = clipped_moments(clean, scale[:, None], lower[:, None], upper[:, None])
    found = unclipped_scale(variances.mean(1), means, lower, upper)
    assert torch.allclose(found, scale, rtol=0.02)


def test_bounds_are_found_only_where_samples_pile_up() -> None:
    generator = torch.Generator().manual_seed(2)
    noisy = 0.5 + 0.3 * torch.randn(4, 64, 64, generator=generator)
    lower, upper = find_bounds(noisy)
    assert lower.isinf().all()
    assert upper.isinf().all()
    noisy[0].clamp_(0, 1)
    noisy[1].clamp_(min=0.1)
    noisy[2] = (noisy[2] * 20).round()  # coarse steps are not clipping
    lower, upper = find_bounds(noisy)
    assert lower[0] == 0
    assert upper[0] == 1
    assert lower[1] == pytest.approx(0.1)
    assert upper[1].isinf()
    assert lower[2:].isinf().all()
    assert upper[2:].isinf().all()
