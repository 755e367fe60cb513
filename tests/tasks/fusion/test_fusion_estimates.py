"""Noise levels, the Wiener filter, the subspace, the response and the hold-out of the fusion's own method."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hsipipe.degrade.response import make_srf
from hsipipe.errors import UserError
from hsipipe.tasks.fusion.shared.estimate_srf import estimate_srf
from hsipipe.tasks.fusion.shared.holdout import blocked_folds
from hsipipe.tasks.fusion.shared.noise import band_noise, image_noise, local_wiener
from hsipipe.tasks.fusion.shared.subspace import find_subspace


def low_rank(bands=40, rows=30, cols=32, rank=4, seed=0):
    generator = np.random.default_rng(seed)
    maps = gaussian_filter(generator.standard_normal((rank, rows, cols)), (0, 1.5, 1.5)) * 3
    spectra = gaussian_filter(generator.standard_normal((rank, bands)), (0, 3))
    return (0.5 + np.tensordot(spectra.T, maps, 1) * 0.3).astype(np.float32)


def test_noise_of_bands():
    clean = low_rank()
    level = np.linspace(0.002, 0.01, len(clean))
    noisy = clean + level[:, None, None] * np.random.default_rng(1).standard_normal(clean.shape)
    assert band_noise(noisy) == pytest.approx(level, rel=0.2)


def test_noise_of_bands_with_few_pixels():
    clean = low_rank(rank=2)
    noisy = clean + 0.005 * np.random.default_rng(1).standard_normal(clean.shape)
    assert 0.5 < np.median(band_noise(noisy[:, :6, :8])) / 0.005 < 2
    assert np.isfinite(band_noise(noisy[:, :1, :2])).all()


def test_noise_of_an_image():
    generator = np.random.default_rng(0)
    scene = gaussian_filter(generator.standard_normal((4, 128, 128)), (0, 4, 4)) * 2
    scene[:, 40:90, 40:90] += generator.standard_normal((50, 50))
    level = np.array([0.01, 0.02, 0.03, 0.015])
    noisy = scene + level[:, None, None] * generator.standard_normal(scene.shape)
    assert image_noise(noisy) / level == pytest.approx(1, abs=0.4)


def test_wiener_filter_removes_noise_and_keeps_edges():
    generator = np.random.default_rng(0)
    scene = np.zeros((3, 64, 64), np.float32)
    scene[:, :, 32:] = 1
    noisy = (scene + 0.02 * generator.standard_normal(scene.shape)).astype(np.float32)
    filtered = local_wiener(noisy, np.full(3, 0.02))
    assert np.mean((filtered - scene) ** 2) < 0.35 * np.mean((noisy - scene) ** 2)
    assert np.abs(filtered[:, :, 31:33] - scene[:, :, 31:33]).max() < 0.08


def test_subspace_counts_the_signal():
    clean = low_rank(rank=4)
    noise = np.full(len(clean), 0.004)
    noisy = clean + 0.004 * np.random.default_rng(1).standard_normal(clean.shape)
    subspace = find_subspace(noisy, noise)
    assert subspace.rank == 4
    assert subspace.analysis @ subspace.basis == pytest.approx(np.eye(4), abs=1e-9)
    products = subspace.basis.T @ subspace.basis
    assert products - np.diag(np.diag(products)) == pytest.approx(0, abs=1e-12)
    # Noise in the coefficients: analysis N analysis' is the identity.
    assert (subspace.analysis * noise**2) @ subspace.analysis.T == pytest.approx(np.eye(4), abs=1e-9)
    with pytest.raises(UserError):
        find_subspace(noisy, noise, rank=41)
    assert find_subspace(noisy, noise, rank=7).rank == 7


def test_coefficients_with_light_lost_at_the_border():
    clean = low_rank(rank=3)
    subspace = find_subspace(clean, np.full(len(clean), 0.001), rank=3)
    constant = np.random.default_rng(0).random(clean.shape[1:])
    assert subspace.coefficients(clean * constant, constant=constant) == pytest.approx(
        subspace.coefficients(clean) * constant, abs=1e-2
    )


def test_response_is_found_again():
    generator = np.random.default_rng(0)
    spectra = gaussian_filter(generator.standard_normal((40, 20, 20)), (2, 0, 0)) + 1
    true = make_srf(3, wavelength_nm=None, bands=40, axis="stretched").matrix
    msi = np.tensordot(true, spectra, 1) + 0.001 * generator.standard_normal((3, 20, 20))
    found = estimate_srf(spectra.astype(np.float32), (1.1 * msi + 0.2).astype(np.float32))
    assert found.shape == (3, 40)
    assert found.min() >= 0
    assert found.sum(1) == pytest.approx(1)
    assert np.abs(found - true).sum(1).max() < 0.25


def test_response_from_nothing():
    assert estimate_srf(np.ones((5, 3, 1)), np.ones((2, 3, 1))) == pytest.approx(0.2)
    with pytest.raises(UserError):
        estimate_srf(np.ones((5, 3, 3)), np.ones((2, 3, 4)))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (25, 25), (152, 85)])
def test_folds_cover_the_image_once(size):
    count = np.zeros(size, int)
    for block in blocked_folds(*size, side=8):
        count[block.rows, block.cols] += 1
    assert (count == 1).all()
    folds = {block.fold for block in blocked_folds(*size, side=8)}
    assert len(folds) >= min(2, size[0] * size[1])
