"""What all networks that take any number of bands must do, whatever their paper."""

import inspect
from functools import partial

import pytest
import torch

from hsipipe.methods import find_method
from hsipipe.settings import settings_from, split
from hsipipe.training.settings import TrainingSettings

SMALL = {
    "denet": {"channels": 4},
    "denet3d": {"channels": 2},
    "memnet3d": {"channels": 4},
    "hsdt": {"channels": 2, "guide_bands": 10},
}


@pytest.fixture(params=sorted(SMALL))
def small(request):
    """Builds a small network of each method; further settings may be added."""
    torch.manual_seed(0)
    return partial(find_method("denoising", request.param).load().build, **SMALL[request.param])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 7, 5, 9), (1, 202, 4, 3)])
def test_any_size_and_number_of_bands(small, shape):
    network = small().eval()
    noisy = torch.rand(shape)
    with torch.inference_mode():
        denoised = network(noisy)
    assert denoised.shape == noisy.shape
    assert torch.isfinite(denoised).all()
    assert not hasattr(network, "bands")


def test_with_and_without_gradients_alike(small):
    network = small().eval()
    noisy = torch.rand(2, 23, 6, 8)
    before = noisy.clone()
    with torch.no_grad():
        quiet = network(noisy)
    torch.testing.assert_close(quiet, network(noisy), rtol=1e-5, atol=1e-6)
    assert torch.equal(noisy, before)


def test_images_of_a_batch_do_not_mix(small):
    network = small().eval()
    noisy = torch.rand(3, 12, 4, 8)
    torch.testing.assert_close(
        network(noisy), torch.cat([network(image[None]) for image in noisy]), rtol=1e-4, atol=1e-6
    )


def test_same_seed_same_network(small):
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        network = small()
        outputs.append(network(torch.rand(1, 10, 6, 6)))
    assert torch.equal(*outputs)


def test_state_survives_a_round_trip(small):
    network = small()
    network(torch.rand(2, 10, 6, 6))  # moves the running statistics
    other = small()
    other.load_state_dict(network.state_dict())
    noisy = torch.rand(1, 10, 6, 6)
    assert torch.equal(network.eval()(noisy), other.eval()(noisy))


def test_checkpointing_changes_nothing_but_memory(small):
    plain, frugal = small(), small(checkpointing=True)
    frugal.load_state_dict(plain.state_dict())
    noisy = torch.rand(2, 10, 8, 8)
    stored = []
    for network in (plain, frugal):
        total = 0

        def count(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = (network(noisy) ** 2).mean()
        loss.backward()
        stored.append(total)
    assert stored[1] < 0.8 * stored[0]
    for mine, other in zip(plain.parameters(), frugal.parameters(), strict=True):
        assert (mine.grad is None) == (other.grad is None)
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, other.grad)
    for mine, other in zip(plain.buffers(), frugal.buffers(), strict=True):
        assert torch.equal(mine, other)


def test_learns_one_patch(small):
    clean = torch.rand(2, 1, 1, 1) * torch.linspace(0.5, 1, 10).view(1, 10, 1, 1) * torch.ones(1, 1, 8, 8)
    noisy = clean + 0.2 * torch.randn(clean.shape)
    network = small()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.mean((network(noisy) - clean) ** 2)
        loss.backward()
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        assert gradients
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_bfloat16_stays_close(small):
    network = small().eval()
    noisy = torch.rand(1, 20, 8, 8)
    with torch.inference_mode():
        exact = network(noisy)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(noisy)
    assert (rough - exact).abs().max() < 0.05


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("denet", {"channels": 0}),
        ("denet", {"bands": 0}),
        ("denet", {"window": 0}),
        ("denet", {"overlap": 10}),
        ("denet", {"overlap": -1}),
        ("denet3d", {"channels": 0}),
        ("denet3d", {"bands": 0}),
        ("hsdt", {"channels": 0}),
        ("hsdt", {"bands": 0}),
        ("hsdt", {"depth": 0}),
        ("hsdt", {"guide_bands": 0}),
        ("memnet3d", {"channels": 0}),
        ("memnet3d", {"bands": 0}),
        ("memnet3d", {"memory_blocks": 0}),
        ("memnet3d", {"residual_blocks": 0}),
    ],
)
def test_sizes_are_checked(name, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        find_method("denoising", name).load().build(**wrong)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_method_file_fits_the_code(name):
    method = find_method("denoising", name)
    assert (method.kind, method.random, method.backend) == ("trained", True, "torch")
    training, rest = split(TrainingSettings, method.complete({}))
    made = settings_from(TrainingSettings, training)
    assert (made.epochs, made.steps_per_epoch, made.batch_size, rest["patch"]) == (50, 250, 16, 64)
    rates = [made.learning_rate_at(250 * epoch) for epoch in (0, 40, 45)]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-5])
    parameters = inspect.signature(method.load().build).parameters
    assert {*rest, "bands"} == {*parameters, "patch", "bands_per_patch"}
    assert all(parameters[name].default == value for name, value in rest.items() if name in parameters)
