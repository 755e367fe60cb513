import json

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.normalisers import NORMALISERS, Normaliser, fit_normaliser


def some_spectra(bands=7):
    spectra = np.random.default_rng(5).uniform(-50, 9000, (40, bands)).astype(np.float32)
    spectra[0], spectra[1], spectra[2] = 0, 1234.5, -spectra[2]
    return spectra


@pytest.mark.parametrize("name", NORMALISERS)
def test_there_and_back(name):
    spectra = some_spectra()
    normaliser = fit_normaliser(name, spectra)
    normalised, parameters = normaliser.apply(spectra)
    assert normalised.dtype == parameters.dtype == np.float32
    assert normalised.shape == spectra.shape
    assert parameters.shape == (40, normaliser.parameters)
    assert np.isfinite(normalised).all()
    assert np.isfinite(parameters).all()
    # float32 keeps seven digits of the largest value
    np.testing.assert_allclose(normaliser.invert(normalised, parameters), spectra, atol=1e-6 * np.abs(spectra).max())


@pytest.mark.parametrize("name", NORMALISERS)
def test_numpy_and_torch_agree(name):
    spectra = some_spectra()
    normaliser = fit_normaliser(name, torch.from_numpy(spectra))
    assert normaliser == fit_normaliser(name, spectra)
    normalised, parameters = normaliser.apply(spectra)
    tensor, own = normaliser.apply(torch.from_numpy(spectra))
    np.testing.assert_allclose(tensor.numpy(), normalised, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(own.numpy(), parameters, rtol=1e-5)
    back = normaliser.invert(tensor, own)
    np.testing.assert_allclose(back.numpy(), spectra, atol=1e-6 * np.abs(spectra).max())


@pytest.mark.parametrize("name", NORMALISERS)
def test_saved_and_read_again(name):
    spectra = some_spectra()
    normaliser = fit_normaliser(name, spectra)
    again = Normaliser.from_dict(json.loads(json.dumps(normaliser.to_dict())))
    np.testing.assert_array_equal(again.apply(spectra)[0], normaliser.apply(spectra)[0])


@pytest.mark.parametrize("name", NORMALISERS)
@pytest.mark.parametrize("value", [0.0, 0.1, 7000.3])
def test_spectra_that_are_all_alike(name, value):
    spectra = np.full((9, 5), value, np.float32)
    normaliser = fit_normaliser(name, spectra)
    normalised, parameters = normaliser.apply(spectra)
    assert np.abs(normalised).max() <= max(abs(value), 1.01)
    np.testing.assert_allclose(normaliser.invert(normalised, parameters), spectra, rtol=1e-5)


def test_values_by_hand():
    spectra = np.array([[1.0, 3.0, 5.0], [2.0, 2.0, 8.0]])

    def of(name):
        return fit_normaliser(name, spectra).apply(spectra)

    np.testing.assert_allclose(of("range")[0], [[0, 0.5, 1], [0, 0, 1]])
    np.testing.assert_allclose(of("deephyp")[0], [[0.0002, 0.4002, 0.8002], [0.000125, 0.000125, 0.750125]])
    np.testing.assert_allclose(of("mean_range")[0], (spectra - 3.5) / 7)
    np.testing.assert_allclose(of("l2")[0], [spectra[0] / np.sqrt(35), spectra[1] / np.sqrt(72)])
    np.testing.assert_allclose(of("snv")[0], [[-(1.5**0.5), 0, 1.5**0.5], [-(0.5**0.5), -(0.5**0.5), 2**0.5]])
    np.testing.assert_allclose(of("zscore")[0], [[-1, 1, -1], [1, -1, 1]])
    np.testing.assert_allclose(of("scale")[0], spectra / np.sqrt(107 / 6))
    np.testing.assert_array_equal(of("none")[0], spectra)


def test_what_was_fitted_is_used_for_other_spectra():
    normaliser = fit_normaliser("mean_range", np.array([[0.0, 10.0]]))
    np.testing.assert_allclose(normaliser.apply(np.array([[5.0, 25.0]]))[0], [[0, 2]])


def test_l2_of_values_whose_squares_overflow():
    spectra = np.full((1, 4), 1e30, np.float32)
    np.testing.assert_allclose(fit_normaliser("l2", spectra).apply(spectra)[0], 0.5, rtol=1e-6)


def test_mistakes():
    with pytest.raises(UserError, match="did you mean 'range'"):
        fit_normaliser("rang", np.ones((2, 2)))
    with pytest.raises(UserError, match="in bands 1"):
        fit_normaliser("none", np.array([[1.0, np.nan]]))
    with pytest.raises(UserError, match="spectra"):
        fit_normaliser("none", np.ones((0, 2)))
    with pytest.raises(UserError, match="5 bands"):
        fit_normaliser("zscore", np.eye(5)).apply(np.ones((2, 6)))
    with pytest.raises(UserError, match="unknown normaliser"):
        Normaliser.from_dict({"name": "other", "values": {}})
