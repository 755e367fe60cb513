"""Estimates from clipped samples of spectra near a subspace."""

import math

import pytest
import torch

from hsipipe.tasks.denoising.shared import tobit
from hsipipe.tasks.denoising.shared.noise_level import smoothed_moments
from hsipipe.tasks.denoising.shared.tobit import Samples, column_offsets, completed_moments, weighted_coefficients

BANDS, ROWS, COLS = 12, 23, 17


def example(*, clip: bool) -> tuple[Samples, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Samples, the clean cube, its centre and its two axes among whitened spectra."""
    generator = torch.Generator().manual_seed(0)
    level = 0.1 + 0.1 * torch.rand(BANDS, generator=generator)
    axes = torch.linalg.qr(torch.randn(BANDS, 2, generator=generator)).Q
    centre = 0.3 + 0.4 * torch.rand(BANDS, generator=generator)
    coefficients = torch.randn(2, ROWS, COLS, generator=generator)
    clean = centre[:, None, None] + level[:, None, None] * torch.einsum("ck,khw->chw", axes, coefficients)
    noisy = clean + level[:, None, None] * torch.randn(clean.shape, generator=generator)
    bound = torch.full((BANDS,), math.inf)
    lower, upper = (torch.zeros(BANDS), torch.ones(BANDS)) if clip else (-bound, bound)
    noisy = torch.maximum(torch.minimum(noisy, upper[:, None, None]), lower[:, None, None])
    return Samples(noisy, level, lower, upper), clean, centre, axes


def test_moments_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, clean, centre, _ = example(clip=False)
    columns = torch.arange(COLS) != 3
    whitened = (samples.cube - centre[:, None, None]) / samples.level[:, None, None]
    expected = smoothed_moments(whitened, columns) / (ROWS * (COLS - 1))
    for size in (1, 5 * BANDS * COLS, 1 << 20):
        monkeypatch.setattr(tobit, "CHUNK", size)
        moments, information = completed_moments(samples, clean, torch.zeros(BANDS, COLS), centre, columns)
        assert torch.allclose(moments, expected, atol=1e-5)
        assert information == pytest.approx(1.0, abs=1e-5)


def test_without_clipping_coefficients_are_projections() -> None:
    samples, clean, centre, axes = example(clip=False)
    found, variances = weighted_coefficients(samples, clean, torch.zeros(BANDS, COLS), centre, axes)
    whitened = (samples.cube - centre[:, None, None]) / samples.level[:, None, None]
    assert torch.allclose(found, torch.einsum("ck,chw->khw", axes, whitened), atol=0.01)
    assert torch.allclose(variances, torch.ones_like(variances), atol=0.01)


def test_with_clipping_a_step_from_the_truth_has_the_variance_that_it_states() -> None:
    samples, clean, centre, axes = example(clip=True)
    found, variances = weighted_coefficients(samples, clean, torch.zeros(BANDS, COLS), centre, axes)
    truth = torch.einsum("ck,chw->khw", axes, (clean - centre[:, None, None]) / samples.level[:, None, None])
    assert (variances > 0.99).all()
    assert float(((found - truth).square() / variances).mean()) == pytest.approx(1.0, abs=0.15)
    assert abs(float((found - truth).mean())) < 0.1


def test_offsets_of_clipped_columns_are_found_and_others_left() -> None:
    samples, clean, _, _ = example(clip=True)
    generator = torch.Generator().manual_seed(4)
    tall = Samples(samples.cube, samples.level, samples.lower, samples.upper)
    clean = clean.repeat(1, 40, 1)
    entries = torch.rand(BANDS, COLS, generator=generator) < 0.5
    offsets = 0.4 * (torch.rand(BANDS, COLS, generator=generator) - 0.5) * entries
    noise = samples.level[:, None, None] * torch.randn(clean.shape, generator=generator)
    tall.cube = (clean + offsets[:, None] + noise).clamp(0, 1)
    found = column_offsets(tall, clean, torch.zeros_like(offsets), entries, steps=5)
    assert torch.equal(found[~entries], torch.zeros(int((~entries).sum())))
    assert (found - offsets).abs().max() < 0.05
