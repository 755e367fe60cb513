"""Any number of bands: the adapter, its grid, chunks, and attention over bands."""

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.tasks.representation.shared.adapter import SpectralAdapter, spectral_grid
from hsipipe.tasks.representation.shared.attention import SetAttention, SpectralAttention, hidden_units, mean_spectrum
from hsipipe.tasks.representation.shared.chunks import embed_in_chunks
from hsipipe.tasks.representation.shared.encoder import build_encoder
from hsipipe.tasks.representation.shared.wavelength_code import wavelength_code


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(wavelength_nm=np.linspace(350, 800, 408), stem="adapter", width=16, attention=True).eval()


def smooth(wavelength_nm, seed=0, size=8, batch=2):
    """Images of two smooth spectra mixed at random, sampled at any wavelengths."""
    mix = torch.rand(batch, 1, size, size, generator=torch.Generator().manual_seed(seed))
    centres = wavelength_nm[None, :, None, None]
    edge = torch.sigmoid((centres - 600) / 40)
    peak = torch.exp(-(((centres - 480) / 60) ** 2))
    return mix * edge + (1 - mix) * peak


def test_the_grid_keeps_constants_and_lines():
    for wavelength_nm in (np.linspace(348.4, 809.6, 408), np.linspace(400, 1000, 9), np.array([700.0, 500, 600])):
        points, matrix = spectral_grid(wavelength_nm, 5.0)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-9)
        assert (np.diff(points) == 5).all()
        assert (points % 5 == 0).all()
        assert points[0] >= wavelength_nm.min()
        assert points[-1] <= wavelength_nm.max()
        inner = (points >= wavelength_nm.min() + 5) & (points <= wavelength_nm.max() - 5)
        np.testing.assert_allclose((matrix @ wavelength_nm)[inner], points[inner], rtol=1e-9)
    points, matrix = spectral_grid(np.array([412.0]), 5.0)
    assert points.tolist() == [412.0]
    assert matrix.tolist() == [[1.0]]
    points, matrix = spectral_grid(np.array([411.0, 413.0]), 5.0)
    assert points.tolist() == [412.0]
    np.testing.assert_allclose(matrix, [[0.5, 0.5]])


def test_fine_bands_are_averaged_not_skipped():
    noise = np.random.default_rng(0).normal(size=(408, 4000))
    _, matrix = spectral_grid(np.linspace(348, 810, 408), 5.0)
    assert (matrix @ noise)[5:-5].std() < 0.5


@pytest.mark.parametrize("bands", [1, 2, 3, 9, 50, 408])
def test_any_number_of_bands_is_embedded(encoder, bands):
    wavelength_nm = torch.linspace(360, 790, bands)
    with torch.no_grad():
        embedding = encoder(smooth(wavelength_nm), wavelength_nm)
    assert embedding.shape == (2, encoder.dimension)
    assert torch.isfinite(embedding).all()
    blind = build_encoder(wavelength_nm=None, stem="adapter", width=16)
    assert blind(smooth(wavelength_nm)).shape == (2, 64)


