"""Normalisation before the encoder."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from hsipipe.errors import UserError
from hsipipe.tasks.representation.shared.normalise import (
    NORMALISATIONS,
    Normalisation,
    band_statistics,
    fit_normalisation,
)


@pytest.fixture(scope="module")
def cubes():
    random = np.random.default_rng(0)
    mixing = random.normal(size=(6, 6))
    out = []
    for rows in (5, 8, 7):
        spectra = np.einsum("cd,dhw->chw", mixing, random.normal(size=(6, rows, 9))) * 0.05 + 100.0
        valid = random.random((rows, 9)) > 0.3
        out.append(((spectra * valid).astype(np.float32), valid))
    return out


@pytest.fixture(scope="module")
def statistics(cubes):
    return band_statistics(cubes)


def spectra_of(cubes):
    return np.concatenate([cube[:, valid].T for cube, valid in cubes]).astype(np.float64)


def batch_of(cubes):
    return torch.from_numpy(cubes[1][0])[None], torch.from_numpy(cubes[1][1])[None, None].float()


def test_statistics_are_those_of_all_valid_pixels(cubes, statistics):
    spectra = spectra_of(cubes)
    assert statistics.count == len(spectra)
    np.testing.assert_allclose(statistics.mean, spectra.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics.covariance, np.cov(spectra.T, bias=True), rtol=1e-9, atol=1e-12)
    broken = cubes[0][0].copy()
    broken[2, 0, 0] = np.nan
    again = band_statistics([(broken, cubes[0][1]), *cubes[1:]])
    assert again.count == len(spectra) - int(cubes[0][1][0, 0])
    with pytest.raises(UserError, match=r"no valid pixel"):
        band_statistics([(cubes[0][0], np.zeros_like(cubes[0][1]))])
    with pytest.raises(UserError, match=r"must have 6 bands.*found 4"):
        band_statistics([cubes[0], (cubes[1][0][:4], cubes[1][1])])


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_background_stays_zero_and_states_load(cubes, statistics, name):
    images, masks = batch_of(cubes)
    fitted = fit_normalisation(name, statistics, components=3)
    normalised = fitted(images, masks)
    assert normalised.dtype == torch.float32
    assert normalised.shape[1] == (fitted.channels or 6) == (3 if name == "pca" else 6)
    assert torch.equal(normalised * (1 - masks), torch.zeros_like(normalised))
    assert torch.isfinite(normalised).all()
    # Without a mask the background is where all bands are 0.
    torch.testing.assert_close(fitted(images), normalised)
    empty = Normalisation(**fitted.describe())
    empty.load_state_dict(fitted.state_dict())
    assert torch.equal(empty(images, masks), normalised)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(fitted(images, masks), normalised)


def test_bands_have_mean_zero_and_deviation_one_over_the_training_part(cubes, statistics):
    fitted = fit_normalisation("band", statistics)
    values = np.concatenate(
        [fitted(torch.from_numpy(cube)[None])[0].numpy()[:, valid].T for cube, valid in cubes]
    ).astype(np.float64)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-3)


@pytest.mark.parametrize("whiten", [False, True])
def test_components_are_those_of_scikit_learn(cubes, statistics, whiten):
    spectra = spectra_of(cubes)
    reference = PCA(4, whiten=whiten, svd_solver="full").fit(spectra)
    images, _ = batch_of(cubes)
    valid = cubes[1][1]
    found = fit_normalisation("pca", statistics, components=4, whiten=whiten)(images)[0].numpy()[:, valid].T
    expected = reference.transform(images[0].numpy()[:, valid].T.astype(np.float64))
    if whiten:  # scikit-learn divides by N - 1
        expected *= np.sqrt(len(spectra) / (len(spectra) - 1))
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-3, atol=2e-3)


def test_components_have_one_sign(statistics):
    axes = fit_normalisation("pca", statistics, components=6).axes
    assert (axes[torch.arange(6), axes.abs().argmax(dim=1)] > 0).all()


def test_whitening_does_not_blow_up_what_is_not_there():
    flat = band_statistics([(np.outer([1.0, 2.0, 3.0], np.linspace(0.1, 1, 12)).reshape(3, 3, 4), None)])
    fitted = fit_normalisation("pca", flat, components=3, whiten=True)
    assert fitted.axes[1:].abs().max() == 0
    assert fitted.axes[0].abs().max() < 10


def test_pixels_by_hand():
    images = torch.tensor([[1.0, 2.0, 3.0], [0.0, 3.0, 4.0], [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]]).T[None, :, :, None]
    snv = fit_normalisation("snv")(images)[0, :, :, 0].T
    root = float(np.sqrt(1.5))
    torch.testing.assert_close(snv[0], torch.tensor([-root, 0.0, root]))
    assert torch.equal(snv[2:], torch.zeros(2, 3))
    torch.testing.assert_close(fit_normalisation("l2")(images)[0, :, 1, 0], torch.tensor([0.0, 0.6, 0.8]))
    peer = fit_normalisation("peer")(images)[0, :, :, 0].T
    torch.testing.assert_close(peer[1], torch.tensor([0.0, 1.0, 1.0]))
    torch.testing.assert_close(peer[0], torch.tensor([0.5, 2 / 3, 0.75]))


def test_only_the_normalisations_of_pixels_and_peers_lose_albedo(cubes, statistics):
    images, masks = batch_of(cubes)
    for name in NORMALISATIONS:
        fitted = fit_normalisation(name, statistics, components=3)
        same = torch.allclose(fitted(images / 2, masks), fitted(images, masks), atol=1e-4)
        assert same == (name in ("snv", "l2", "light", "peer")), name


@pytest.mark.parametrize("spacing", ["even", "uneven", "unknown"])
def test_light_takes_away_the_gain_and_tilt_of_an_image_and_leaves_its_pattern(spacing):
    wavelength_nm = {
        "even": torch.linspace(400, 800, 30),
        "uneven": torch.linspace(20, 28.3, 30).square(),
        "unknown": None,
    }[spacing]
    place = torch.arange(30.0) if wavelength_nm is None else wavelength_nm
    generator = torch.Generator().manual_seed(0)
    images = 0.2 + 0.5 * torch.rand(2, 30, 4, 4, generator=generator)
    masks = (torch.rand(2, 1, 4, 4, generator=generator) > 0.3).float()
    light = (0.3 - 0.4 * (place - place.mean()) / (place.max() - place.min())).exp()
    lit = images * light[:, None, None]
    fitted = fit_normalisation("light")
    seen = fitted(images * masks, masks, wavelength_nm)
    torch.testing.assert_close(fitted(lit * masks, masks, wavelength_nm), seen, atol=1e-5, rtol=1e-4)
    # What differs within an image stays: a spot of half the reflectance is half as bright as before.
    spot = images.clone()
    spot[0, :, 1, 1] /= 2
    masks[0, :, 1, 1] = 1
    dark, bright = (fitted(seen, masks, wavelength_nm)[0, :, 1, 1] + 1 for seen in (spot, images))
    assert (dark / bright).max() < 0.6
    if spacing == "uneven":
        assert not torch.allclose(fitted(lit * masks, masks), fitted(images * masks, masks), atol=1e-3)


def test_mistakes(statistics):
    with pytest.raises(UserError, match=r"unknown normalisation 'bands'; did you mean 'band'"):
        fit_normalisation("bands", statistics)
    with pytest.raises(UserError, match=r"needs statistics"):
        fit_normalisation("band")
    with pytest.raises(UserError, match=r"from 1 to the number of bands, 6"):
        fit_normalisation("pca", statistics, components=7)
    with pytest.raises(UserError, match=r"fitted to 6 bands.*found 5"):
        fit_normalisation("band", statistics)(torch.rand(1, 5, 2, 2))
    with pytest.raises(UserError, match=r"made for a number of bands"):
        Normalisation(name="pca")
