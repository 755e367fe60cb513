import copy
import io
import sys

import pytest
import torch
from torch import nn

from hsipipe.errors import UserError
from hsipipe.nets.lora import LowRankLinear, adapt, merge
from hsipipe.nets.quantised import QuantisedLinear

WIDTH, DEPTH = 24, 2
KINDS = ("lora", "dora")
FORMATS = (None, "nf4", "fp4")


def transformer(seed=0):
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(seed)
    return VisionTransformer(
        img_size=8, patch_size=4, in_chans=5, embed_dim=WIDTH, depth=DEPTH, num_heads=3, num_classes=0
    )


def image(seed=1):
    return torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(seed))


def shake(module, seed=2):
    """Move every adapter away from its start, as training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                step = 0.1 * torch.randn(parameter.shape, generator=generator)
                parameter.add_(step * parameter.abs() if "magnitude" in name else step)


def layer(kind="lora", *, selected=(0, 2), dropout=0.0, quantisation=None, rank=3):
    """A qkv layer with groups 0 and 2 adapted."""
    torch.manual_seed(0)
    base = nn.Linear(WIDTH, 3 * WIDTH)
    if quantisation:
        base = QuantisedLinear.from_linear(base, quantisation=quantisation)
    made = LowRankLinear(
        base, groups=3, selected=selected, rank=rank, alpha=6.0, dropout=dropout, magnitudes=kind == "dora"
    )
    shake(made)
    return made


def dense_update(made):
    """s B A of every group, one after the other, (3 * WIDTH, WIDTH)."""
    update = torch.zeros(3, WIDTH, WIDTH)
    for place, group in enumerate(made.rows.tolist()):
        inner = made.lora_a[place * made.rank : (place + 1) * made.rank]
        update[group] = 6.0 / made.rank * made.lora_b[place] @ inner
    return update.view(-1, WIDTH)


def test_the_papers_count():
    from timm.models.vision_transformer import VisionTransformer

    with torch.device("meta"):
        vit = VisionTransformer(img_size=128, patch_size=4, in_chans=202, embed_dim=384, num_heads=6, num_classes=0)
    assert sum(parameter.numel() for parameter in vit.parameters()) == 22_929_792
    assert adapt(vit, rank=8) == 24
    assert sum(parameter.numel() for parameter in vit.parameters() if parameter.requires_grad) == 294_912


@pytest.mark.parametrize(
    ("targets", "layers", "count"),
    [
        (("q", "k", "v", "proj"), 4, 4 * 2 * WIDTH * 3),
        (("q", "v"), 2, 2 * 2 * WIDTH * 3),
        (("proj",), 2, 2 * WIDTH * 3),
        (("k", "proj"), 4, 2 * 2 * WIDTH * 3),
    ],
)
def test_only_the_adapters_of_the_targets_train(targets, layers, count):
    vit = transformer()
    assert adapt(vit, rank=3, targets=targets) == layers
    trained = {name: value for name, value in vit.named_parameters() if value.requires_grad}
    assert sum(value.numel() for value in trained.values()) == DEPTH * count
    assert sorted(trained) == sorted(name for name in vit.state_dict() if "lora_" in name)
    shake(vit)
    vit(image()).square().sum().backward()
    for name, parameter in vit.named_parameters():
        assert (parameter.grad is not None) == (name in trained), name
    assert all(torch.isfinite(value.grad).all() and value.grad.abs().max() > 0 for value in trained.values())


def test_dora_adds_one_magnitude_per_selected_output():
    vit = transformer()
    adapt(vit, kind="dora", rank=3, targets=("q", "proj"))
    trained = {name: value.numel() for name, value in vit.named_parameters() if value.requires_grad}
    assert sum(trained.values()) == DEPTH * 2 * (2 * WIDTH * 3 + WIDTH)
    assert {name.rsplit(".", 1)[1] for name in trained} == {"lora_a", "lora_b", "dora_magnitude"}


@pytest.mark.parametrize("kind", KINDS)
def test_training_starts_at_the_frozen_network(kind):
    vit = transformer().eval()
    before = vit(image())
    adapt(vit, kind=kind, rank=4, dropout=0.5)
    torch.testing.assert_close(vit(image()), before, atol=1e-5, rtol=1e-5)


def test_lora_is_its_formula():
    made = layer()
    inputs = torch.randn(5, 4, WIDTH)
    expected = inputs @ (made.base.weight + dense_update(made)).T + made.base.bias
    torch.testing.assert_close(made(inputs), expected)
    # The group that is not selected is the frozen layer's own, to the bit.
    assert torch.equal(made(inputs)[..., WIDTH : 2 * WIDTH], made.base(inputs)[..., WIDTH : 2 * WIDTH])


def test_dora_and_its_gradient_are_the_formula_with_the_norm_held():
    made = layer("dora")
    inputs = torch.randn(5, WIDTH)
    adapted = made.base.weight + dense_update(made)
    norm = adapted.detach().norm(dim=1, keepdim=True)  # a constant in the gradient
    magnitude = made.base.weight.norm(dim=1).view(3, WIDTH).clone()
    magnitude[[0, 2]] = made.dora_magnitude
    directed = adapted / norm * magnitude.view(-1, 1)
    directed = torch.cat([directed[:WIDTH], made.base.weight[WIDTH : 2 * WIDTH], directed[2 * WIDTH :]])
    expected = inputs @ directed.T + made.base.bias
    torch.testing.assert_close(made(inputs), expected)
    trained = [made.lora_a, made.lora_b, made.dora_magnitude]
    weights = torch.randn(5, 3 * WIDTH)
    ours = torch.autograd.grad((made(inputs) * weights).sum(), trained)
    dense = torch.autograd.grad((expected * weights).sum(), trained)
    for one, other in zip(ours, dense, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    merged = made.merged()
    torch.testing.assert_close(merged.weight, directed.detach())
    # The magnitudes are the norms of the merged rows.
    torch.testing.assert_close(merged.weight.norm(dim=1).view(3, WIDTH)[[0, 2]], made.dora_magnitude.detach())


@pytest.mark.parametrize("quantisation", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("targets", [("q", "k", "v", "proj"), ("k",)])
def test_merging_changes_nothing_in_evaluation(kind, quantisation, targets):
    vit = transformer()
    adapt(vit, kind=kind, rank=3, dropout=0.3, targets=targets, quantisation=quantisation)
    shake(vit)
    vit.eval()
    before = vit(image())
    merge(vit)
    attention = vit.blocks[0].attn
    assert type(attention.qkv) is nn.Linear
    assert type(attention.proj) is nn.Linear
    assert not any(parameter.requires_grad for parameter in vit.parameters())
    assert sorted(vit.state_dict()) == sorted(transformer().state_dict())
    torch.testing.assert_close(vit(image()), before, atol=2e-5, rtol=1e-4)
    assert (vit(image()) - transformer().eval()(image())).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_on_the_update_in_training_only(kind):
    made = layer(kind, dropout=0.5)
    inputs = torch.randn(64, WIDTH)
    exact = made.eval()(inputs)
    torch.testing.assert_close(made.merged()(inputs), exact, atol=1e-5, rtol=1e-5)
    made.train()
    torch.manual_seed(3)
    once = made(inputs)
    assert not torch.allclose(once, exact)
    assert torch.equal(once[:, WIDTH : 2 * WIDTH], exact[:, WIDTH : 2 * WIDTH])
    torch.manual_seed(3)
    assert torch.equal(made(inputs), once)
    # It is unbiased.
    mean = torch.stack([made(inputs) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, exact, atol=0.25, rtol=0)


@pytest.mark.parametrize("quantisation", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_state_round_trip_into_another_network(kind, quantisation):
    options = {"kind": kind, "rank": 2, "quantisation": quantisation}
    trained, other = transformer(), transformer(seed=5)
    for vit in (trained, other):
        adapt(vit, **options)
    shake(trained)
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    trained.eval()
    assert torch.equal(other.eval()(image()), trained(image()))
    assert torch.equal(copy.deepcopy(trained)(image()), trained(image()))


def is_of_adapter(name):
    return "lora_" in name or "dora_magnitude" in name


@pytest.mark.parametrize("quantisation", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_two_steps_reduce_a_loss(kind, quantisation):
    vit = transformer()
    adapt(vit, kind=kind, rank=4, quantisation=quantisation)
    frozen = {name: value.clone() for name, value in vit.state_dict().items() if not is_of_adapter(name)}
    target = transformer(seed=7)(image()).detach()
    optimizer = torch.optim.AdamW([value for value in vit.parameters() if value.requires_grad], lr=1e-2)
    losses = []
    for _ in range(3):
        loss = (vit(image()) - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[2] < losses[1] < losses[0]
    after = vit.state_dict()
    assert all(torch.equal(after[name], value) for name, value in frozen.items())


@pytest.mark.parametrize("quantisation", [None, "nf4"])
@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_autocast(kind, quantisation):
    made = layer(kind, quantisation=quantisation)
    inputs = torch.randn(6, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = made(inputs)
    assert outputs.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.float(), made(inputs), atol=0.1, rtol=0.05)
    outputs.float().square().sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in made.parameters() if parameter.requires_grad)


def test_quantisation_also_stores_layers_without_an_adapter():
    vit = transformer()
    assert adapt(vit, rank=2, targets=("q",), quantisation="nf4") == DEPTH
    assert isinstance(vit.blocks[0].attn.proj, QuantisedLinear)
    assert isinstance(vit.blocks[0].attn.qkv.base, QuantisedLinear)
    assert type(vit.blocks[0].mlp.fc1) is nn.Linear


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rank": 0}, "rank: must be a whole number from 1 to the layer's width, 24 .found 0."),
        ({"rank": 25}, "rank: .* .found 25."),
        ({"rank": 1.5}, "rank: .* .found 1.5."),
        ({"alpha": 0}, "alpha: must be above 0"),
        ({"alpha": float("nan")}, "alpha: must be above 0"),
        ({"dropout": 1.0}, "dropout: must be at least 0 and below 1"),
        ({"kind": "lorra"}, "unknown kind of adapter 'lorra'; did you mean 'lora'"),
        ({"targets": ("q", "pro")}, "unknown target of an adapter 'pro'; did you mean 'proj'"),
        ({"targets": ()}, "targets: is empty"),
        ({"quantisation": "nf8"}, "unknown 4-bit format 'nf8'"),
    ],
)
def test_mistakes_are_told_and_leave_the_network_alone(options, told):
    vit = transformer()
    with pytest.raises(UserError, match=told):
        adapt(vit, **options)
    assert sorted(vit.state_dict()) == sorted(transformer().state_dict())


def test_four_bits_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"hsipipe\[gpu\]"):
        adapt(transformer(), quantisation="nf4")
    adapt(transformer())  # which needs no such package


def test_networks_that_cannot_be_adapted():
    with pytest.raises(ValueError, match="has no attention"):
        adapt(nn.Sequential(nn.Linear(3, 3)))
    vit = transformer()
    adapt(vit, rank=2)
    with pytest.raises(ValueError, match="merge it first"):
        adapt(vit, rank=2)
