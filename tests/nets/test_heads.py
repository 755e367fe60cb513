import pytest
import torch
from torch import nn

from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.nets.heads import HEADS, build_head


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("name", "count"), [("fc", 1_244_320), ("conv", 2_701_002), ("residual", 2_902_942), ("unet", 12_101_578)]
)
def test_published_parameter_counts(name, count):
    with torch.device("meta"):
        head = build_head(name, bands=202, patch=4, width=384)
    assert sum(parameter.numel() for parameter in head.parameters()) == count


def parameters(name, channels, bands=202, patch=4, width=384):
    with torch.device("meta"):
        head = build_head(name, bands=bands, patch=patch, width=width, channels=channels)
    return sum(parameter.numel() for parameter in head.parameters())


@pytest.mark.parametrize(("name", "count"), [("conv", 2_701_002), ("unet", 12_101_578)])
def test_256_channels_are_the_papers(name, count):
    assert parameters(name, 256) == parameters(name, None) == count


def test_narrow_heads_by_hand():
    """Weights and biases of 3 x 3 convolutions, and of 2 x 2 transposed ones, layer by layer."""

    def conv(inputs, outputs):
        return 9 * inputs * outputs + outputs

    def up(channels):
        return 4 * channels**2 + channels

    encoder = conv(384, 32) + conv(32, 32) + conv(32, 64) + 2 * conv(64, 64)
    decoder = up(64) + conv(96, 32) + up(32) + conv(64, 32) + conv(32, 202)
    assert parameters("unet", 32) == encoder + decoder
    assert parameters("conv", 32) == conv(384, 64) + conv(64, 202)
    tokens = 384 * 8 * 16 + 8 * 16
    assert parameters("skip", 8) == tokens + 202 * 8 + 8 + conv(16, 8) + 4 * conv(8, 8) + conv(8, 202) + 202


@pytest.mark.parametrize("name", ["conv", "unet", "skip"])
def test_narrow_heads_draw_images(name):
    head = build_head(name, bands=7, patch=4, width=12, channels=1)
    noisy = torch.rand(2, 7, 8, 12)
    assert head(torch.randn(2, 12, 2, 3), noisy).shape == noisy.shape


@pytest.mark.parametrize("name", ["fc", "residual"])
def test_heads_without_a_width_to_choose(name):
    message = rf"head_channels: head `{name}` has no width .*found 32.*conv, unet, skip"
    with pytest.raises(UserError, match=message):
        build_head(name, bands=7, patch=4, width=12, channels=32)


@pytest.mark.parametrize("channels", [0, -1])
def test_channels_below_1(channels):
    with pytest.raises(UserError, match=rf"head_channels: must be at least 1 \(found {channels}\)"):
        build_head("unet", bands=7, patch=4, width=12, channels=channels)


def test_skip_is_much_smaller_than_unet():
    with torch.device("meta"):
        head = build_head("skip", bands=202, patch=4, width=384)
    assert sum(parameter.numel() for parameter in head.parameters()) < 2_000_000


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(("patch", "grid"), [(4, (2, 3)), (2, (4, 2))])
def test_shape_and_gradients(name, patch, grid):
    head = build_head(name, bands=7, patch=patch, width=12)
    features = torch.randn(2, 12, *grid, requires_grad=True)
    noisy = torch.rand(2, 7, grid[0] * patch, grid[1] * patch)
    for parameter in head.parameters():
        # the gain of `skip` starts at zero
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    image = head(features, noisy)
    assert image.shape == noisy.shape
    image.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in (*head.parameters(), features))


def test_fc_is_the_loop_over_tokens_of_the_paper():
    """Section 3.2.1: one token after the other, its values as (bands, patch, patch), laid out over the image."""
    bands, patch, (rows, cols) = 5, 4, (3, 2)
    head = build_head("fc", bands=bands, patch=patch, width=8)
    features = torch.randn(2, 8, rows, cols)
    expected = torch.empty(2, bands, rows * patch, cols * patch)
    for row in range(rows):
        for col in range(cols):
            pixels = head.fc(features[:, :, row, col]).reshape(2, bands, patch, patch)
            expected[:, :, row * patch : (row + 1) * patch, col * patch : (col + 1) * patch] = pixels
    torch.testing.assert_close(head(features, torch.rand(2, bands, 12, 8)), expected)


@pytest.mark.parametrize("name", ["fc", "conv", "residual", "unet"])
def test_heads_of_the_paper_do_not_see_the_noisy_image(name):
    head = build_head(name, bands=3, patch=4, width=6)
    features = torch.randn(1, 6, 2, 2)
    assert torch.equal(head(features, torch.rand(1, 3, 8, 8)), head(features, torch.rand(1, 3, 8, 8)))


def test_unet_is_the_network_of_the_paper():
    """Section 3.2.4 written out as a chain of functions with the head's weights."""
    head = build_head("unet", bands=4, patch=4, width=6)
    features = torch.randn(1, 6, 2, 3)
    relu, pool = torch.relu, nn.MaxPool2d(2)
    x = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)(features)
    x0 = relu(head.first[0](x))
    x1 = pool(relu(head.down1[0](x0)))
    x2 = pool(relu(head.down2[0](x1)))
    bottom = relu(head.bottom[1][0](relu(head.bottom[0][0](x2))))
    up2 = relu(head.merge2[0](torch.cat([head.up2(bottom), x1], 1)))
    up1 = relu(head.merge1[0](torch.cat([head.up1(up2), x0], 1)))
    torch.testing.assert_close(head(features, torch.rand(1, 4, 8, 12)), head.last(up1))


def test_residual_starts_as_its_first_convolution_when_its_blocks_are_zero():
    head = build_head("residual", bands=4, patch=2, width=6)
    for parameter in head.blocks.parameters():
        nn.init.zeros_(parameter)
    features = torch.randn(1, 6, 3, 3)
    enlarged = nn.functional.interpolate(features, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(head(features, torch.rand(1, 4, 6, 6)), head.first(enlarged))


def test_skip_adds_the_noisy_image_with_a_gain_per_band():
    head = build_head("skip", bands=6, patch=4, width=12)
    features, noisy = torch.randn(2, 12, 2, 2), torch.rand(2, 6, 8, 8)
    plain = head(features, noisy)
    gain = torch.arange(6.0)
    with torch.no_grad():
        head.gain.copy_(gain)
    torch.testing.assert_close(head(features, noisy), plain + gain[:, None, None] * noisy)


def test_skip_can_remove_noise_of_more_bands_than_it_has_channels():
    """Adding the noisy image with a fixed gain of 1 could not: the correction lies in `channels` directions only."""
    torch.manual_seed(0)
    head = build_head("skip", bands=40, patch=4, width=12, channels=4)
    features = torch.randn(2, 12, 2, 2)
    clean = torch.rand(2, 1, 8, 8).expand(2, 40, 8, 8)
    noisy = clean + 0.3 * torch.randn(2, 40, 8, 8)
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(head(features, noisy), clean)
        loss.backward()
        optimizer.step()
    assert loss < 0.1 * nn.functional.mse_loss(noisy, clean)


def test_unet_needs_multiples_of_four():
    head = build_head("unet", bands=3, patch=2, width=6)
    with pytest.raises(UserError, match=r"found 6 x 8 pixels.*multiple of 4"):
        head(torch.randn(1, 6, 3, 4), torch.rand(1, 3, 6, 8))


def test_names():
    with pytest.raises(UserError, match="unknown head 'unnet'; did you mean 'unet'"):
        build_head("unnet", bands=3, patch=4, width=8)
    assert find_method("denoising", "vit").settings["head"]["choices"] == list(HEADS)
