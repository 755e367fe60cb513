import math

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.balancing import class_weights
from hsipipe.tasks.segmentation.shared.initialisers import INITIALISERS, initialise_weights
from hsipipe.tasks.segmentation.shared.resample import make_resampling
from hsipipe.tasks.segmentation.shared.same_padding import convolve, convolve_transposed, output_length, padded_left
from hsipipe.training.optimizers import make_optimizer, parameter_groups, rate_factors
from hsipipe.training.settings import TrainingSettings

# Weight decay


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_weight_decay_decays(optimizer):
    """Weights that no spectrum moves shrink; in deephyp the penalty is of the initial values and moves nothing."""
    sizes = {}
    for decay in (0.0, 0.1):
        network = torch.nn.Linear(3, 3)
        torch.nn.init.ones_(network.weight)
        settings = TrainingSettings(optimizer=optimizer, weight_decay=decay, learning_rate=0.01)
        steps = make_optimizer(parameter_groups(network, rate_factors(network)), settings)
        for _ in range(5):
            steps.zero_grad()
            (0 * network(torch.ones(1, 3)).sum()).backward()
            steps.step()
        sizes[decay] = network.weight.mean().item()
    assert sizes[0.0] == 1
    assert 0 < sizes[0.1] < 0.999


# Initialisers


def filled(name, shape=(40, 30, 20), std=0.02):
    torch.manual_seed(0)
    weight, bias = torch.full(shape, float("nan")), torch.full((shape[0],), float("nan"))
    initialise_weights(weight, bias, name=name, std=std)
    return weight, bias


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("gaussian", 0.02),
        ("truncated_normal", 0.02 * 0.8796),  # of a normal cut at two standard deviations
        ("xavier", math.sqrt(1 / (30 * 20))),
        ("xavier_improved", math.sqrt(2 / (40 * 20))),
    ],
)
def test_spread_of_initial_weights(name, std):
    weight, bias = filled(name)
    assert weight.std().item() == pytest.approx(std, rel=0.02)
    assert weight.mean().abs().item() < 0.05 * std
    assert torch.isfinite(bias).all()
    assert bias.std().item() == pytest.approx(std, rel=0.4)


def test_limits_of_initial_weights():
    assert filled("truncated_normal")[0].abs().max() <= 0.04
    assert filled("xavier")[0].abs().max() <= math.sqrt(3 / (30 * 20))
    assert (filled("constant")[0] == 0.02).all()
    assert filled("gaussian", (4, 3))[0].shape == (4, 3)
    with pytest.raises(UserError, match="did you mean 'xavier'"):
        filled("xavie")
    assert set(INITIALISERS) == {"gaussian", "truncated_normal", "xavier", "xavier_improved", "constant"}


# Padding


@pytest.mark.parametrize(
    ("length", "width", "stride", "padding", "expected", "left"),
    [
        (10, 3, 1, "VALID", 8, 0),
        (10, 3, 2, "VALID", 4, 0),
        (10, 3, 1, "SAME", 10, 1),
        (10, 4, 1, "SAME", 10, 1),  # three zeros: one before, two after
        (10, 3, 2, "SAME", 5, 0),  # one zero, after
        (10, 3, 4, "SAME", 3, 0),
        (5, 2, 3, "SAME", 2, 0),
        (7, 1, 3, "SAME", 3, 0),  # no zeros, though the stride passes over values
    ],
)
def test_lengths_of_tensorflow(length, width, stride, padding, expected, left):
    assert output_length(length, width=width, stride=stride, padding=padding) == expected
    assert padded_left(length, width=width, stride=stride, padding=padding) == left


