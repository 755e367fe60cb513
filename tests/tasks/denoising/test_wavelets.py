import numpy as np
import pytest
import pywt
import torch

from hsipipe.errors import UserError
from hsipipe.tasks.denoising.shared.wavelets import (
    WAVELETS,
    analyse,
    analysis_matrix,
    decompose,
    pad_symmetric,
    padded_size,
    reconstruct,
    scaling_filter,
    subbands,
    synthesise,
    usable_levels,
)


@pytest.mark.parametrize("name", WAVELETS)
def test_filters_and_alignment_are_those_of_pywavelets(name):
    assert np.abs(scaling_filter(name) - pywt.Wavelet(name).rec_lo).max() < 1e-13
    signal = np.random.default_rng(0).normal(size=64)
    low, high = pywt.dwt(signal, name, mode="periodization")
    assert np.abs(analysis_matrix(name, 64) @ signal - np.concatenate([low, high])).max() < 1e-12


@pytest.mark.parametrize("length", [2, 4, 6, 10, 128])
@pytest.mark.parametrize("name", ["haar", "db5", "db10"])
def test_matrices_are_orthogonal_even_when_the_filter_wraps(name, length):
    matrix = analysis_matrix(name, length)
    assert np.abs(matrix @ matrix.T - np.eye(length)).max() < 1e-10


def test_layout_is_that_of_pywavelets():
    images = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 64, 96)))
    ours = decompose(images, wavelet="db3", levels=3)[1, 2].numpy()
    theirs, _ = pywt.coeffs_to_array(pywt.wavedec2(images[1, 2].numpy(), "db3", "periodization", 3))
    assert np.abs(ours - theirs).max() < 1e-12
    _, (horizontal, vertical, diagonal) = pywt.dwt2(images[0, 0].numpy(), "db3", "periodization")
    blocks = {band.kind: band for band in subbands(64, 96, 3) if band.level == 1}
    finest = decompose(images, wavelet="db3", levels=3)[0, 0]
    for kind, theirs in (("horizontal", horizontal), ("vertical", vertical), ("diagonal", diagonal)):
        assert np.abs(blocks[kind].of(finest).numpy() - theirs).max() < 1e-12


@pytest.mark.parametrize("size", [(128, 128), (37, 50), (8, 8), (5, 3), (1, 1), (40, 300)])
def test_reconstruction_is_exact_and_energy_is_kept(size):
    images = torch.from_numpy(np.random.default_rng(2).normal(size=(3, *size)))
    levels = usable_levels(*size, 5)
    coefficients = decompose(images, levels=levels)
    before = coefficients.clone()
    assert coefficients.shape[-2:] == padded_size(*size, levels)
    assert (reconstruct(coefficients, levels=levels, size=size) - images).abs().max() < 1e-12
    assert torch.equal(coefficients, before)
    padded = pad_symmetric(images, *coefficients.shape[-2:])
    assert torch.isclose(coefficients.square().sum(), padded.square().sum())


def test_many_images_go_through_in_parts_without_mixing():
    images = torch.from_numpy(np.random.default_rng(3).normal(size=(40, 160, 160)).astype(np.float32))
    coefficients = decompose(images, levels=4)
    assert torch.allclose(coefficients[37], decompose(images[37], levels=4), atol=1e-5)
    assert (reconstruct(coefficients, levels=4) - images).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["haar", "db2", "db10"])
@pytest.mark.parametrize("length", [514, 544, 640, 1504])
def test_long_axes_in_blocks_equal_the_whole_matrix(name, length):
    signals = torch.from_numpy(np.random.default_rng(4).normal(size=(2, 3, length)))
    whole = signals @ torch.from_numpy(analysis_matrix(name, length)).mT
    assert (analyse(signals, name) - whole).abs().max() < 1e-11
    assert (synthesise(whole, name) - signals).abs().max() < 1e-11


def test_subbands_tile_the_coefficients():
    cover = torch.zeros(96, 64)
    for band in subbands(96, 64, 4):
        band.of(cover).add_(1.0)
    assert torch.equal(cover, torch.ones(96, 64))


def test_symmetric_padding_repeats_the_edge():
    image = torch.tensor([[1.0, 2.0, 3.0]])
    assert pad_symmetric(image, 2, 8).tolist() == [[1, 2, 3, 3, 2, 1, 1, 2]] * 2


def test_unknown_wavelet_and_odd_length_are_refused():
    with pytest.raises(UserError, match="unknown wavelet 'db11'"):
        scaling_filter("db11")
    with pytest.raises(UserError, match="even length"):
        analysis_matrix("db2", 7)
