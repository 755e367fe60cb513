import numpy as np
import torch
from skimage.restoration import denoise_tv_chambolle

from hsipipe.tasks.denoising.shared.total_variation import denoise_total_variation, divergence, gradient


def objective(image, estimate, weight):
    slope = gradient(estimate).square().sum(0).sqrt().sum()
    return float(0.5 * (image - estimate).square().sum() + weight * slope)


def test_divergence_is_the_negative_adjoint_of_the_gradient():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(3, 7, 9, generator=generator, dtype=torch.float64)
    field = torch.randn(2, 3, 7, 9, generator=generator, dtype=torch.float64)
    assert torch.isclose((gradient(image) * field).sum(), -(image * divergence(field)).sum())


def test_reaches_the_minimum_that_chambolles_algorithm_reaches():
    generator = np.random.default_rng(0)
    image = np.kron(generator.uniform(size=(4, 4)), np.ones((8, 8))) + 0.1 * generator.normal(size=(32, 32))
    ours, _ = denoise_total_variation(torch.from_numpy(image), 0.1, iterations=400)
    theirs = torch.from_numpy(denoise_tv_chambolle(image, weight=0.1, eps=1e-9, max_num_iter=4000))
    image = torch.from_numpy(image)
    assert objective(image, ours, 0.1) <= objective(image, theirs, 0.1) * (1 + 1e-4)
    assert (ours - theirs).abs().max() < 0.02


def test_each_image_has_its_own_weight_and_a_constant_stays():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(3, 16, 16, generator=generator)
    images[2] = 0.4
    weights = torch.tensor([0.0, 100.0, 1.0])[:, None, None]
    smooth, _ = denoise_total_variation(images, weights, iterations=300)
    assert torch.allclose(smooth[0], images[0], atol=1e-6)
    assert torch.allclose(smooth[1], images[1].mean().expand(16, 16), atol=1e-2)
    assert torch.allclose(smooth[2], images[2], atol=1e-6)


def test_a_solution_continued_equals_a_better_one():
    image = torch.rand(16, 16, generator=torch.Generator().manual_seed(2))
    first, dual = denoise_total_variation(image, 0.2, iterations=5)
    second, _ = denoise_total_variation(image, 0.2, iterations=20, dual=dual)
    assert objective(image, second, 0.2) < objective(image, first, 0.2)
