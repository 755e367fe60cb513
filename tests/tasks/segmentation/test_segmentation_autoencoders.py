import math

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from torch import nn

from hsipipe.errors import UserError
from hsipipe.methods import methods_of
from hsipipe.tasks.segmentation.shared.losses import spectral_loss
from hsipipe.tasks.segmentation.shared.principal_components import principal_components

NAMES = ("pca", "conv", "mlp", "cnn", "residual")


def model(name):
    return methods_of("segmentation")[name].load()


def build(name, *, seed=0, **settings):
    torch.manual_seed(seed)
    return model(name).build(**settings)


def curved_spectra(count=600, bands=40, seed=0):
    """Spectra on a curved two-dimensional surface, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    place, height = torch.rand(2, count, 1, generator=generator)
    band = torch.linspace(0, 1, bands)
    spectra = 0.5 + (0.3 + height) * torch.exp(-(((band - 0.2 - 0.6 * place) / 0.15) ** 2))
    return spectra + 0.002 * torch.randn(count, bands, generator=generator)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_determinism(name):
    spectra = curved_spectra(bands=53)
    networks = [build(name, bands=53, latent=4) for _ in range(2)]
    for network in networks:
        if hasattr(model(name), "initialise"):
            model(name).initialise(network, spectra)
        network.eval()
    latents = networks[0].encode(spectra)
    assert (networks[0].bands, networks[0].latent) == (53, 4)
    assert latents.shape == (600, 4)
    assert networks[0].decode(latents).shape == networks[0](spectra).shape == (600, 53)
    torch.testing.assert_close(networks[0](spectra), networks[0].decode(latents))
    assert torch.equal(networks[0](spectra), networks[1](spectra))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_keeps_all_of_it(name):
    spectra = curved_spectra()
    network = build(name, bands=40, latent=3)
    if hasattr(model(name), "initialise"):
        model(name).initialise(network, spectra)
    other = build(name, seed=1, bands=40, latent=3)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.eval()(spectra), network.eval()(spectra))


@pytest.mark.parametrize("name", NAMES)
def test_defaults_build(name):
    method = methods_of("segmentation")[name]
    settings = method.complete({})
    assert settings["loss"]
    spectral_loss(settings["loss"])
    given = {key: settings[key] for key in method.settings if key in {"latent", "hidden", "filters", "channels"}}
    assert build(name, bands=103, **given).latent == settings["latent"]
    for key in ("latent", "normaliser", "loss", "resample"):
        assert key in method.settings


@pytest.mark.parametrize("name", ["conv", "mlp", "cnn", "residual"])
def test_training_lowers_the_loss(name):
    spectra = curved_spectra(count=200)
    network = build(name, bands=40, latent=3, **({"activation": "relu"} if name in ("mlp", "cnn") else {}))
    if hasattr(model(name), "initialise"):
        model(name).initialise(network, spectra)
    loss = spectral_loss({"mse": 1.0})
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    start = loss(network(spectra), spectra).item()
    for _ in range(40):
        optimizer.zero_grad()
        value = loss(network(spectra), spectra)
        value.backward()
        optimizer.step()
    assert value.item() < 0.8 * start


# Principal components


def test_principal_components_are_those_of_the_singular_value_decomposition():
    spectra = curved_spectra(count=80, bands=9)
    mean, axes, deviations = principal_components(spectra, 4)
    centred = spectra.double().numpy() - spectra.double().numpy().mean(0)
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(mean, spectra.double().mean(0), atol=1e-12)
    np.testing.assert_allclose(deviations, singular[:4] / math.sqrt(80), rtol=1e-8)
    np.testing.assert_allclose(np.abs(axes.numpy().T @ rows[:4].T), np.eye(4), atol=1e-6)
    assert (axes.gather(0, axes.abs().argmax(0, keepdim=True)) > 0).all()


def test_pca_leaves_the_smallest_error_there_is():
    spectra = curved_spectra(bands=12)
    network = build("pca", bands=12, latent=3)
    model("pca").initialise(network, spectra)
    error = (network(spectra) - spectra).square().sum() / len(spectra)
    variances = np.linalg.eigvalsh(np.cov(spectra.T.numpy(), bias=True))
    assert error.item() == pytest.approx(variances[:-3].sum(), rel=1e-4)  # Eckart and Young


def test_too_few_spectra_for_the_components():
    for name in ("pca", "residual"):
        with pytest.raises(UserError, match="at least 5 spectra"):
            model(name).initialise(build(name, bands=9, latent=5), torch.rand(4, 9))


# residual


def test_residual_starts_as_pca():
    spectra = curved_spectra()
    network, linear = build("residual", bands=40, latent=3), build("pca", bands=40, latent=3)
    for name, each in (("residual", network), ("pca", linear)):
        model(name).initialise(each, spectra)
    torch.testing.assert_close(network(spectra), linear(spectra), rtol=1e-4, atol=1e-5)
    latents = network.encode(spectra)
    torch.testing.assert_close(latents.std(0, unbiased=False), torch.ones(3), rtol=1e-3, atol=1e-3)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_residual_of_constant_spectra():
    spectra = torch.full((20, 6), 0.4)
    network = build("residual", bands=6, latent=2)
    model("residual").initialise(network, spectra)
    torch.testing.assert_close(network(spectra), spectra)


def test_residual_learns_what_pca_cannot_say():
    """On a curved surface of two dimensions, a latent of two is enough for it and not for PCA."""
    spectra, unseen = curved_spectra(), curved_spectra(seed=1)
    network, linear = build("residual", bands=40, latent=2, hidden=64), build("pca", bands=40, latent=2)
    model("residual").initialise(network, spectra)
    model("pca").initialise(linear, spectra)
    loss = spectral_loss({"mse": 1.0, "sam": 0.0003})
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(300):
        optimizer.zero_grad()
        loss(network(spectra), spectra).backward()
        optimizer.step()
    for name in ("mse", "sam"):
        score = spectral_loss({name: 1.0})
        assert score(network(unseen), unseen) < 0.5 * score(linear(unseen), unseen)


# conv


def test_conv_has_the_parameters_of_the_program():
    # 1336 + 80 in the encoder, 15904 + 16368 about the latent, 1321 + 48 in the decoder
    network = build("conv", bands=500, latent=32)
    assert sum(parameter.numel() for parameter in network.parameters()) == 35057
    assert network.lengths == [500, 250, 125, 62, 31]


@pytest.mark.parametrize("bands", [*range(16, 50), 103, 200, 500])
def test_conv_restores_every_length(bands):
    network = build("conv", bands=bands, latent=3)
    assert network(torch.rand(2, bands)).shape == (2, bands)
    assert network.eval().decode(torch.zeros(1, 3)).shape == (1, bands)


def test_conv_needs_sixteen_bands():
    with pytest.raises(UserError, match=r"at least 16 bands.*found 15 bands"):
        build("conv", bands=15)
    assert build("conv", bands=15, channels=[4, 8]).eval()(torch.rand(2, 15)).shape == (2, 15)


def test_conv_in_evaluation_is_what_its_layers_say():
    """Convolution and batch normalisation done as one give what both give one after the other."""
    network = build("conv", bands=37, latent=5)
    for number in range(20):
        network(torch.rand(64, 37, generator=torch.Generator().manual_seed(number)) * 3 - 1)
    network.eval()
    spectra = torch.rand(8, 37)
    values = spectra[:, None]
    for layer, norm in zip(network.encoder, network.encoder_norms, strict=True):
        values = torch.tanh(norm(layer(values)))
    latents = network.to_latent(values.flatten(1))
    torch.testing.assert_close(network.encode(spectra), latents)
    values = network.from_latent(latents).unflatten(1, (16, 2))
    sizes, norms = [4, 9, 18, 37], [None, *network.decoder_norms]
    for layer, norm, size in zip(reversed(network.decoder), reversed(norms), sizes, strict=True):
        values = layer(values, output_size=[size])
        values = torch.tanh(norm(values) if norm else values)
    torch.testing.assert_close(network.decode(latents), values[:, 0])


def test_conv_decoding_leaves_the_statistics_alone():
    network = build("conv", bands=20, latent=3).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.decode(torch.rand(4, 3))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_conv_with_a_linear_end_can_leave_the_range():
    network = build("conv", bands=20, latent=2, final_activation="linear").eval()
    with torch.no_grad():
        network.decoder[0].bias.fill_(5)
    assert network(torch.rand(3, 20)).mean() > 3


# mlp


def test_mlp_by_hand():
    network = build("mlp", bands=2, latent=1, encoder_sizes=[2], activation="relu", latent_activation="linear")
    with torch.no_grad():
        network.encoder_weights[0].copy_(torch.tensor([[1.0, 2.0], [-1.0, 1.0]]))
        network.encoder_weights[1].copy_(torch.tensor([[3.0, -1.0]]))
        network.decoder_weights["1"].copy_(torch.tensor([[1.0], [-2.0]]))
        network.decoder_weights["0"].copy_(torch.tensor([[1.0, 1.0], [0.5, 2.0]]))
        for bias, value in zip([*network.encoder_biases, *network.decoder_biases], [1.0, 0.5, 0.25, -1.0], strict=True):
            bias.fill_(value)
    # (1, -1): hidden relu(0, -1) = (0, 0); latent 0.5; up relu(-0.5, -2) = 0; spectrum (0.25, 0.25)
    # (2, 1): hidden relu(5, 0) = (5, 0); latent 15.5; up relu(14.5, -32) = (14.5, 0); spectrum (14.75, 7.5)
    spectra = torch.tensor([[1.0, -1.0], [2.0, 1.0]])
    torch.testing.assert_close(network.encode(spectra), torch.tensor([[0.5], [15.5]]))
    torch.testing.assert_close(network(spectra), torch.tensor([[0.25, 0.25], [14.75, 7.5]]))


def test_mlp_tied_layers_are_the_encoder_s():
    free, tied = build("mlp", bands=20, latent=3), build("mlp", bands=20, latent=3, tied=[1, 3])
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (free, tied)]
    assert counts[0] - counts[1] == 20 * 50 + 30 * 3
    assert set(tied.decoder_weights) == {"1"}
    with torch.no_grad():
        for weight in tied.encoder_weights:
            weight.zero_()
    # with its first layer at zero, the reconstruction is the last bias for every spectrum
    assert torch.equal(tied(torch.rand(2, 20)), tied.decoder_biases[0].expand(2, 20))


def test_tied_layers_learn_from_both_sides():
    for name, settings in (("mlp", {}), ("cnn", {"filter_sizes": [5, 3, 3]})):
        network = build(name, bands=20, latent=3, tied=[1], **settings)
        network.decode(torch.rand(4, 3)).sum().backward()
        assert network.encoder_weights[0].grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_skip_connections_pass_the_spectrum(name):
    network = build(name, bands=40, latent=2, skip_connections=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    spectra = torch.rand(3, 40)
    assert torch.equal(network(spectra), spectra)
    with pytest.raises(UserError, match="needs the spectra"):
        network.decode(torch.zeros(3, 2))


def test_mlp_skip_connections_add_before_the_activation():
    network = build("mlp", bands=2, latent=1, encoder_sizes=[1], activation="relu", skip_connections=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.encoder_weights[0].copy_(torch.tensor([[1.0, 0.0]]))
        network.decoder_weights["0"].fill_(10.0)
    # the hidden layer of the decoder is relu(0 + x_1), the spectrum 10 times that plus x
    spectra = torch.tensor([[2.0, 3.0], [-1.0, 4.0]])
    torch.testing.assert_close(network(spectra), torch.tensor([[22.0, 23.0], [-1.0, 4.0]]))


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_activations(name):
    spectra = torch.rand(50, 40) - 0.5
    sigmoid = build(name, bands=40, latent=3, final_activation="sigmoid")
    assert 0 < sigmoid.encode(spectra).min() <= sigmoid.encode(spectra).max() < 1
    assert 0 < sigmoid(spectra).min() <= sigmoid(spectra).max() < 1
    assert build(name, bands=40, latent=3, activation="relu").encode(spectra).min() >= 0
    linear = build(name, bands=40, latent=8, latent_activation="linear", initialiser="gaussian", initial_std=1.0)
    assert linear.encode(spectra).min() < 0
    with pytest.raises(UserError, match="did you mean 'sigmoid'"):
        build(name, bands=40, activation="sigmoi")


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_layers_that_there_are_not(name):
    for tied in ([0], [4]):
        with pytest.raises(UserError, match=r"tied.*beyond the 3"):
            build(name, bands=40, tied=tied)
    with pytest.raises(UserError, match="latent"):
        build(name, bands=40, latent=0)


# cnn


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("strides", [[1, 1, 1], [2, 2, 2], [3, 1, 2]])
@pytest.mark.parametrize("bands", [80, 81, 82])
def test_cnn_restores_every_length(padding, strides, bands):
    network = build("cnn", bands=bands, padding=padding, strides=strides)
    assert network(torch.rand(2, bands)).shape == (2, bands)
    lengths = [bands]
    for width, stride in zip([20, 10, 10], strides, strict=True):
        base = lengths[-1] if padding == "SAME" else lengths[-1] - width + 1
        lengths.append(math.ceil(base / stride))
    assert network.lengths == lengths


def test_cnn_encodes_by_cross_correlation():
    network = build("cnn", bands=30, latent=1, filters=[1], filter_sizes=[4], strides=[1], activation="linear")
    spectra = torch.rand(1, 30)
    with torch.no_grad():
        network.to_latent.weight.fill_(1.0)
    filtered = correlate(spectra[0].numpy(), network.encoder_weights[0][0, 0].detach().numpy(), mode="valid")
    bias = network.encoder_biases[0].item() * 27 + network.to_latent.bias.item()
    assert network.encode(spectra).item() == pytest.approx(filtered.sum() + bias, rel=1e-4)


def test_cnn_tied_filters_are_shared():
    free, tied = build("cnn", bands=60), build("cnn", bands=60, tied=[1, 2])
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (free, tied)]
    assert counts[0] - counts[1] == 10 * 20 + 10 * 10 * 10


def test_cnn_mistakes():
    with pytest.raises(UserError, match="does not fit"):
        build("cnn", bands=30)
    with pytest.raises(UserError, match="an entry per convolution"):
        build("cnn", bands=60, strides=[1, 1])
    with pytest.raises(UserError, match="did you mean 'SAME'"):
        build("cnn", bands=60, padding="SAM")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_on_the_way_to_another_precision(name):
    network = build(name, bands=40, latent=3).double().eval()
    assert isinstance(network, nn.Module)
    assert network(torch.rand(2, 40, dtype=torch.float64)).dtype == torch.float64
