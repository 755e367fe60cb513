import math

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.losses import DIRECTIONAL, LOSSES, SpectralLoss, spectral_loss

FIRST = torch.tensor([[1.0, 2.0, 4.0], [3.0, 1.0, 2.0]])
SECOND = torch.tensor([[2.0, 2.0, 2.0], [1.0, 1.0, 1.0]])


def angle(x, y):
    """The spectral angle in radians, by the arc cosine in float64."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return math.acos(x @ y / math.sqrt((x @ x) * (y @ y)))


def divergence(x, y):
    """The definition of Chang (2000)."""
    p, q = np.asarray(x, np.float64) / np.sum(x), np.asarray(y, np.float64) / np.sum(y)
    return float(np.sum(p * np.log(p / q)) + np.sum(q * np.log(q / p)))


def test_values_by_hand():
    angles = [angle(x, y) for x, y in zip(FIRST.tolist(), SECOND.tolist(), strict=True)]
    expected = {
        "mse": (1 + 0 + 4 + 4 + 0 + 1) / 6,
        "sse": (5 + 5) / 2,
        "csa": np.mean([1 - math.cos(value) for value in angles]),
        "sa": np.mean(angles),
        "sam": math.degrees(np.mean(angles)),
        "sid": np.mean([divergence(x, y) for x, y in zip(FIRST.tolist(), SECOND.tolist(), strict=True)]),
        "gradient": (1 + 2 + 2 + 1) / 4,
        "gradient_peer": (1 + 2 + 2 + 1) / 4,
    }
    assert set(expected) == set(LOSSES)
    for name, value in expected.items():
        assert LOSSES[name](FIRST, SECOND).item() == pytest.approx(value, rel=2e-5), name


def test_slopes_that_are_mirrored():
    rising, falling = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[2.0, 1.0, 0.0]])
    assert LOSSES["gradient"](rising, falling).item() == 2
    assert LOSSES["gradient_peer"](rising, falling).item() == 0  # what the signs are there for


def test_angles_that_an_arc_cosine_in_float32_cannot_tell_from_zero():
    target = torch.tensor([[1.0, 0.0]])
    for small in (1e-3, 1e-4):
        found = LOSSES["sa"](torch.tensor([[math.cos(small), math.sin(small)]]), target).item()
        assert found == pytest.approx(small, rel=1e-3)
    assert LOSSES["sa"](torch.tensor([[-1.0, 0.0]]), target).item() == pytest.approx(math.pi, rel=1e-4)
    assert LOSSES["sa"](torch.tensor([[0.0, 3.0]]), target).item() == pytest.approx(math.pi / 2, rel=1e-5)


CASES = {
    "zero reconstruction": (torch.zeros(2, 5), torch.ones(2, 5)),
    "zero target": (torch.ones(2, 5), torch.zeros(2, 5)),
    "both zero": (torch.zeros(2, 5), torch.zeros(2, 5)),
    "equal": (torch.arange(10.0).view(2, 5), torch.arange(10.0).view(2, 5)),
    "opposite": (-torch.ones(2, 5), torch.ones(2, 5)),
    "negative": (-torch.arange(10.0).view(2, 5), torch.linspace(-3, 4, 10).view(2, 5)),
    "huge": (torch.full((2, 5), 1e15), torch.linspace(1, 9, 10).view(2, 5) * 1e15),
    "tiny": (torch.full((2, 5), 1e-15), torch.linspace(1, 9, 10).view(2, 5) * 1e-15),
    "one band": (torch.ones(2, 1), 2 * torch.ones(2, 1)),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("case", CASES)
def test_everything_is_finite(name, case):
    reconstruction = CASES[case][0].clone().requires_grad_()
    value = LOSSES[name](reconstruction, CASES[case][1])
    (slope,) = torch.autograd.grad(value, reconstruction)
    assert torch.isfinite(value)
    assert value >= -1e-6
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_agree_with_differences(name):
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(4, 6, generator=generator, dtype=torch.float64) + 0.1
    reconstruction = (target + 0.3 * torch.rand(4, 6, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(LOSSES[name], (reconstruction, target))


@pytest.mark.parametrize("name", DIRECTIONAL)
def test_a_gradient_leads_back_to_the_target(name):
    target = torch.tensor([[0.2, 0.5, 0.9, 0.4]])
    values = torch.tensor([[0.6, -0.2, 0.3, 0.5]], requires_grad=True)  # one band below zero, where sid is not defined
    optimizer = torch.optim.Adam([values], lr=0.02)
    start = LOSSES[name](values, target).item()
    for _ in range(300):
        optimizer.zero_grad()
        value = LOSSES[name](values, target)
        value.backward()
        optimizer.step()
    assert value.item() < 0.05 * start


def test_zero_targets_are_left_out_of_angles():
    target = torch.cat([SECOND, torch.zeros(3, 3)])
    reconstruction = torch.cat([FIRST, torch.ones(3, 3)])
    for name in DIRECTIONAL:
        assert LOSSES[name](reconstruction, target).item() == pytest.approx(LOSSES[name](FIRST, SECOND).item())


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_does_not_grow_with_the_batch(name):
    twice = LOSSES[name](FIRST.repeat(2, 1), SECOND.repeat(2, 1))
    assert twice.item() == pytest.approx(LOSSES[name](FIRST, SECOND).item(), rel=1e-6)


@pytest.mark.parametrize("name", DIRECTIONAL)
def test_directional_losses_do_not_see_the_length(name):
    assert LOSSES[name](7 * FIRST, SECOND).item() == pytest.approx(LOSSES[name](FIRST, SECOND).item(), rel=1e-4)


def test_a_weighted_sum():
    loss = spectral_loss({"mse": 2, "sam": 0.5, "sid": 0})
    expected = 2 * LOSSES["mse"](FIRST, SECOND) + 0.5 * LOSSES["sam"](FIRST, SECOND)
    assert isinstance(loss, SpectralLoss)
    assert set(loss.weights) == {"mse", "sam"}
    assert loss(FIRST, SECOND).item() == pytest.approx(expected.item())


def test_angles_are_taken_in_restored_units():
    loss = spectral_loss({"mse": 1.0, "sam": 1.0})
    centred = loss.terms((FIRST - 3) / 10, (SECOND - 3) / 10, restore=lambda values: values * 10 + 3)
    assert centred["sam"].item() == pytest.approx(LOSSES["sam"](FIRST, SECOND).item(), rel=1e-4)
    assert centred["mse"].item() == pytest.approx(LOSSES["mse"](FIRST, SECOND).item() / 100, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"mes": 1.0}, "did you mean 'mse'"),
        ({"mse": -1.0}, "loss.mse"),
        ({"mse": float("nan")}, "loss.mse"),
        ({"mse": "much"}, "loss.mse"),
        ({}, "above 0"),
        ({"mse": 0.0}, "above 0"),
    ],
)
def test_mistakes(weights, words):
    with pytest.raises(UserError, match=words):
        spectral_loss(weights)
