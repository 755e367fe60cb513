import itertools

import pytest
import torch

from hsipipe.tasks.denoising.methods.denet3d.model import build


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_parameter_count():
    """The count that public implementations have with these widths: 915,296."""
    assert sum(parameter.numel() for parameter in build().parameters()) == 915_296
    widths = [1, 1, 1, 1, 2, 2, 2, 4, 2, 1, 1, 1]  # in multiples of the first
    pairs = sum(before * after for before, after in itertools.pairwise(widths))
    small = sum(parameter.numel() for parameter in build(channels=1).parameters())
    assert small == 27 * (1 + pairs + 1) + 1 + 2 * sum(widths[1:])


def test_reach_along_the_bands():
    """Thirteen convolutions of length 3 one after the other: a band sees thirteen to either side, and not one more."""
    network = build(channels=2).eval()
    for parameter in network.parameters():
        parameter.data.abs_()
    noisy = torch.rand(1, 41, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(noisy)[0, 20].sum(), noisy)
    assert gradient.abs().amax((0, 2, 3)).nonzero().flatten().tolist() == list(range(7, 34))
    assert network.halo == 13


def test_predicts_the_image_not_the_noise():
    network = build(channels=1).eval()
    torch.nn.init.zeros_(network.last.weight)
    assert not network(torch.rand(1, 3, 4, 4)).any()
