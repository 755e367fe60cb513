import pytest
import torch
from torch.nn import functional

from hsipipe.tasks.denoising.methods.hsdt.model import (
    GuidedAttention,
    ModulatedFeedForward,
    SeparableConv,
    build,
    spectral_attention,
)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_parameter_count():
    """The paper's table: 0.13 million (S), 0.52 (M) and 2.09 (L)."""
    counts = [sum(parameter.numel() for parameter in build(channels=width).parameters()) for width in (8, 16, 32)]
    assert [round(count / 1e6, 2) for count in counts[:2]] == [0.13, 0.52]
    assert counts[2] / 1e6 == pytest.approx(2.09, rel=0.02)


def test_attention_weights_by_hand():
    means = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    own = spectral_attention(means)
    e, f = torch.tensor(1.0).exp(), torch.tensor(4.0).exp()
    torch.testing.assert_close(own, torch.tensor([[[e / (e + 1), 1 / (e + 1)], [1 / (f + 1), f / (f + 1)]]]))
    learned = spectral_attention(means, torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([0.0, 1.0]))
    scores = torch.tensor([[[3.0, 1.0], [0.0, 1.0]]])
    torch.testing.assert_close(learned, scores.exp() / scores.exp().sum(-1, keepdim=True))


@pytest.mark.parametrize("guided", [False, True])
def test_attention_mixes_the_bands(guided):
    """Value projection, mixing of bands and output projection one after the other, voxel by voxel."""
    attention = GuidedAttention(3, 5)
    features = torch.randn(2, 3, 5, 2, 4)
    means = features.mean((-2, -1)).transpose(1, 2)
    scores = attention.queries(means) if guided else means @ means.transpose(1, 2)
    spectra = features.permute(0, 3, 4, 2, 1)  # (B, H, W, bands, channels)
    mixed = attention.output(scores.softmax(-1)[:, None, None] @ attention.values(spectra))
    torch.testing.assert_close(attention(features, guided), (mixed + spectra).permute(0, 4, 3, 1, 2))


def test_feed_forward_is_modulated():
    network = ModulatedFeedForward(2)
    features = torch.randn(1, 2, 3, 2, 2)
    signal, gate = network.modulate(features).chunk(2, dim=1)
    expected = network.contract(functional.gelu(network.expand(features))) + signal * torch.sigmoid(gate)
    torch.testing.assert_close(network(features), expected)


def test_separable_convolution_sees_a_cross():
    """Five rows and columns within the band, and the same pixel one band up and down: not its neighbours there."""
    conv = SeparableConv(1, 1)
    for parameter in conv.parameters():
        torch.nn.init.ones_(parameter)
    features = torch.zeros(1, 1, 5, 9, 9, requires_grad=True)
    (gradient,) = torch.autograd.grad(conv(features + 1)[0, 0, 2, 4, 4], features)
    seen = gradient[0, 0] != 0
    assert seen[2].nonzero().tolist() == [[row, col] for row in range(2, 7) for col in range(2, 7)]
    assert seen[1].nonzero().tolist() == seen[3].nonzero().tolist() == [[4, 4]]
    assert not seen[[0, 4]].any()


def test_queries_are_learned_where_they_fit():
    network = build(channels=2, guide_bands=6)

    def moved(bands):
        network.zero_grad()
        for _ in range(8):
            network(torch.rand(1, bands, 8, 8)).sum().backward()
        gradients = [layer.attention.queries.weight.grad for layer in (network.head, *network.encoder)]
        return any(gradient is not None and gradient.any() for gradient in gradients)

    assert not moved(7)
    assert moved(6)


def test_every_band_sees_every_other():
    network = build(channels=4).eval()
    noisy = torch.rand(1, 40, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(noisy)[0, 0].sum(), noisy)
    assert (gradient.abs().amax((0, 2, 3)) > 0).all()


def test_blank_network_returns_its_input():
    network = build(channels=2).eval()
    torch.nn.init.zeros_(network.tail.weight)
    torch.nn.init.zeros_(network.tail.bias)
    noisy = torch.rand(1, 5, 5, 7)
    assert torch.equal(network(noisy), noisy)