def test_permuted_bands_give_the_same_embedding(encoder):
    torch.nn.init.normal_(encoder.attention.excite.weight)
    wavelength_nm = torch.linspace(350, 800, 37)
    images = smooth(wavelength_nm)
    order = torch.randperm(37, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        sorted_, shuffled = encoder(images, wavelength_nm), encoder(images[:, order], wavelength_nm[order])
        wrong = encoder(images[:, order], wavelength_nm)
    torch.testing.assert_close(shuffled, sorted_, rtol=1e-4, atol=1e-5)
    assert (wrong - sorted_).abs().max() > 100 * (shuffled - sorted_).abs().max()


def test_other_bands_of_the_same_spectra_give_nearly_the_same_embedding(encoder):
    with torch.no_grad():
        embeddings = [
            encoder(smooth(wavelength_nm), wavelength_nm)
            for wavelength_nm in (torch.linspace(350, 800, count) for count in (408, 100, 50))
        ]
        other = encoder(smooth(torch.linspace(350, 800, 408)).flip(1), torch.linspace(350, 800, 408))
    whole = embeddings[0]
    for few in embeddings[1:]:
        assert torch.linalg.norm(few - whole) < 0.02 * torch.linalg.norm(whole)
    assert torch.linalg.norm(other - whole) > 0.1 * torch.linalg.norm(whole)


def test_a_flat_spectrum_of_any_length_has_the_same_maps_without_wavelengths():
    torch.manual_seed(0)
    adapter = SpectralAdapter(maps=4, width=16).eval()
    flat = torch.rand(1, 1, 3, 3)
    with torch.no_grad():
        one, many = adapter(flat), adapter(flat.expand(-1, 100, -1, -1))
    torch.testing.assert_close(one, many)


def test_each_pixel_is_its_own_and_slabs_are_exact(monkeypatch):
    torch.manual_seed(0)
    adapter = SpectralAdapter(maps=4, width=16)
    images, wavelength_nm = torch.rand(2, 30, 6, 5), torch.linspace(400, 700, 30)
    whole = adapter(images, wavelength_nm)
    monkeypatch.setattr("hsipipe.tasks.representation.shared.adapter.SLAB_PIXELS", 14)
    with torch.no_grad():
        torch.testing.assert_close(adapter(images, wavelength_nm), whole)
        torch.testing.assert_close(adapter(images[:, :, 2:4, 1:3], wavelength_nm), whole[:, :, 2:4, 1:3])


def test_wavelengths_are_needed_where_the_encoder_knows_them(encoder):
    with pytest.raises(UserError, match=r"built with wavelengths"):
        encoder(torch.rand(1, 20, 8, 8))
    with pytest.raises(UserError, match=r"as many wavelengths as bands.*found 3"):
        encoder(torch.rand(1, 20, 8, 8), torch.tensor([400.0, 500.0, 600.0]))
    blind = build_encoder(wavelength_nm=None, stem="adapter", width=16)
    with pytest.raises(UserError, match=r"built without wavelengths"):
        blind(torch.rand(1, 3, 8, 8), torch.tensor([400.0, 500.0, 600.0]))
    own = torch.rand(1, 408, 8, 8)
    torch.testing.assert_close(encoder(own), encoder(own, encoder.wavelength_nm))


def test_chunks_are_the_weighted_mean_of_the_runs(encoder):
    wavelength_nm = torch.linspace(350, 800, 11)
    images = smooth(wavelength_nm)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        runs = [encoder(images[:, a:b], wavelength_nm[a:b]) for a, b in ((0, 4), (4, 8), (8, 11))]
        mean = embed_in_chunks(encoder, images[:, order], wavelength_nm[order], chunk=4)
        joined = embed_in_chunks(encoder, images[:, order], wavelength_nm[order], chunk=4, combine="concatenate")
        whole = embed_in_chunks(encoder, images, wavelength_nm, chunk=50)
    torch.testing.assert_close(mean, (4 * runs[0] + 4 * runs[1] + 3 * runs[2]) / 11, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(joined, torch.cat(runs, dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole, encoder(images, wavelength_nm))


def test_chunks_of_fifty_bands_and_a_last_of_eight(encoder):
    with torch.no_grad():
        joined = embed_in_chunks(encoder, torch.rand(1, 408, 4, 4), None, chunk=50, combine="concatenate")
    assert joined.shape == (1, 9 * 64)
    fixed = build_encoder(wavelength_nm=np.linspace(348, 810, 408), stem="reduce")
    with pytest.raises(UserError, match=r"chunk of 50 bands does not fit a stem for 408 bands"):
        embed_in_chunks(fixed, torch.rand(1, 408, 4, 4), None, chunk=50)
    for settings in ({"chunk": 0}, {"combine": "sum"}):
        with pytest.raises(UserError):
            embed_in_chunks(encoder, torch.rand(1, 408, 4, 4), None, **settings)


@pytest.mark.parametrize("bands", [1, 3, 9, 408])
def test_attention_works_at_any_band_count(bands):
    torch.manual_seed(0)
    assert hidden_units(bands) == {1: 4, 3: 4, 9: 4, 408: 25}[bands]
    images, wavelength_nm = torch.rand(2, bands, 5, 5), torch.linspace(400, 800, bands)
    for attention in (SpectralAttention(bands=bands), SetAttention()):
        assert torch.equal(attention(images, wavelength_nm), images)  # gates start at 1
        torch.nn.init.normal_(attention.excite.weight, std=3.0)
        gates = attention.gates(images, wavelength_nm)
        assert gates.shape == (2, bands)
        assert ((gates > 0) & (gates < 2)).all()
        torch.testing.assert_close(attention(images, wavelength_nm), images * gates[:, :, None, None])
        assert not torch.allclose(gates, torch.ones_like(gates))


def test_background_does_not_weigh_in():
    images = torch.rand(1, 4, 6, 6) + 0.1
    framed = torch.nn.functional.pad(images, (3, 3, 3, 3))
    torch.testing.assert_close(mean_spectrum(framed), images.mean(dim=(2, 3)))
    assert torch.equal(mean_spectrum(torch.zeros(1, 4, 2, 2)), torch.zeros(1, 4))


def test_codes_tell_wavelengths_apart():
    codes = wavelength_code(torch.tensor([400.0, 401.0, 450.0, 2400.0]), 32)
    assert codes.shape == (4, 32)
    assert codes.dtype == torch.float32
    distance = torch.cdist(codes, codes)
    assert 0 < distance[0, 1] < distance[0, 2]
    # The first period is 50 nm: 400 and 450 nm have the same phase of it.
    torch.testing.assert_close(codes[0, [0, 16]], codes[2, [0, 16]], atol=1e-4, rtol=0)
