import numpy as np
import torch

from hsipipe.tasks.denoising.shared.subspace import (
    centred,
    expand,
    gram,
    hysime,
    noise_edge,
    principal,
    project,
    signal_rank,
)


def mixture(rank=4, bands=40, size=48, noise=0.05, seed=0):
    generator = np.random.default_rng(seed)
    spectra = generator.uniform(size=(bands, rank))
    abundances = generator.dirichlet(np.ones(rank), size * size).T
    clean = (spectra @ abundances).reshape(bands, size, size)
    return clean, clean + noise * generator.normal(size=clean.shape)


def test_gram_and_centred_are_those_of_numpy():
    _, noisy = mixture()
    cube = torch.from_numpy(noisy.astype(np.float32))[None]
    flat = cube[0].double().flatten(1).numpy()
    moments = gram(cube)
    assert moments.dtype == torch.float64
    assert np.allclose(moments[0], flat @ flat.T, rtol=1e-12)
    pixels = flat.shape[1]
    around = centred(moments, torch.from_numpy(flat.mean(1))[None], pixels)
    assert np.allclose(around[0], np.cov(flat, bias=True) * pixels, atol=1e-8)


def test_principal_directions_are_the_singular_vectors():
    _, noisy = mixture()
    flat = noisy.reshape(40, -1)
    values, vectors = principal(gram(torch.from_numpy(noisy)[None]))
    left, singular, _ = np.linalg.svd(flat, full_matrices=False)
    assert np.allclose(values[0].sqrt(), singular, rtol=1e-6)
    assert np.allclose(np.abs((vectors[0].numpy() * left).sum(0)), 1.0, atol=1e-6)


def test_project_then_expand_is_the_orthogonal_projection():
    _, noisy = mixture()
    cube = torch.from_numpy(noisy)[None]
    basis = principal(gram(cube))[1][..., :3]
    left, singular, right = np.linalg.svd(noisy.reshape(40, -1), full_matrices=False)
    wanted = (left[:, :3] * singular[:3]) @ right[:3]
    assert np.allclose(expand(project(cube, basis), basis)[0].flatten(1), wanted, atol=1e-8)


def test_white_noise_stays_below_the_edge_and_signal_above():
    noise = torch.from_numpy(np.random.default_rng(5).normal(size=(2, 40, 48, 48)))
    variances = principal(gram(noise) / 48**2)[0]
    assert float(variances.max()) < noise_edge(40, 48**2)
    assert signal_rank(variances, 48**2).tolist() == [1, 1]
    _, noisy = mixture(rank=4, noise=0.05)
    variances = principal(gram(torch.from_numpy(noisy / 0.05)[None]) / 48**2)[0]
    assert signal_rank(variances, 48**2).tolist() == [4]
    assert signal_rank(variances, 48**2, max_rank=2).tolist() == [2]


def test_hysime_finds_the_number_of_endmembers_and_their_span():
    clean, noisy = mixture(rank=4)
    basis, rank = hysime(gram(torch.from_numpy(noisy)[None]), torch.full((1, 40), 0.05**2), 48**2)
    assert rank.tolist() == [4]
    kept = basis[0, :, :4].numpy()
    flat = clean.reshape(40, -1)
    assert np.linalg.norm(flat - kept @ (kept.T @ flat)) / np.linalg.norm(flat) < 0.01
