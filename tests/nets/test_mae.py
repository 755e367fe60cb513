import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.nets.mae import MaskedAutoencoder, normalised, random_order
from hsipipe.nets.vit import build_encoder, patchify


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def network(**settings):
    encoder = build_encoder(bands=5, image_size=16, preset="tiny", patch=settings.pop("patch", 4))
    small = {"decoder_width": 32, "decoder_depth": 1, "decoder_heads": 4}
    return MaskedAutoencoder(encoder=encoder, **{**small, **settings})


def drawn(seed=3):
    return torch.Generator().manual_seed(seed)


def test_order_and_its_reverse():
    order, reverse = random_order(4, 9, device=torch.device("cpu"), generator=drawn())
    assert torch.equal(order.sort(dim=1).values, torch.arange(9).expand(4, 9))
    assert torch.equal(order.gather(1, reverse), torch.arange(9).expand(4, 9))
    assert not torch.equal(order[0], order[1])
    assert torch.equal(order, random_order(4, 9, device=torch.device("cpu"), generator=drawn())[0])


def test_normalised_patches():
    patches = 3 * torch.randn(2, 4, 50) + 7
    values, mean, deviation = normalised(patches)
    torch.testing.assert_close(values.mean(2), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(2), torch.ones(2, 4))
    torch.testing.assert_close(values * deviation + mean, patches)
    assert torch.isfinite(normalised(torch.ones(1, 1, 8))[0]).all()


@pytest.mark.parametrize(("ratio", "hidden"), [(0.75, 12), (0.5, 8), (0.01, 1), (0.99, 15)])
def test_share_of_hidden_tokens(ratio, hidden):
    result = network(mask_ratio=ratio)(torch.rand(3, 5, 16, 16))
    assert result.hidden.shape == (3, 16)
    assert result.hidden.sum(1).tolist() == [hidden] * 3


def test_hidden_patches_are_not_seen():
    """Whatever stands in hidden patches, the same is drawn: nothing of it reaches the decoder."""
    model = network(normalise_pixels=False).eval()
    images = torch.rand(2, 5, 16, 16)
    first = model(images, generator=drawn())
    mask = first.hidden.view(2, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    changed = torch.where(mask, torch.rand_like(images), images)
    second = model(changed, generator=drawn())
    torch.testing.assert_close(second.reconstruction, first.reconstruction)
    assert second.loss != first.loss
    seen = torch.where(mask, images, torch.rand_like(images))
    assert not torch.allclose(model(seen, generator=drawn()).reconstruction, first.reconstruction)


def test_masks_stand_where_tokens_were_hidden():
    """With tokens sent straight to the decoder's end, each visible one comes out at its own place."""
    model = network().eval()
    decoder = model.decoder
    decoder.blocks, decoder.norm, decoder.draw = torch.nn.ModuleList(), torch.nn.Identity(), torch.nn.Identity()
    decoder.narrow = torch.nn.Identity()
    decoder.positions = torch.zeros(1, 17, 96)
    decoder.mask_token = torch.nn.Parameter(torch.full((1, 1, 96), -1.0))
    order, reverse = random_order(2, 16, device=torch.device("cpu"), generator=drawn())
    tokens = torch.rand(2, 16, 96)
    visible = tokens.gather(1, order[:, :6, None].expand(-1, -1, 96))
    result = decoder(torch.cat([torch.zeros(2, 1, 96), visible], 1), reverse, (4, 4))
    hidden = (reverse >= 6)[..., None]
    assert torch.equal(result, torch.where(hidden, torch.tensor(-1.0), tokens))


@pytest.mark.parametrize("normalise_pixels", [False, True])
def test_loss_is_over_hidden_patches(normalise_pixels):
    model = network(normalise_pixels=normalise_pixels).eval()
    images = torch.rand(3, 5, 16, 16)
    loss, reconstruction, hidden = model(images, generator=drawn())
    truth, made = patchify(images, 4), patchify(reconstruction, 4)
    if normalise_pixels:
        made = (made - truth.mean(2, keepdim=True)) / (truth.var(2, keepdim=True) + 1e-6).sqrt()
        truth = normalised(truth)[0]
    torch.testing.assert_close(loss, (made - truth)[hidden].square().mean())


def test_clean_images_drawn_from_noisy_ones():
    model = network(normalise_pixels=False).eval()
    noisy, clean = torch.rand(2, 2, 5, 16, 16)
    result = model(noisy, target=clean, generator=drawn())
    torch.testing.assert_close(result.loss, (result.reconstruction - clean).square().mean())
    torch.testing.assert_close(result.reconstruction, model(noisy, generator=drawn()).reconstruction)


def test_generators():
    model = network().eval()
    images = torch.rand(2, 5, 16, 16)
    assert torch.equal(model(images, generator=drawn(1)).hidden, model(images, generator=drawn(1)).hidden)
    assert not torch.equal(model(images, generator=drawn(1)).hidden, model(images, generator=drawn(2)).hidden)
    torch.manual_seed(5)
    first = model(images)
    torch.manual_seed(5)
    assert torch.equal(first.hidden, model(images).hidden)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_all_parameters_learn(checkpointing):
    model = network(checkpointing=checkpointing)
    model(torch.rand(4, 5, 16, 16)).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_it_learns_what_is_hidden():
    """Images of one value: the hidden patches can be told from the visible ones, and after some steps are."""
    model = network(normalise_pixels=False, mask_ratio=0.5)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for _ in range(100):
        images = torch.rand(16, 1, 1, 1).expand(16, 5, 16, 16)
        optimizer.zero_grad()
        loss = model(images).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.2 / 12  # the variance of the pixels is 1/12


def test_other_sizes_and_the_encoder_in_the_state():
    model = network()
    assert model(torch.rand(1, 5, 8, 24)).reconstruction.shape == (1, 5, 8, 24)
    state = {n.removeprefix("encoder."): v for n, v in model.state_dict().items() if n.startswith("encoder.")}
    build_encoder(bands=5, image_size=16, preset="tiny").load_state_dict(state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio: must be above 0 and below 1"),
        ({"mask_ratio": 0.0}, "mask_ratio"),
        ({"decoder_width": 30}, "decoder_width: must be a multiple of decoder_heads, 4"),
        ({"patch": 16}, "image_size: an image of one token of 16 pixels"),
    ],
)
def test_what_makes_no_autoencoder(settings, message):
    with pytest.raises(UserError, match=message):
        network(**settings)
