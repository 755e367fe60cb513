"""The MAP refinement: conjugate gradients against a dense solution, the prior from residuals made with it."""

import numpy as np
import pytest

from hsipipe.degrade.blur import Blur
from hsipipe.degrade.psf import make_psf
from hsipipe.tasks.fusion.shared.map_refinement import Prior, fit_prior, refine, transfer_power, trusted

PSF = make_psf("gaussian:sigma=1.2,size=5")


def test_solves_the_normal_equations():
    generator = np.random.default_rng(0)
    rows, cols, ratio = 8, 12, 4
    blur = Blur(PSF, ratio, (rows, cols))
    prior = Prior(np.eye(2), np.array([3.0, 0.5]), np.array([1.0, 4.0]), 1.5)
    response = generator.standard_normal((3, 2))
    misfit = generator.standard_normal((2, 2, 3)).astype(np.float32)
    unseen = generator.standard_normal((3, rows, cols)).astype(np.float32)
    used = np.array([[True, True, False], [True, True, True]])
    found = refine(
        misfit, blur, prior, used=used, response=response, msi_misfit=unseen, tolerance=1e-6, most_iterations=400
    )
    pixels = rows * cols
    forward = blur.forward(np.eye(pixels).reshape(-1, rows, cols)).reshape(pixels, -1).T * used.reshape(-1, 1)
    laplacian = np.zeros((pixels, pixels))
    for index in range(pixels):
        row, col = divmod(index, cols)
        for other, exists in ((index + 1, col + 1 < cols), (index + cols, row + 1 < rows)):
            if exists:
                step = np.zeros(pixels)
                step[index], step[other] = -1, 1
                laplacian += np.outer(step, step)
    matrix, goal = np.kron(response.T @ response, np.eye(pixels)), np.empty((2, pixels))
    for k, variance in enumerate(prior.variance):
        block = slice(k * pixels, (k + 1) * pixels)
        matrix[block, block] += (
            forward.T @ forward / prior.noise[k] + (np.eye(pixels) + prior.length**2 * laplacian) / variance
        )
        goal[k] = forward.T @ misfit[k].ravel() / prior.noise[k] + response[:, k] @ unseen.reshape(3, -1)
    exact = np.linalg.solve(matrix, goal.ravel()).reshape(2, rows, cols)
    assert np.abs(found.deviation - exact).max() < 1e-4 * np.abs(exact).max()
    assert found.residual < 1e-6


def test_no_misfit_no_deviation():
    blur = Blur(PSF, 4, (8, 8))
    found = refine(np.zeros((1, 2, 2), np.float32), blur, Prior(np.eye(1), np.ones(1), np.ones(1), 2.0))
    assert found.iterations == 0
    assert not found.deviation.any()


def test_transfer_of_white_noise():
    size, ratio = 96, 4
    noise = np.random.default_rng(0).standard_normal((200, size, size)).astype(np.float32)
    from scipy.fft import dctn

    seen = Blur(PSF, ratio, (size, size)).forward(noise)
    power = np.mean(dctn(seen.astype(float), axes=(1, 2), norm="ortho") ** 2, axis=0)
    expected = transfer_power(PSF, ratio, (24, 24))
    ratio_of_both = power[1:20, 1:20] / expected[1:20, 1:20]
    assert ratio_of_both.mean() == pytest.approx(1, abs=0.03)


def test_the_prior_is_found_again():
    generator = np.random.default_rng(0)
    size, ratio = 160, 4
    blur = Blur(PSF, ratio, (size, size))
    frequency = np.hypot.outer(np.fft.fftfreq(size), np.fft.rfftfreq(size)) * 2 * np.pi
    white = np.fft.rfft2(generator.standard_normal((size, size)))
    field = np.fft.irfft2(white * np.sqrt(400 / (1 + (8 * frequency) ** 2)), s=(size, size))
    quiet = np.zeros_like(field)
    residual = blur.forward(np.stack([quiet, field]).astype(np.float32)) + generator.standard_normal((2, 40, 40))
    prior = fit_prior([residual.astype(np.float32)], PSF, ratio)
    assert prior.length in (4.0, 8.0, 16.0)
    assert abs(prior.rotation[1, 0]) > 0.99
    # The variance is halved on purpose, as hold-out residuals are larger than the final fit's.
    assert 50 < prior.variance[0] < 800


def test_pure_noise_leaves_little_to_refine():
    noise = np.random.default_rng(0).standard_normal((3, 40, 40)).astype(np.float32)
    prior = fit_prior([noise], PSF, 4)
    found = refine(noise[: len(prior.variance)], Blur(PSF, 4, (160, 160)), prior) if len(prior.variance) else None
    assert found is None or np.sqrt(np.mean(found.deviation**2)) < 0.3


def test_a_side_where_light_is_missing_is_not_trusted():
    misfit = np.random.default_rng(0).standard_normal((4, 12, 10)).astype(np.float32)
    assert trusted(misfit, 2).all()
    misfit[:, :, -1] += 50
    expected = np.ones((12, 10), bool)
    expected[:, -2:] = False
    assert np.array_equal(trusted(misfit, 2), expected)
    assert trusted(misfit[:, :3, :3], 2).all()