def test_same_puts_the_odd_zero_after():
    signal, weight = torch.arange(1.0, 5.0)[None, None], torch.ones(1, 1, 2)
    found = convolve(signal, weight, None, stride=1, padding="SAME")
    assert found.tolist() == [[[3, 5, 7, 4]]]


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("length", [5, 11, 12])
def test_transposed_is_the_adjoint(padding, stride, width, length):
    """<A x, y> = <x, A' y>, which is what a gradient of the convolution would be."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 2, width, generator=generator, dtype=torch.float64)
    signal = torch.randn(4, 2, length, generator=generator, dtype=torch.float64)
    there = convolve(signal, weight, None, stride=stride, padding=padding)
    assert there.shape[2] == output_length(length, width=width, stride=stride, padding=padding)
    other = torch.randn(there.shape, generator=generator, dtype=torch.float64)
    back = convolve_transposed(other, weight, None, stride=stride, padding=padding, length=length)
    assert back.shape == signal.shape
    torch.testing.assert_close((there * other).sum(), (signal * back).sum())
    bias = torch.tensor([1.0, -2.0], dtype=torch.float64)
    shifted = convolve_transposed(other, weight, bias, stride=stride, padding=padding, length=length)
    torch.testing.assert_close(shifted - back, bias[None, :, None].expand_as(back))


# Resampling


def test_resampling_is_linear_interpolation():
    wavelength_nm = np.array([400.0, 410.0, 450.0, 500.0, 620.0])
    resampling = make_resampling(5, 12, wavelength_nm=wavelength_nm)
    spectra = np.random.default_rng(0).random((6, 5)).astype(np.float32)
    grid = np.linspace(400, 620, 12)
    np.testing.assert_allclose(resampling.wavelength_nm, grid)
    expected = np.stack([np.interp(grid, wavelength_nm, row) for row in spectra])
    np.testing.assert_allclose(resampling.apply(spectra), expected, atol=1e-6)
    np.testing.assert_allclose(resampling.apply(torch.from_numpy(spectra)).numpy(), expected, atol=1e-6)
    back = np.stack([np.interp(wavelength_nm, grid, row) for row in expected])
    np.testing.assert_allclose(resampling.invert(expected.astype(np.float32)), back, atol=1e-5)


def test_straight_spectra_come_back():
    wavelength_nm = np.array([900.0, 400.0, 650.0, 800.0, 640.0])  # in no order, as EnMAP has them
    resampling = make_resampling(5, 9, wavelength_nm=wavelength_nm)
    spectra = (2 * wavelength_nm + 7)[None].astype(np.float32)
    np.testing.assert_allclose(resampling.apply(spectra)[0], 2 * np.linspace(400, 900, 9) + 7, rtol=1e-6)
    np.testing.assert_allclose(resampling.invert(resampling.apply(spectra)), spectra, rtol=1e-6)


def test_nothing_is_extrapolated():
    resampling = make_resampling(4, 30, wavelength_nm=np.array([400.0, 500.0, 700.0, 705.0]))
    for matrix in (resampling.there, resampling.back):
        assert matrix.min() >= 0
        np.testing.assert_allclose(matrix.sum(0), 1, rtol=1e-6)


def test_two_bands_of_one_wavelength_count_as_their_mean():
    resampling = make_resampling(4, 3, wavelength_nm=np.array([400.0, 500.0, 500.0, 600.0]))
    np.testing.assert_allclose(resampling.apply(np.array([[0.0, 1.0, 3.0, 4.0]])), [[0, 2, 4]])
    np.testing.assert_allclose(resampling.invert(np.array([[0.0, 2.0, 4.0]])), [[0, 2, 2, 4]])


def test_by_band_number_without_wavelengths():
    resampling = make_resampling(3, 5)
    assert resampling.wavelength_nm is None
    np.testing.assert_allclose(resampling.apply(np.array([[0.0, 2.0, 6.0]])), [[0, 1, 2, 4, 6]])
    same = make_resampling(7, 7)
    np.testing.assert_array_equal(same.there, np.eye(7))


@pytest.mark.parametrize(
    ("bands", "count", "wavelength_nm", "words"),
    [
        (3, 5, [400, 500], "2 wavelengths for 3 bands"),
        (1, 5, None, "1 to 5 bands"),
        (2, 5, [400, np.nan], "not a number"),
        (2, 5, [400, 400], "all equal"),
    ],
)
def test_resampling_mistakes(bands, count, wavelength_nm, words):
    with pytest.raises(UserError, match=words):
        make_resampling(bands, count, wavelength_nm=wavelength_nm)


# Class weights


def test_class_weights_by_hand():
    labels = np.array([0] * 6 + [1] * 2 + [-1] * 5)
    np.testing.assert_allclose(class_weights(labels, 3, kind="deephyp"), [1, 7 / 3, 7])
    np.testing.assert_allclose(class_weights(labels, 3, kind="inverse"), [8 / 12, 2, 0])
    np.testing.assert_allclose(class_weights(labels, 3, kind="none"), 1)


def test_inverse_weights_make_classes_count_alike():
    labels = np.random.default_rng(2).choice(4, 1000, p=[0.6, 0.3, 0.08, 0.02])
    weights = class_weights(labels.reshape(10, 100), 4, kind="inverse")
    np.testing.assert_allclose(weights * np.bincount(labels), 250)
    assert weights[labels].mean() == pytest.approx(1)


def test_class_weight_mistakes():
    with pytest.raises(UserError, match="did you mean 'inverse'"):
        class_weights(np.array([0]), 1, kind="invers")
    with pytest.raises(UserError, match="from 0 to 1"):
        class_weights(np.array([2]), 2, kind="inverse")
    with pytest.raises(UserError, match="no sample"):
        class_weights(np.array([-1]), 2, kind="inverse")
