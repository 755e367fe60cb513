import numpy as np
import torch

from hsipipe.tasks.denoising.shared.shrinkage import (
    bayes_threshold,
    shrink_subbands,
    soft_threshold,
    sure_threshold,
)
from hsipipe.tasks.denoising.shared.wavelets import decompose


def test_soft_threshold_moves_towards_zero():
    values = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert soft_threshold(values, 1.0).tolist() == [-2, 0, 0, 0, 2]
    assert soft_threshold(values, torch.tensor([1.0])).tolist() == [-2, 0, 0, 0, 2]


def test_sure_finds_the_minimum_of_its_formula_over_a_fine_grid():
    generator = np.random.default_rng(0)
    values = generator.normal(size=400) + 5 * (generator.uniform(size=400) < 0.1)
    threshold, risk = sure_threshold(torch.from_numpy(values))
    magnitude = np.abs(values)
    formula = [
        400 - 2 * (magnitude <= t).sum() + np.minimum(magnitude, t).__pow__(2).sum() for t in np.linspace(0, 8, 8001)
    ]
    assert risk <= min(formula) + 1e-9
    assert risk >= min(formula) - 0.2
    at = float(threshold)
    assert np.isclose(400 - 2 * (magnitude <= at).sum() + np.minimum(magnitude, at).__pow__(2).sum(), float(risk))


def test_sure_estimates_the_true_error_and_picks_nearly_the_best_threshold():
    generator = np.random.default_rng(1)
    truth = 6 * (generator.uniform(size=(3, 200000)) < 0.05)
    noisy = torch.from_numpy(truth + generator.normal(size=truth.shape))
    threshold, risk = sure_threshold(noisy)
    truth = torch.from_numpy(truth)
    error = (soft_threshold(noisy, threshold[:, None]) - truth).square().sum(-1)
    assert torch.allclose(error, risk, rtol=0.05)
    best = min(float((soft_threshold(noisy, t) - truth).square().sum()) for t in np.linspace(0.5, 4, 36))
    assert float(error.sum()) < 1.02 * best


def test_sure_drops_what_is_zero_and_keeps_what_is_all_signal():
    threshold, risk = sure_threshold(torch.stack([torch.full((100,), 1e-3), torch.linspace(50, 150, 100)]))
    assert torch.isclose(threshold[0], torch.tensor(1e-3))
    assert threshold[1] == 0
    assert risk[1] == 100


def test_sure_of_many_rows_equals_that_of_each():
    rows = torch.from_numpy(np.random.default_rng(2).normal(1, 2, size=(2, 5, 120000)))
    threshold, risk = sure_threshold(rows)
    for i in range(2):
        for j in range(5):
            one, its_risk = sure_threshold(rows[i, j])
            assert one == threshold[i, j]
            assert torch.isclose(its_risk, risk[i, j], rtol=1e-12)


def test_bayes_threshold_is_noise_variance_over_signal_deviation():
    values = torch.tensor([[3.0, -3.0, 3.0, -3.0], [0.5, -0.5, 0.5, 0.5]], dtype=torch.float64)
    assert torch.allclose(bayes_threshold(values), torch.tensor([1 / 8**0.5, 0.5], dtype=torch.float64))


def test_shrinking_subbands_reduces_the_error_of_a_smooth_image():
    grid = np.linspace(0, 3, 64)
    clean = torch.from_numpy(10 * np.sin(grid)[:, None] * np.cos(grid)[None])
    noisy = clean + torch.from_numpy(np.random.default_rng(3).normal(size=(64, 64)))
    truth = decompose(clean, levels=3)
    for rule in ("bayes", "sure"):
        shrunk = shrink_subbands(decompose(noisy, levels=3), 3, rule)
        assert (shrunk - truth).square().mean() < 0.2
