"""Optimisers, and groups of parameters that learn at different rates."""

import sys

import pytest
import torch
from test_loop import Stop, draw_batch, equal, loss, stopping_at
from torch import nn

from hsipipe.errors import UserError
from hsipipe.training import lightning_loop
from hsipipe.training.loop import run_training
from hsipipe.training.optimizers import make_optimizer, parameter_groups, rate_factors, set_learning_rate
from hsipipe.training.settings import TrainingSettings

SETTINGS = {"epochs": 2, "steps_per_epoch": 4, "batch_size": 8, "learning_rate": 1e-3, "weight_decay": 1e-4}


class Adapted(nn.Module):
    """An encoder that is frozen but for one layer, dropout, and a head with over 4,096 weights (kept in 8 bits)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.encoder = nn.Sequential(nn.Linear(6, 70), nn.Tanh(), nn.Linear(70, 70))
        self.encoder[2].requires_grad_(False)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(70, 70), nn.Tanh(), nn.Linear(70, 1))

    def forward(self, inputs):
        return self.head(self.encoder(inputs))


def factor(name):
    return 10.0 if name.startswith("encoder") else 1.0


def train(folder, *, draw=draw_batch, rate_factor=factor, on_epoch=None, check=None, model=None, **changes):
    return run_training(
        Adapted() if model is None else model,
        draw_batch=draw,
        validate=check,
        loss=loss,
        settings=TrainingSettings(**{**SETTINGS, **changes}),
        state_dir=folder,
        key="k",
        seed=0,
        rate_factor=rate_factor,
        on_epoch=on_epoch,
        progress=False,
    )


def test_parameters_of_one_factor_form_a_group():
    model = Adapted()
    groups = parameter_groups(model, rate_factors(model, factor))
    assert [group["rate_factor"] for group in groups] == [10.0, 1.0]
    assert [len(group["params"]) for group in groups] == [2, 4]  # the frozen layer is in none
    assert groups[0]["params"][0] is model.encoder[0].weight
    assert set(rate_factors(model).values()) == {1.0}
    with pytest.raises(UserError, match=r"head.1.weight: the factor on the learning rate must be above 0 \(found 0"):
        rate_factors(model, lambda name: float("head" not in name))


def test_rates_of_the_groups_at_each_step(tmp_path, monkeypatch):
    seen = []

    def record(optimizer, rate):
        set_learning_rate(optimizer, rate)
        seen.append([group["lr"] for group in optimizer.param_groups])

    monkeypatch.setattr(lightning_loop, "set_learning_rate", record)
    result = train(tmp_path, schedule="cosine", warmup_steps=2)
    settings = TrainingSettings(**SETTINGS, schedule="cosine", warmup_steps=2)
    expected = [settings.learning_rate_at(step) for step in range(8)]
    assert seen == [[rate * 10.0, rate] for rate in expected]
    assert [row["learning_rate"] for row in result.history] == [expected[3], expected[7]]


def test_groups_equal_a_plain_loop(tmp_path):
    """One step of AdamW at the start moves each weight by its rate (but for decay), so groups differ tenfold."""
    model = Adapted()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    result = train(tmp_path, model=model, epochs=1, steps_per_epoch=1, optimizer="adamw", weight_decay=0.0)
    moved = {name: (value - start[name]).abs().max() for name, value in result.model.state_dict().items()}
    assert moved["encoder.0.weight"] == pytest.approx(1e-2, rel=1e-3)
    assert moved["head.1.weight"] == pytest.approx(1e-3, rel=1e-3)
    assert moved["encoder.2.weight"] == 0


@pytest.mark.parametrize("optimizer", ["adamw", "adamw8bit"])
def test_resumes_exactly(tmp_path, optimizer):
    if optimizer == "adamw8bit":
        pytest.importorskip("bitsandbytes")
    undisturbed = train(tmp_path / "whole", optimizer=optimizer)
    with pytest.raises(Stop):
        train(tmp_path / "cut", draw=stopping_at(5), optimizer=optimizer, checkpoint_every_s=0)
    if optimizer == "adamw8bit":
        stored = torch.load(tmp_path / "cut" / "last.ckpt", weights_only=True)["optimizer"]["state"]
        kinds = [value.dtype for state in stored.values() for value in tensors_in(state)]
        assert kinds.count(torch.uint8) == 2  # both moments of the one large trained layer
    result = train(tmp_path / "cut", optimizer=optimizer)
    assert result.resumed_from == 5
    assert equal(result.model, undisturbed.model)
    assert [{**row, "seconds": 0} for row in result.history] == [{**row, "seconds": 0} for row in undisturbed.history]


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for inner in value.values() for tensor in tensors_in(inner)] if isinstance(value, dict) else []


def test_eight_bits_stay_near_adamw():
    """Dettmers et al. 2022: the quantised moments change steps little. Two hundred steps on one quadratic."""
    pytest.importorskip("bitsandbytes")
    goal = torch.linspace(-1, 1, 5000)
    found = {}
    for name in ("adamw", "adamw8bit"):
        weights = nn.Parameter(torch.zeros(5000))
        settings = TrainingSettings(optimizer=name, learning_rate=0.01)
        optimizer = make_optimizer([{"params": [weights]}], settings)
        for _ in range(200):
            optimizer.zero_grad()
            ((weights - goal) ** 2).sum().backward()
            optimizer.step()
        found[name] = weights.detach()
    assert (found["adamw"] - goal).abs().max() < 0.02
    assert (found["adamw8bit"] - goal).abs().max() < 0.05
    assert not torch.equal(found["adamw"], found["adamw8bit"])


def test_other_factors_start_anew(tmp_path):
    with pytest.raises(Stop):
        train(tmp_path, draw=stopping_at(5), checkpoint_every_s=0)
    assert train(tmp_path, rate_factor=lambda _: 1.0).resumed_from == 0


def test_missing_bitsandbytes_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(UserError, match=r'pip install "hsipipe\[gpu\]"'):
        make_optimizer([{"params": [nn.Parameter(torch.zeros(1))]}], TrainingSettings(optimizer="adamw8bit"))


def test_divergence_names_the_rates_of_the_groups(tmp_path):
    def poisoned(number, device):
        batch = draw_batch(number, device)
        return {**batch, "target": batch["target"] * float("inf")} if number == 5 else batch

    told = r"at step 5 \(epoch 2\), learning rate 0.001 \(of the groups: 0.01, 0.001\)"
    with pytest.raises(UserError, match=told) as raised:
        train(tmp_path, draw=poisoned, checkpoint_every_s=0)
    assert str(tmp_path / "last.ckpt") in str(raised.value)


def test_what_happens_at_epochs_changes_nothing(tmp_path):
    seen = []

    def look(model, epoch):
        assert not model.training
        assert not torch.is_grad_enabled()
        seen.append((epoch, torch.rand(1).item()))
        torch.manual_seed(99)
        model.train()  # what it does to modes is undone as well

    plain = train(tmp_path / "plain", check=lambda model: {"loss": float(model(torch.ones(1, 6)) ** 2 + torch.rand(1))})
    looked = train(
        tmp_path / "looked",
        on_epoch=look,
        check=lambda model: {"loss": float(model(torch.ones(1, 6)) ** 2 + torch.rand(1))},
    )
    assert [epoch for epoch, _ in seen] == [1, 2]
    assert equal(plain.model, looked.model)
    assert [row["loss"] for row in plain.history] == [row["loss"] for row in looked.history]


def test_a_kill_during_the_look_repeats_it(tmp_path):
    def broken(*_):
        raise Stop

    seen = []
    with pytest.raises(Stop):
        train(tmp_path, on_epoch=broken, checkpoint_every_s=0)
    train(tmp_path, on_epoch=lambda _, epoch: seen.append(epoch))
    assert seen == [1, 2]


def test_settings_that_change_no_weights_resume(tmp_path):
    with pytest.raises(Stop):
        train(tmp_path, draw=stopping_at(5), checkpoint_every_s=0)
    assert train(tmp_path, pictures_every=1, empty_cache=True, checkpoint_every_s=60.0).resumed_from == 5


def test_channels_last(tmp_path):
    """The convolutions see images with their bands last; what comes out is the same to rounding, in plain layout."""

    class Image(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(2)
            self.layer, self.seen = nn.Conv2d(6, 6, 3), []

        def forward(self, inputs):
            image = inputs["image"] if isinstance(inputs, dict) else inputs
            self.seen.append(image.is_contiguous(memory_format=torch.channels_last))
            assert self.layer.weight.is_contiguous(memory_format=torch.channels_last) == self.seen[-1]
            return self.layer(image)

    def images(number, device):
        generator = torch.Generator().manual_seed(number)
        made = torch.randn(2, 6, 8, 8, generator=generator).to(device)
        return {"input": made, "target": made[..., 1:-1, 1:-1], "scale": torch.ones(2, device=device)}

    plain = train(tmp_path / "plain", model=Image(), draw=images, rate_factor=None)
    other = train(tmp_path / "other", model=Image(), draw=images, rate_factor=None, channels_last=True)
    assert not any(plain.model.seen)
    assert all(other.model.seen)
    assert other.model.layer.weight.is_contiguous()
    torch.testing.assert_close(other.model.layer.weight, plain.model.layer.weight)
