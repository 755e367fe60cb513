import math

import pytest
import torch

from hsipipe.tasks.denoising.shared.noise_level import signal_axes
from hsipipe.tasks.denoising.shared.spectral_prior import find_axes, smooth_axes

BANDS, PIXELS = 120, 400


def smooth_signal(count: int) -> torch.Tensor:
    """Orthonormal axes that vary slowly along the bands: the lowest cosines."""
    bands = (torch.arange(BANDS) + 0.5) / BANDS
    axes = torch.stack([torch.cos(math.pi * (k + 1) * bands) for k in range(count)], dim=1)
    return torch.linalg.qr(axes)[0]


def drawn_covariance(axes: torch.Tensor, power: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randn(PIXELS, axes.shape[1], generator=generator) * power.sqrt() @ axes.T
    spectra = signal + torch.randn(PIXELS, BANDS, generator=generator)
    return spectra.T @ spectra / PIXELS


def captured(found: torch.Tensor, axes: torch.Tensor) -> float:
    """Share of the true axes that lies in the span of those found."""
    return float((found.T @ axes).square().sum() / axes.shape[1])


def test_weak_smooth_axes_are_found_that_plain_eigenvectors_miss():
    axes = smooth_signal(2)
    power = torch.tensor([4.0, 0.5])  # the second below the threshold sqrt(120 / 400) = 0.55
    plain, filtered = [], []
    for seed in range(3):
        covariance = drawn_covariance(axes, power, seed)
        plain.append(captured(signal_axes(covariance, PIXELS, rank=2), axes))
        filtered.append(captured(find_axes(covariance, PIXELS, rank=2), axes))
    assert min(filtered) > 0.85
    assert sum(filtered) > sum(plain) + 0.6


def test_noise_alone_gives_one_axis():
    covariance = drawn_covariance(smooth_signal(1), torch.tensor([0.0]), 0)
    assert find_axes(covariance, PIXELS).shape == (BANDS, 1)


def test_strong_signals_are_counted():
    covariance = drawn_covariance(smooth_signal(3), torch.tensor([9.0, 5.0, 3.0]), 1)
    found = find_axes(covariance, PIXELS)
    assert found.shape[1] == 3
    torch.testing.assert_close(found.T @ found, torch.eye(3), atol=1e-4, rtol=0)


def test_a_learned_basis_confines_the_axes_and_finds_what_is_rough():
    rough = torch.zeros(BANDS, 1)
    rough[::2], rough[1::2] = 1 / math.sqrt(BANDS), -1 / math.sqrt(BANDS)
    basis = torch.linalg.qr(torch.cat([rough, smooth_signal(5)], dim=1))[0]
    covariance = drawn_covariance(rough, torch.tensor([0.5]), 2)
    found = find_axes(covariance, PIXELS, rank=1, basis=basis)
    assert captured(found, rough) > 0.8
    torch.testing.assert_close(basis @ (basis.T @ found), found, atol=1e-5, rtol=0)


def test_smoothing_brings_a_noisy_axis_nearer_to_the_truth_and_leaves_a_strong_one():
    truth = smooth_signal(1)
    error = (0.5 + 1) / (PIXELS * 0.5**2)
    noisy = truth + math.sqrt(error) * torch.randn(BANDS, 1, generator=torch.Generator().manual_seed(3))
    noisy = noisy / noisy.norm()
    smooth = smooth_axes(noisy, torch.tensor([0.5]), PIXELS)
    assert (smooth.T @ truth).item() > 0.97 > (noisy.T @ truth).item()
    strong = smooth_axes(noisy, torch.tensor([1e6]), PIXELS)
    assert (strong.T @ noisy).item() == pytest.approx(1, abs=1e-4)


def test_smoothed_axes_are_orthonormal_and_keep_their_sign_and_type():
    axes = torch.linalg.qr(torch.randn(BANDS, 4, generator=torch.Generator().manual_seed(4)))[0]
    smooth = smooth_axes(axes, torch.tensor([50.0, 20.0, 5.0, 1.0]), PIXELS)
    assert smooth.dtype == axes.dtype
    torch.testing.assert_close(smooth.T @ smooth, torch.eye(4), atol=1e-5, rtol=0)
    assert ((smooth * axes).sum(0) > 0).all()
    assert torch.equal(smooth, smooth_axes(axes, torch.tensor([50.0, 20.0, 5.0, 1.0]), PIXELS))


def test_two_bands_have_nothing_to_be_smooth_over():
    axes = torch.eye(2)
    assert torch.equal(smooth_axes(axes, torch.ones(2), 10), axes)


def test_axes_are_smooth_before_they_are_divided_by_the_noise_level():
    """With another level in every band whitened axes are rough; filtered as if they were smooth they would be lost."""
    level = torch.where(torch.arange(BANDS) % 2 == 0, 0.2, 2.0)
    axes = smooth_signal(1) / level[:, None]
    axes = axes / axes.norm()
    told, untold = [], []
    for seed in range(3):
        covariance = drawn_covariance(axes, torch.tensor([0.6]), seed)
        told.append(captured(find_axes(covariance, PIXELS, rank=1, level=level), axes))
        untold.append(captured(find_axes(covariance, PIXELS, rank=1), axes))
    assert min(told) > 0.8 > max(untold)


def test_equal_levels_are_no_levels():
    covariance = drawn_covariance(smooth_signal(2), torch.tensor([4.0, 1.0]), 5)
    same = find_axes(covariance, PIXELS, rank=2, level=torch.full((BANDS,), 0.3))
    assert torch.equal(same, find_axes(covariance, PIXELS, rank=2))
