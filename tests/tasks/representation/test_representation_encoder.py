"""The encoder as a whole: shapes, stems, errors, determinism, checkpointing."""

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.tasks.representation.shared.encoder import build_encoder
from hsipipe.tasks.representation.shared.stem_resampling import resample_stem

NM = np.linspace(350, 800, 12)


def make(seed=0, **settings):
    torch.manual_seed(seed)
    return build_encoder(**{"wavelength_nm": NM, "backbone": "tiny", **settings}).eval()


def images(bands=12, batch=2, size=16, seed=1):
    return torch.rand(batch, bands, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("stem", ["tiled", "interpolated", "reduce", "adapter"])
@pytest.mark.parametrize("attention", [False, True])
def test_own_backbones_have_the_shapes_of_the_contract(stem, attention):
    for backbone, dimension in (("tiny", 64), ("small", 128)):
        encoder = make(stem=stem, attention=attention, backbone=backbone, width=16)
        assert encoder.dimension == dimension
        assert encoder.bands == (None if stem == "adapter" else 12)
        embedding, places = encoder(images()), encoder.feature_map(images())
        assert embedding.shape == (2, dimension)
        assert places.shape[:2] == (2, dimension)
        assert places.shape[2] == places.shape[3] >= 2
        torch.testing.assert_close(places.mean(dim=(2, 3)), embedding)
        assert torch.isfinite(embedding).all()
        assert not torch.allclose(embedding[0], embedding[1])


@pytest.mark.parametrize(
    ("backbone", "size", "places"),
    [
        ("resnet18", (64, 96), (2, 3)),
        ("vit_tiny_patch16_224", (64, 96), (4, 6)),
        ("mobilenetv3_small_050", (64, 64), (2, 2)),
        ("swin_tiny_patch4_window7_224", (64, 64), (2, 2)),
    ],
)
def test_backbones_of_timm_take_images_of_other_sizes(backbone, size, places):
    encoder = make(backbone=backbone, stem="reduce")
    batch = torch.rand(2, 12, *size)
    with torch.no_grad():
        embedding, maps = encoder(batch), encoder.feature_map(batch)
    assert embedding.shape == (2, encoder.dimension)
    assert maps.shape == (2, encoder.dimension, *places)
    if backbone == "resnet18":
        assert encoder.dimension == 512
        torch.testing.assert_close(maps.mean(dim=(2, 3)), embedding)


def test_tokens_of_a_transformer_lie_where_their_patches_are():
    encoder = make(backbone="vit_tiny_patch16_224", stem="reduce", maps=3)
    network = encoder.backbone.network
    batch = torch.rand(1, 12, 32, 48)
    with torch.no_grad():
        tokens = network.forward_features(encoder.stem(batch))
        maps = encoder.feature_map(batch)
    # One class token, then the patches row by row: two rows of three.
    torch.testing.assert_close(maps[0, :, 1, 2], tokens[0, 1 + 5])
    torch.testing.assert_close(maps[0, :, 0, 1], tokens[0, 1 + 1])
    with pytest.raises(UserError, match=r"multiples of the backbone's patch of 16 pixels"):
        encoder(torch.rand(1, 12, 30, 48))


def test_equal_seeds_give_equal_encoders():
    for stem in ("interpolated", "adapter"):
        first, again, other = (make(seed, stem=stem, width=16)(images()) for seed in (3, 3, 4))
        assert torch.equal(first, again)
        assert not torch.allclose(first, other)


def test_the_brightness_of_a_specimen_reaches_the_embedding():
    for stem in ("interpolated", "reduce", "adapter"):
        encoder = make(stem=stem, width=16)
        bright, dark = encoder(images()), encoder(images() / 2)
        assert torch.linalg.norm(bright - dark) > 0.05 * torch.linalg.norm(bright), stem


def test_a_chunk_does_not_fit_a_stem_for_all_bands():
    encoder = build_encoder(wavelength_nm=np.linspace(348, 810, 408), stem="reduce")
    with pytest.raises(UserError, match=r"takes images of 408 bands.*found 50.*adapter") as caught:
        encoder(torch.rand(1, 50, 8, 8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stem": "tile"}, "unknown stem 'tile'; did you mean 'tiled'"),
        ({"backbone": "resnet1x8"}, "unknown backbone 'resnet1x8'; the nearest are .*resnet18"),
        ({"wavelength_nm": None, "stem": "interpolated", "bands": 4}, "needs the wavelengths"),
        ({"wavelength_nm": None, "stem": "reduce"}, "made for a number of bands"),
        ({"bands": 5}, "5 bands need as many wavelengths .found 12"),
        ({"wavelength_nm": np.array([400.0, np.nan])}, "finite numbers in nm"),
        ({"stem": "adapter", "width": 6}, "positive multiple of 4"),
        ({"stem": "adapter", "step_nm": 0.0}, "above 0"),
        ({"maps": 0}, "at least 1"),
        ({"pretrained": "nowhere.pt"}, "nowhere.pt: no such file"),
    ],
)
def test_mistakes_are_told_in_one_line(settings, message):
    with pytest.raises(UserError, match=message):
        make(**settings)


@pytest.mark.parametrize(
    ("backbone", "stem", "size"),
    [("small", "adapter", 16), ("tiny", "reduce", 16), ("vit_tiny_patch16_224", "reduce", 32)],
)
def test_checkpointing_gives_the_same_gradients(backbone, stem, size):
    encoder = make(stem=stem, backbone=backbone, attention=True, width=16)
    gradients = []
    for enable in (False, True):
        encoder.set_grad_checkpointing(enable)
        encoder.zero_grad()
        encoder(images(size=size)).square().sum().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 5
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-4, atol=1e-5 * float(plain.abs().max()) + 1e-9)


