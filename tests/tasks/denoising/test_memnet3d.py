import pytest
import torch

from hsipipe.tasks.denoising.methods.memnet3d.model import MemoryBlock, build


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_parameter_count():
    """The count that public implementations have with these widths: 231,106."""
    assert sum(parameter.numel() for parameter in build().parameters()) == 231_106
    # one channel, one block of one residual block: 5 convolutions of 27 or 2 weights, 5 normalisations of 2 or 4
    small = build(channels=1, memory_blocks=1, residual_blocks=1)
    assert sum(parameter.numel() for parameter in small.parameters()) == 4 * 27 + 2 + 4 * 2 + 4


def test_gate_weighs_short_and_long_memories():
    """Section 3.2: B_m = gate of [H_1 ... H_R, B_0 ... B_(m-1)], with H_r = F(H_(r-1)) + H_(r-1) and H_0 = B_(m-1)."""
    block = MemoryBlock(2, 3, 2).eval()
    long = [torch.randn(1, 2, 9, 4, 4) for _ in range(2)]
    short, features = [], long[-1]
    for pair in block.recursive:
        inner = features
        for layer in pair:
            inner = layer.conv(layer.norm(inner).relu())
        features = inner + features
        short.append(features)
    expected = block.gate.conv(block.gate.norm(torch.cat([*short, *long], dim=1)).relu())
    torch.testing.assert_close(block(long), expected)
    with torch.no_grad():
        torch.testing.assert_close(block(long), expected)


def test_reach_along_the_bands():
    """Ten convolutions of length 3 one after the other: a band sees ten to either side, and not one more."""
    network = build(channels=2).eval()
    for parameter in network.parameters():
        parameter.data.abs_()
    noisy = torch.rand(1, 31, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(noisy)[0, 15].sum(), noisy)
    assert gradient.abs().amax((0, 2, 3)).nonzero().flatten().tolist() == list(range(5, 26))
    assert network.halo == 10


def test_blank_network_returns_its_input():
    network = build(channels=2).eval()
    torch.nn.init.zeros_(network.reconstructor.conv.weight)
    noisy = torch.rand(1, 5, 4, 4)
    assert torch.equal(network(noisy), noisy)
