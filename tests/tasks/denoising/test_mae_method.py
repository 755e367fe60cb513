import copy

import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.nets.vit import patchify
from hsipipe.tasks.denoising.fit import sort_settings
from hsipipe.tasks.denoising.methods.mae import model as mae

SMALL = {"preset": "tiny", "image_size": 16, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 4}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def build(**settings):
    return mae.build(bands=5, **{**SMALL, **settings}).eval()


def drawn(seed=3):
    return torch.Generator().manual_seed(seed)


def test_settings_of_the_method_build_it():
    method = find_method("denoising", "mae")
    assert method.kind == "encoder"
    settings, patches, training = sort_settings(method.complete({}))
    assert patches["patch"] == 128
    assert training["batch_size"] == 32
    with torch.device("meta"):
        network = mae.build(bands=202, **settings)
    assert sum(parameter.numel() for parameter in network.encoder.parameters()) == 22_929_792
    assert (network.bands, network.tile) == (202, 128)


@pytest.mark.parametrize("corrupt", [False, True])
def test_loss_sees_the_noisy_image_only_if_asked(corrupt):
    network = build(corrupt=corrupt)
    clean = torch.rand(3, 5, 16, 16)

    def loss(noisy, target=clean):
        torch.manual_seed(1)
        return mae.loss(network, {"input": noisy, "target": target})

    first, second = torch.rand(2, 3, 5, 16, 16)
    assert (loss(first) != loss(second)) == corrupt
    assert loss(first) != loss(first, clean.flip(0))
    loss(first).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_validation_is_the_mean_over_tiles():
    network = build()
    clean, noisy = torch.rand(5, 37, 16), torch.rand(5, 37, 16)
    found = mae.validation(network, clean, noisy, drawn())
    generator = drawn()
    by_tile = [network(clean[None, :, row : row + 16], generator=generator).loss.item() for row in (0, 16)]
    assert found == pytest.approx(sum(by_tile) / 2)
    assert found == mae.validation(network, clean[None], noisy[None], drawn())
    assert found != mae.validation(network, clean, noisy, drawn(4))


def test_cubes_smaller_than_the_training_images():
    network = build()
    assert 0 < mae.validation(network, torch.rand(5, 11, 30), torch.rand(5, 11, 30), drawn()) < 10
    with pytest.raises(UserError, match="a token takes 4 x 4 pixels"):
        mae.validation(network, torch.rand(5, 3, 30), torch.rand(5, 3, 30), drawn())


def test_picture():
    network = build()
    clean, noisy = torch.rand(5, 40, 20), torch.rand(5, 40, 20)
    images = mae.picture(network, clean, noisy, drawn())
    assert list(images) == ["masked", "reconstruction", "clean"]
    assert {image.shape for image in images.values()} == {(5, 16, 16)}
    assert torch.equal(images["clean"], clean[:, :16, :16])
    masked, made, truth = (patchify(image[None], 4)[0] for image in images.values())
    hidden = (masked == 0.5).all(dim=1)
    assert hidden.sum() == 12
    assert torch.equal(masked[~hidden], truth[~hidden])
    assert torch.equal(made[~hidden], truth[~hidden])
    assert (made[hidden] != truth[hidden]).any(dim=1).all()


def test_picture_of_a_denoising_autoencoder():
    network = build(corrupt=True)
    clean, noisy = torch.rand(5, 16, 16), torch.rand(5, 16, 16)
    images = mae.picture(network, clean, noisy, drawn())
    masked, made, truth = (patchify(image[None], 4)[0] for image in images.values())
    hidden = (masked == 0.5).all(dim=1)
    assert torch.equal(masked[~hidden], patchify(noisy[None], 4)[0][~hidden])
    assert (made != truth).any(dim=1).all()


def test_memory_of_a_step_is_told_without_running_it():
    from hsipipe.training.memory import training_memory

    network = build()
    batch = {name: torch.empty(2, 5, 16, 16, device="meta") for name in ("input", "target")}
    account = training_memory(copy.deepcopy(network).to("meta"), mae.loss, batch)
    assert account.trainable == sum(parameter.numel() for parameter in network.parameters())
    assert account.activations_bytes > 0
