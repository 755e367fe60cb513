import numpy as np
import pytest
import torch

from hsipipe.tasks.denoising.shared.noise_estimate import (
    finite,
    keep_constant,
    median_deviation,
    noise_level,
    regression_variance,
    whiten,
    whitening,
)
from hsipipe.tasks.denoising.shared.subspace import centred, gram, project


@pytest.fixture(scope="module")
def noisy_mixture():
    generator = np.random.default_rng(0)
    bands, size = 80, 64
    spectra = generator.uniform(size=(bands, 4))
    smooth = np.cumsum(np.cumsum(generator.normal(size=(4, size, size)), axis=1), axis=2)
    clean = (spectra @ (smooth / np.abs(smooth).max()).reshape(4, -1)).reshape(bands, size, size)
    sigma = generator.uniform(0.05, 0.15, bands)
    return clean, clean + sigma[:, None, None] * generator.normal(size=clean.shape), sigma


def test_regression_is_least_squares_with_an_intercept(noisy_mixture):
    _, noisy, _ = noisy_mixture
    flat = noisy.reshape(80, -1)
    moments = centred(gram(torch.from_numpy(noisy)[None]), torch.from_numpy(flat.mean(1))[None], flat.shape[1])
    others = np.column_stack([np.delete(flat, 7, axis=0).T, np.ones(flat.shape[1])])
    left = flat[7] - others @ np.linalg.lstsq(others, flat[7], rcond=None)[0]
    wanted = (left**2).sum() / (flat.shape[1] - 80)
    assert regression_variance(moments, flat.shape[1])[0, 7].item() == pytest.approx(wanted, rel=1e-5)


def test_levels_of_bands_with_different_noise_are_found(noisy_mixture):
    _, noisy, sigma = noisy_mixture
    cube = torch.from_numpy(noisy.astype(np.float32))[None]
    assert np.allclose(noise_level(cube)[0], sigma, rtol=0.1)
    assert np.allclose(median_deviation(cube)[0], sigma, rtol=0.15)


def test_the_median_deviation_does_not_see_column_stripes():
    generator = np.random.default_rng(1)
    cube = 0.1 * generator.normal(size=(1, 5, 96, 96)) + generator.uniform(-0.5, 0.5, (1, 5, 1, 96))
    assert np.allclose(median_deviation(torch.from_numpy(cube)), 0.1, rtol=0.1)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 8, 8), (200, 8, 8), (3, 1, 1), (4, 3, 40)])
def test_few_bands_or_pixels_give_finite_levels(shape):
    cube = torch.from_numpy(np.random.default_rng(2).normal(size=(2, *shape)))
    level = noise_level(cube)
    assert level.shape == (2, shape[0])
    assert torch.isfinite(level).all()
    assert (level >= 0).all()


def test_constant_bands_have_no_noise_and_take_no_part(noisy_mixture):
    _, noisy, sigma = noisy_mixture
    cube = torch.from_numpy(noisy.astype(np.float32))[None].clone()
    cube[:, [3, 11]] = torch.tensor([0.0, 0.7])[None, :, None, None]
    level = noise_level(cube)
    assert level[0, 3] == 0
    assert level[0, 11] == 0
    others = [band for band in range(80) if band not in (3, 11)]
    assert np.allclose(level[0, others], sigma[others], rtol=0.1)
    factor, inverse = whitening(level)
    assert factor[0, 3] == inverse[0, 3] == 0
    assert torch.allclose((factor * inverse)[0, others], torch.ones(78, dtype=torch.float64))
    kept = keep_constant(torch.zeros_like(cube), cube, level)
    assert torch.equal(kept[:, [3, 11]], cube[:, [3, 11]])
    assert kept[:, others].abs().max() == 0


def test_whitened_components_have_unit_noise(noisy_mixture):
    clean, noisy, _ = noisy_mixture
    cube = torch.from_numpy(noisy.astype(np.float32))[None]
    noise = whiten(cube)
    difference = project(cube - torch.from_numpy(clean.astype(np.float32)), noise.analysis(80))
    variances = difference.var(dim=(-2, -1))
    assert variances.mean().item() == pytest.approx(1.0, abs=0.1)
    # Fitted directions spread within the Marchenko-Pastur bulk, here 0.74 to 1.30.
    assert 0.6 < variances.min() < variances.max() < 1.4


def test_what_is_not_finite_becomes_the_band_mean():
    cube = torch.arange(8.0).reshape(1, 2, 2, 2).clone()
    assert finite(cube) is cube
    cube[0, 0, 0, 0], cube[0, 1] = torch.nan, torch.inf
    assert finite(cube).flatten().tolist() == [2, 1, 2, 3, 0, 0, 0, 0]
