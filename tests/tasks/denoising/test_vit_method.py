import copy
import importlib.util
import logging

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.nets.heads import HEADS
from hsipipe.nets.vit import build_encoder
from hsipipe.tasks.denoising.fit import sort_settings
from hsipipe.tasks.denoising.methods.mae import model as mae
from hsipipe.tasks.denoising.methods.vit.model import ADAPTATIONS, build
from hsipipe.training.accounting import count_parameters
from hsipipe.training.tiles import apply_network

SMALL = {"preset": "tiny", "image_size": 16, "head": "skip"}
ADAPTED = [
    "lora",
    "dora",
    pytest.param(
        "qlora",
        marks=pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="4 bits need bitsandbytes"),
    ),
]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def network(**settings):
    return build(bands=5, **{**SMALL, **settings})


def step(model, count=1, learning_rate=1e-2):
    """Some updates by plain gradient descent; the parameters that moved."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], learning_rate)
    noisy, clean = torch.rand(2, 2, 5, 16, 16)
    model.train()
    for _ in range(count):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(noisy), clean).backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        optimizer.step()
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def test_settings_of_the_method_build_the_network_of_the_paper():
    method = find_method("denoising", "vit")
    assert (method.kind, method.needs) == ("trained", ("mae",))
    settings, patches, training = sort_settings(method.complete({}))
    assert patches == {"patch": 128, "bands_per_patch": None}
    assert (training["optimizer"], training["learning_rate"], training["weight_decay"]) == ("adamw", 1e-4, 1e-4)
    with torch.device("meta"):
        model = build(bands=202, **settings)
    assert (model.bands, model.tile) == (202, 128)
    counted = count_parameters(model)
    assert counted.total == counted.trainable == 22_929_792 + 12_101_578


@pytest.mark.parametrize(
    ("adapt", "total", "trainable"),
    [
        ("frozen", 35_031_370, 12_101_578),
        ("full", 35_031_370, 35_031_370),
        ("lora", 35_326_282, 12_396_490),  # 294,912 for LoRA of rank 8 on q, k, v and proj, as in table 7.1
        ("dora", 35_326_282 + 12 * 4 * 384, 12_396_490 + 12 * 4 * 384),  # and a magnitude per output
    ],
)
def test_parameters_of_table_7_1(adapt, total, trainable):
    counted = count_parameters(build(bands=202, adapt=adapt))
    assert (counted.total, counted.trainable) == (total, trainable)


@pytest.mark.parametrize("adapt", ["frozen", "full", *ADAPTED])
@pytest.mark.parametrize("head", ["skip", "fc"])
def test_shape_and_determinism(adapt, head):
    model = network(adapt=adapt, head=head).eval()
    noisy = torch.rand(2, 5, 16, 16)
    denoised = model(noisy)
    assert denoised.shape == noisy.shape
    assert torch.isfinite(denoised).all()
    assert torch.equal(denoised, model(noisy))


def test_narrow_heads():
    settings, _, _ = sort_settings(find_method("denoising", "vit").complete({"head_channels": 32}))
    assert settings["head_channels"] == 32
    sizes = {}
    for channels in (None, 256, 32):
        head = network(head="unet", head_channels=channels).head
        sizes[channels] = sum(parameter.numel() for parameter in head.parameters())
    assert sizes[None] == sizes[256] > 50 * sizes[32]
    with pytest.raises(UserError, match="head_channels: must be at least 1"):
        find_method("denoising", "vit").complete({"head_channels": 0})


def test_what_learns_in_a_frozen_encoder():
    model = network(adapt="frozen").train()
    assert not model.encoder.training
    assert model.head.training
    assert all(name.startswith("head.") for name in step(model, 2))
    output = model.encoder(torch.rand(1, 5, 16, 16))
    assert not output.requires_grad
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape) or t, lambda t: t):
        saved = []
        model(torch.rand(1, 5, 16, 16))
    assert not any(shape[-1:] == (3 * 96,) for shape in saved)  # nothing of the attention is kept


def test_what_learns_in_all():
    model = network(adapt="full", head="fc")
    assert step(model, 2) == set(model.state_dict())


@pytest.mark.parametrize("adapt", ADAPTED)
@pytest.mark.parametrize("train_patch_embedding", [False, True])
def test_what_learns_by_adapters(adapt, train_patch_embedding):
    model = network(adapt=adapt, head="fc", train_patch_embedding=train_patch_embedding)
    moved = step(model, 2)
    for name in moved:
        allowed = ("patch_embed",) if train_patch_embedding else ()
        assert name.startswith("head.") or any(word in name for word in ("lora_", "dora_", *allowed)), name
    assert any("lora_" in name for name in moved)
    assert any("patch_embed" in name for name in moved) == train_patch_embedding


def test_a_patch_embedding_may_learn_below_a_frozen_encoder():
    model = network(adapt="frozen", head="fc", train_patch_embedding=True)
    moved = step(model, 2)
    assert {name for name in moved if name.startswith("encoder.")} == {
        "encoder.vit.patch_embed.proj.weight",
        "encoder.vit.patch_embed.proj.bias",
    }


@pytest.mark.parametrize("adapt", ["frozen", "full", *ADAPTED])
def test_rate_factors(adapt):
    model = network(adapt=adapt, train_patch_embedding=True, lora_rate_factor=7.0)
    factors = {name: model.rate_factor(name) for name, p in model.named_parameters() if p.requires_grad}
    adapters = {name for name, factor in factors.items() if factor == 7.0}
    assert set(factors.values()) == ({1.0} if adapt in ("frozen", "full") else {1.0, 7.0})
    expected = {n for n in factors if n.startswith("encoder.vit.blocks.")} if adapt not in ("frozen", "full") else set()
    assert adapters == expected


@pytest.mark.parametrize("adapt", ["frozen", "full", *ADAPTED])
def test_merged_network_is_equal_and_plain(adapt):
    model = network(adapt=adapt, head="fc", rank=3)
    step(model, 3)
    model.eval()
    merged = model.merged()
    noisy = torch.rand(2, 5, 16, 16)
    torch.testing.assert_close(merged(noisy), model(noisy), atol=1e-5, rtol=1e-4)
    plain = network(head="fc").eval()
    plain.load_state_dict(merged.state_dict())
    torch.testing.assert_close(plain(noisy), model(noisy), atol=1e-5, rtol=1e-4)
    assert any("lora_" in name for name in model.state_dict()) == (adapt not in ("frozen", "full"))


@pytest.mark.parametrize("adapt", ["frozen", "full", *ADAPTED])
def test_a_saved_model_loads_without_its_start(adapt):
    source = build_encoder(bands=5, image_size=16, preset="tiny")
    model = network(adapt=adapt, start={"state": source.state_dict(), "wavelength_nm": None})
    step(model, 2)
    torch.manual_seed(9)
    other = network(adapt=adapt).eval()
    other.load_state_dict(model.state_dict())
    noisy = torch.rand(1, 5, 16, 16)
    torch.testing.assert_close(other(noisy), model.eval()(noisy))


def test_starts_from_an_encoder_of_another_sensor_and_size(caplog):
    source = mae.build(bands=9, preset="tiny", image_size=32, decoder_width=32, decoder_depth=1, decoder_heads=4)
    nm = np.linspace(400, 900, 9)
    start = {"state": source.state_dict(), "wavelength_nm": nm}
    with caplog.at_level(logging.INFO):
        model = network(start=start, wavelength_nm=np.linspace(450, 880, 5))
    assert "9 bands of 400 to 900 nm to 5 bands of 450 to 880 nm" in caplog.text
    assert "from 8 x 8 to 4 x 4" in caplog.text
    own, given = model.encoder.state_dict(), source.encoder.state_dict()
    for name in own:
        if "pos_embed" not in name and "patch_embed.proj.weight" not in name:
            assert torch.equal(own[name], given[name])


@pytest.mark.parametrize("adapt", ADAPTED)
def test_adapters_start_at_the_pretrained_network(adapt):
    source = build_encoder(bands=5, image_size=16, preset="tiny").eval()
    start = {"state": source.state_dict(), "wavelength_nm": None}
    images = torch.rand(1, 5, 16, 16)
    found = network(adapt=adapt, start=start).eval().encoder(images)
    # 4-bit weights are off by a tenth of their spread
    tolerance = {"atol": 0.5, "rtol": 0.0} if adapt == "qlora" else {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(found, source(images), **tolerance)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0, "adapt": "lora"}, r"rank: must be a whole number from 1 to .* 96 \(found 0\)"),
        ({"rank": 97, "adapt": "dora"}, "rank: must be .*found 97"),
        ({"targets": ["q", "o"], "adapt": "lora"}, "unknown target of an adapter 'o'"),
        ({"targets": [], "adapt": "lora"}, "targets: is empty"),
        ({"quantisation": "nf5", "adapt": "qlora"}, "did you mean 'nf4'"),
        ({"adapt": "loraa"}, "unknown adaptation 'loraa'; did you mean 'lora'"),
        ({"head": "skipp"}, "unknown head 'skipp'; did you mean 'skip'"),
        ({"head": "fc", "head_channels": 8}, "head_channels: head `fc` has no width"),
        ({"image_size": 18}, "image_size: must be a multiple of the token's patch of 4 pixels"),
        ({"start": {"state": build_encoder(bands=5, image_size=8, preset="small").state_dict()}}, "width 384"),
    ],
)
def test_what_makes_no_network(settings, message):
    with pytest.raises(UserError, match=message):
        network(**settings)


def test_weights_with_adapters_are_no_start():
    state = network(adapt="lora").state_dict()
    with pytest.raises(UserError, match=r"lack parts of the transformer .*attn.qkv.weight.*merged"):
        network(start={"state": state, "wavelength_nm": None})


def test_sizes_of_images():
    model = network(head="unet").eval()
    with pytest.raises(UserError, match="multiple of the token's patch of 4 pixels"):
        model(torch.rand(1, 5, 16, 18))
    with torch.no_grad():
        assert model(torch.rand(1, 5, 12, 20)).shape == (1, 5, 12, 20)
        assert apply_network(model, torch.rand(1, 5, 21, 9)).shape == (1, 5, 21, 9)


@pytest.mark.parametrize("head", HEADS)
def test_exported_graph_is_equal_for_any_batch(head):
    model = network(head=head, adapt="lora").eval().merged()
    with torch.no_grad():
        batch = {"noisy": {0: torch.export.Dim("batch")}}
        exported = torch.export.export(model, (torch.rand(2, 5, 16, 16),), dynamic_shapes=batch).module()
        noisy = torch.rand(3, 5, 16, 16)
        torch.testing.assert_close(exported(noisy), model(noisy))


@pytest.mark.filterwarnings("ignore")  # torch advises against tracing, and against what becomes constant in a trace
def test_traced_network_is_equal_for_any_batch():
    model = network(head="unet").eval()
    with torch.no_grad():
        traced = torch.jit.trace(model, torch.rand(1, 5, 16, 16))
        noisy = torch.rand(3, 5, 16, 16)
        torch.testing.assert_close(traced(noisy), model(noisy))


def test_memory_of_the_ways_to_adapt():
    from hsipipe.training.memory import training_memory

    def squared_error(model, batch):
        return torch.nn.functional.mse_loss(model(batch["input"]), batch["target"])

    batch = {name: torch.empty(4, 5, 16, 16, device="meta") for name in ("input", "target")}
    saved = {
        adapt: training_memory(copy.deepcopy(network(adapt=adapt)).to("meta"), squared_error, batch).activations_bytes
        for adapt in ("frozen", "lora", "full")
    }
    assert saved["frozen"] < 0.5 * saved["full"]
    assert saved["frozen"] < saved["lora"]


def test_the_choices_of_the_settings_are_those_of_the_code():
    settings = find_method("denoising", "vit").settings
    assert settings["adapt"]["choices"] == list(ADAPTATIONS)


def test_it_learns_to_denoise():
    """Images of few patterns under noise: the error falls well below that of the noisy images."""
    model = network(head="skip")
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    ratios = []
    for _ in range(80):
        clean = torch.rand(8, 5, 1, 1).expand(8, 5, 16, 16)
        noisy = clean + 0.3 * torch.randn(8, 5, 16, 16)
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(noisy), clean)
        loss.backward()
        optimizer.step()
        ratios.append(loss.item() / 0.09)
    assert sum(ratios[-5:]) / 5 < 0.3


def test_blocks_alone_are_taken_over_as_in_the_papers_program():
    torch.manual_seed(0)
    start = {"state": network().encoder.state_dict(), "wavelength_nm": None}
    torch.manual_seed(1)
    plain = network().encoder.state_dict()
    torch.manual_seed(1)
    taken = network(start=start, take_over="blocks").encoder.state_dict()
    for name, value in taken.items():
        expected = plain if name.startswith(("vit.patch_embed.", "vit.pos_embed")) else start["state"]
        torch.testing.assert_close(value, expected[name])
    assert not torch.equal(plain["vit.patch_embed.proj.weight"], start["state"]["vit.patch_embed.proj.weight"])
