import math

import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.nets.vit import build_encoder, patchify, resize_positions, sine_positions, unpatchify


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def encoder(**settings):
    return build_encoder(**{"bands": 5, "image_size": 16, "preset": "tiny", **settings})


def test_small_has_the_published_parameters():
    """22,929,792 at 202 bands, patch 4 and 128 pixels, and what the same sum gives for the other sizes."""
    with torch.device("meta"):
        counts = {
            preset: sum(p.numel() for p in build_encoder(bands=202, image_size=128, preset=preset).parameters())
            for preset in ("small", "base", "large")
        }
    assert counts["small"] == 22_929_792
    for preset, width, depth in (("base", 768, 12), ("large", 1024, 24)):
        block = 12 * width**2 + 13 * width  # attention 4 w² + 4 w, MLP 8 w² + 5 w, two norms 4 w
        assert counts[preset] == 202 * 16 * width + width + 1025 * width + width + depth * block + 2 * width


def test_tokens_are_those_of_timm():
    network = encoder().eval()
    images = torch.rand(2, 5, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(images), network.vit.forward_features(images))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 24), (4, 4)])
def test_any_size_that_is_a_multiple(height, width):
    assert encoder()(torch.rand(2, 5, height, width)).shape == (2, 1 + height * width // 16, 96)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encoder(image_size=18), r"image_size: must be a multiple .* 4 pixels \(found 18\); take 16 or 20"),
        (lambda: encoder(image_size=2), r"found 2\); take 4 pixels"),
        (lambda: encoder()(torch.rand(1, 5, 16, 15)), r"multiple of the token's patch of 4 pixels \(found 15\)"),
        (lambda: encoder()(torch.rand(1, 6, 16, 16)), r"takes 5 bands \(found 6\)"),
        (lambda: encoder(preset="tinny"), "did you mean 'tiny'"),
        (lambda: encoder(bands=0), "bands: must be at least 1"),
        (lambda: encoder(patch=0), "patch: must be at least 1"),
    ],
)
def test_what_makes_no_tokens(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_patches_lie_row_by_row_and_band_first():
    images = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    patches = patchify(images, 2)
    assert patches.shape == (2, 6, 12)
    for row in range(2):
        for col in range(3):
            expected = images[1, :, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].flatten()
            assert torch.equal(patches[1, 3 * row + col], expected)
    assert torch.equal(unpatchify(patches, 2, (2, 3)), images)


def test_sine_positions():
    table = sine_positions(10, 3)
    assert table.shape == (1, 10, 10)
    assert not table[0, 0].any()
    row, col = 2, 1
    frequencies = [1.0, 10000.0**-0.5]
    expected = [function(place * f) for place in (row, col) for function in (math.sin, math.cos) for f in frequencies]
    torch.testing.assert_close(table[0, 1 + 3 * row + col], torch.tensor([*expected, 0.0, 0.0]))


def test_resized_positions_keep_the_class_token_and_constants():
    positions = torch.rand(1, 1 + 16, 6)
    assert resize_positions(positions, (4, 4), (4, 4)) is positions
    resized = resize_positions(positions, (6, 2), (4, 4))
    assert resized.shape == (1, 13, 6)
    assert torch.equal(resized[:, 0], positions[:, 0])
    torch.testing.assert_close(resize_positions(torch.ones(1, 17, 6), (7, 5), (4, 4)), torch.ones(1, 36, 6))


def test_checkpointing_changes_nothing_but_memory():
    plain, checkpointed = encoder(), encoder(checkpointing=True)
    checkpointed.load_state_dict(plain.state_dict())
    images = torch.rand(2, 5, 16, 16)
    gradients, saved = [], []
    for network in (plain, checkpointed):
        count = 0

        def keep(tensor):
            nonlocal count
            count += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            tokens = network(images)
        tokens.square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
        saved.append(count)
    torch.testing.assert_close(gradients[0], gradients[1])
    assert all(torch.isfinite(gradient).all() for gradient in gradients[0])
    assert saved[1] < saved[0] / 4
