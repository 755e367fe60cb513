import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

from hsipipe.methods import find_method
from hsipipe.settings import settings_from, split
from hsipipe.tasks.denoising.methods.qrnn3d.model import build, forget_pool
from hsipipe.training.settings import TrainingSettings


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_parameter_count_of_the_paper():
    """The count that public implementations have at the paper's width: 860,453."""
    assert sum(parameter.numel() for parameter in build().parameters()) == 860_453
    # 27 weights per pair of channels, two (in the outer layers three) gates, batch normalisation, three biases
    assert sum(parameter.numel() for parameter in build(channels=1, depth=1).parameters()) == (
        (2 + 81) + (2 + 54) + (2 + 54) + (2 + 81 + 3)
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_sweep_is_the_recurrence(reverse):
    z, f = np.random.default_rng(0).random((2, 2, 3, 7, 4, 5))
    expected, hidden = np.zeros_like(z), 0.0
    for band in range(6, -1, -1) if reverse else range(7):
        hidden = f[:, :, band] * hidden + (1 - f[:, :, band]) * z[:, :, band]
        expected[:, :, band] = hidden
    found = forget_pool(torch.from_numpy(z), torch.from_numpy(f), reverse=reverse)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_gradient_of_the_sweep(reverse, bands):
    z, f = (torch.rand(2, 2, bands, 2, 3, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: forget_pool(a, b, reverse=reverse), (z, f))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 7, 9), (1, 31, 16, 12), (1, 3, 4, 130)])
def test_any_size_and_number_of_bands(shape):
    network = build(channels=2).eval()
    noisy = torch.rand(shape)
    with torch.inference_mode():
        denoised = network(noisy)
    assert denoised.shape == noisy.shape
    assert torch.isfinite(denoised).all()
    assert not torch.equal(denoised, noisy)


def test_with_and_without_gradients_alike():
    network = build(channels=3).eval()
    noisy = torch.rand(2, 6, 10, 8)
    with torch.no_grad():
        quiet = network(noisy)
    assert torch.equal(quiet, network(noisy))


def test_every_band_sees_every_other():
    network = build(channels=4).eval()
    noisy = torch.rand(1, 9, 4, 4, requires_grad=True)
    for band in (0, 8):
        (gradient,) = torch.autograd.grad(network(noisy)[0, band].sum(), noisy)
        assert (gradient.abs().amax((0, 2, 3)) > 0).all()


def test_images_of_a_batch_do_not_mix():
    network = build(channels=2).eval()
    noisy = torch.rand(3, 4, 8, 8)
    together = network(noisy)
    alone = torch.cat([network(image[None]) for image in noisy])
    torch.testing.assert_close(together, alone)


def test_checkpointing_changes_nothing():
    plain, frugal = build(channels=2), build(channels=2, checkpointing=True)
    frugal.load_state_dict(plain.state_dict())
    noisy = torch.rand(2, 5, 8, 8)
    for network in (plain, frugal):
        (network(noisy) ** 2).mean().backward()
    for mine, other in zip(plain.parameters(), frugal.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)
    for mine, other in zip(plain.buffers(), frugal.buffers(), strict=True):
        assert torch.equal(mine, other)


def test_checkpointing_stores_less():
    def stored(network):
        total = 0

        def count(tensor):
            nonlocal total
            total += tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            network(torch.rand(1, 8, 16, 16))
        return total

    assert stored(build(channels=4, checkpointing=True)) < 0.3 * stored(build(channels=4))


def test_learns_to_remove_noise():
    clean = torch.rand(4, 1, 1, 1) * torch.linspace(0.5, 1, 6).view(1, 6, 1, 1) * torch.ones(1, 1, 8, 8)
    noisy = clean + 0.2 * torch.randn(clean.shape)
    network = build(channels=4)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.mean((network(noisy) - clean) ** 2)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())
    assert losses[-1] < 0.5 * torch.mean((noisy - clean) ** 2)


def test_moves_between_types():
    """Module's own machinery (`to`, `double`) must reach the weights."""
    network = build(channels=2).double().eval()
    assert network(torch.rand(1, 3, 4, 4, dtype=torch.double)).dtype == torch.double


def test_bfloat16_stays_close():
    network = build(channels=4).eval()
    noisy = torch.rand(1, 40, 8, 8)
    with torch.inference_mode():
        exact = network(noisy)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(noisy)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.05


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="at least 1"):
        build(channels=0)
    with pytest.raises(ValueError, match="at least 1"):
        build(bands=0)


def test_method_file_fits_the_code():
    method = find_method("denoising", "qrnn3d")
    assert (method.kind, method.random, method.backend) == ("trained", True, "torch")
    training, rest = split(TrainingSettings, method.complete({}))
    made = settings_from(TrainingSettings, training)
    assert (made.learning_rate_at(0), made.epochs, made.steps_per_epoch) == (1e-3, 50, 250)
    assert {*rest, "bands"} == {*inspect.signature(build).parameters, "patch", "bands_per_patch"}
    for name, value in rest.items():
        if name in inspect.signature(build).parameters:
            assert inspect.signature(build).parameters[name].default == value


def test_inference_does_not_import_lightning():
    code = (
        "import sys, torch; from hsipipe.tasks.denoising.methods.qrnn3d.model import build;"
        "from hsipipe.training.tiles import apply_tiled; import hsipipe.training.model_file;"
        "apply_tiled(build(channels=1).eval(), torch.rand(1, 2, 8, 8)); sys.exit('pytorch_lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