@pytest.mark.parametrize("stem", ["interpolated", "reduce", "adapter"])
def test_half_precision_keeps_the_embedding(stem):
    encoder = make(stem=stem, attention=True, width=16)
    assert all(value.dtype == torch.float32 for value in [*encoder.parameters(), *encoder.buffers()])
    with torch.no_grad():
        full = encoder(images())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = encoder(images())
    assert torch.nn.functional.cosine_similarity(full, half.float()).min() > 0.995


@pytest.mark.parametrize("stem", ["tiled", "interpolated", "reduce"])
@pytest.mark.parametrize("counts", [(20, 50), (50, 20), (20, 408)])
def test_a_stage_of_more_bands_goes_on_with_the_response_it_had(stem, counts):
    source_nm, target_nm = (348 + (np.arange(count) + 0.5) * 462 / count for count in counts)
    settings = {"stem": stem, "attention": True, "attention_hidden": 6}
    before = make(0, wavelength_nm=source_nm, **settings)
    with torch.no_grad():  # attention that does something
        before.attention.excite.bias.copy_(torch.linspace(-1, 1, counts[0]))
    after = make(1, wavelength_nm=target_nm, **settings)
    after.load_state_dict(resample_stem(before.state_dict(), source_nm, target_nm))
    # A flat spectrum has exactly the response it had before the gates; attention off to see it alone.
    flat = images(1)
    first, second = (encoder.attention for encoder in (before, after))
    before.attention = after.attention = None
    torch.testing.assert_close(
        after(flat.expand(-1, counts[1], -1, -1)), before(flat.expand(-1, counts[0], -1, -1)), rtol=1e-3, atol=1e-4
    )
    # The gates are a function of wavelength, which a line reproduces away from the ends.
    gates = [gate.gates(flat.expand(-1, count, -1, -1))[0] for gate, count in ((first, counts[0]), (second, counts[1]))]
    inner = (target_nm > source_nm.min()) & (target_nm < source_nm.max())
    expected = np.interp(target_nm, source_nm, gates[0].detach().numpy())
    np.testing.assert_allclose(gates[1].detach().numpy()[inner], expected[inner], atol=0.02)


def test_the_same_bands_keep_their_stem_and_an_adapter_needs_nothing():
    for stem in ("interpolated", "adapter"):
        state = make(stem=stem, width=16).state_dict()
        again = resample_stem(state, NM, NM)
        assert all(torch.equal(value, again[name]) for name, value in state.items())
    state = make(stem="reduce").state_dict()
    with pytest.raises(UserError, match=r"are of 12 bands .found 5 wavelengths"):
        resample_stem(state, NM[:5], NM)
    with pytest.raises(UserError, match=r"not of an encoder"):
        resample_stem({"head.weight": torch.zeros(2, 2)}, NM, NM)


@pytest.mark.parametrize("backbone", ["resnet50", "vit_small_patch16_224"])
def test_full_size_cubes_train_a_step(backbone):
    torch.manual_seed(0)
    encoder = build_encoder(
        wavelength_nm=348.3931 + 1.1332 * np.arange(408), backbone=backbone, stem="reduce", maps=3, attention=True
    )
    batch = torch.rand(2, 408, 224, 224)
    encoder(batch).square().mean().backward()
    weight = encoder.stem.mix.weight
    assert weight.grad.shape == (3, 408, 1, 1)
    assert torch.isfinite(weight.grad).all()
    assert weight.grad.abs().sum() > 0
