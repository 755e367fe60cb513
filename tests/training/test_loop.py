import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import pytest
import torch
from torch import nn
from torch.nn import functional

from hsipipe.errors import UserError
from hsipipe.randomness import seed_for
from hsipipe.training.history import draw_history, read_history
from hsipipe.training.loop import run_training
from hsipipe.training.settings import TrainingSettings

SETTINGS = {"epochs": 3, "steps_per_epoch": 4, "batch_size": 8, "learning_rate": 0.01, "accumulate": 2}


def make_model():
    """A network with what makes resuming hard: dropout (random) and batch normalisation (running statistics)."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 1))


def draw_batch(number, device):
    generator = torch.Generator().manual_seed(seed_for("case", 0, number))
    inputs = torch.randn(8, 6, generator=generator)
    return {"input": inputs.to(device), "target": inputs.sum(1, keepdim=True).to(device)}


def loss(model, batch):
    return functional.mse_loss(model(batch["input"]), batch["target"])


def validate(model):
    assert not model.training
    batch = draw_batch(10**6, torch.device("cpu"))
    return {"loss": float(loss(model, batch).detach()), "bias": float(model[-1].bias.detach())}


def train(
    folder, *, draw=draw_batch, check=validate, model=None, key="k", seed=0, monitor="loss", mode="min", **changes
):
    settings = TrainingSettings(**{**SETTINGS, **changes})
    return run_training(
        model or make_model(),
        draw_batch=draw,
        validate=check,
        loss=loss,
        settings=settings,
        state_dir=folder,
        key=key,
        seed=seed,
        monitor=monitor,
        mode=mode,
        progress=False,
    )


def equal(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Stop(Exception):
    """Stands for whatever ends a process in the middle of a step."""


def stopping_at(number):
    def draw(current, device):
        if current == number:
            raise Stop
        return draw_batch(current, device)

    return draw


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(folder), folder


def test_training_learns_and_tells(undisturbed):
    result, folder = undisturbed
    assert not equal(result.model, make_model())
    assert not result.model.training
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert [row["step"] for row in result.history] == [4, 8, 12]
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert result.best_value == min(row["loss"] for row in result.history) == validate(result.model)["loss"]
    assert (result.steps, result.resumed_from, result.stopped_early) == (12, 0, False)
    assert sorted(path.name for path in folder.iterdir()) == ["finished.pt", "history.csv", "key.json"]
    assert read_history(folder / "history.csv") == result.history


def test_equals_a_plain_loop(tmp_path):
    """The same updates written out in plain torch: accumulation, clipping, cosine rate, seeds."""
    settings = TrainingSettings(**SETTINGS, schedule="cosine", gradient_clip=0.5, weight_decay=0.01, optimizer="adamw")
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.01)
    for step in range(12):
        optimizer.param_groups[0]["lr"] = settings.learning_rate_at(step)
        optimizer.zero_grad()
        for number in (2 * step, 2 * step + 1):
            torch.manual_seed(seed_for(0, "batch", number))
            (loss(model, draw_batch(number, "cpu")) / 2).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    result = train(
        tmp_path,
        check=None,
        monitor="train_loss",
        schedule="cosine",
        gradient_clip=0.5,
        weight_decay=0.01,
        optimizer="adamw",
    )
    assert result.best_epoch == 3
    assert equal(result.model, model)


@pytest.mark.parametrize("number", [1, 11, 16])
def test_resumes_exactly(tmp_path, undisturbed, number):
    with pytest.raises(Stop):
        train(tmp_path, draw=stopping_at(number), checkpoint_every_s=0)
    result = train(tmp_path, draw=draw_batch)
    assert result.resumed_from == number // 2
    assert equal(result.model, undisturbed[0].model)
    for mine, other in zip(result.history, undisturbed[0].history, strict=True):
        assert {**mine, "seconds": 0} == {**other, "seconds": 0}


def test_resumes_after_a_kill_during_validation(tmp_path, undisturbed):
    def broken(_):
        raise Stop

    with pytest.raises(Stop):
        train(tmp_path, check=broken, checkpoint_every_s=0)
    result = train(tmp_path)
    assert result.resumed_from == 4
    assert equal(result.model, undisturbed[0].model)


CHILD = """
import sys, time
sys.path.insert(0, {here!r})
import test_loop
def slow(number, device):
    time.sleep(0.1)
    return test_loop.draw_batch(number, device)
test_loop.train({folder!r}, draw=slow, checkpoint_every_s=0.15)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_process_resumes_exactly(tmp_path, undisturbed, number):
    code = CHILD.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    patience = time.monotonic() + 120
    while not (tmp_path / "last.ckpt").exists() or len(read_history(tmp_path / "history.csv")) < 1:
        assert child.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.02)
    time.sleep(0.35)  # into the second epoch
    child.send_signal(number)
    status = child.wait(timeout=60)
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 143)
    assert not (tmp_path / "finished.pt").exists()
    result = train(tmp_path)
    assert 4 <= result.resumed_from < 12
    assert equal(result.model, undisturbed[0].model)
    with open(tmp_path / "history.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_finished_training_returns_at_once(tmp_path):
    def forbidden(*_):
        raise AssertionError("trained again")

    first = train(tmp_path)
    second = train(tmp_path, draw=forbidden, check=forbidden)
    assert equal(first.model, second.model)
    assert second.resumed_from == second.steps == 12
    assert second.history == first.history
    assert second.best_value == first.best_value


@pytest.mark.parametrize("change", [{"key": "other"}, {"seed": 1}, {"learning_rate": 0.02}])
def test_anything_else_starts_anew(tmp_path, change):
    with pytest.raises(Stop):
        train(tmp_path, draw=stopping_at(11), checkpoint_every_s=0)
    (tmp_path / "mine.txt").write_text("kept")
    result = train(tmp_path, **change)
    assert result.resumed_from == 0
    assert (tmp_path / "mine.txt").exists()
    stored = json.loads((tmp_path / "key.json").read_text())
    assert stored["key"] == change.get("key", "k")


def test_a_damaged_checkpoint_starts_anew(tmp_path, undisturbed):
    with pytest.raises(Stop):
        train(tmp_path, draw=stopping_at(11), checkpoint_every_s=0)
    content = (tmp_path / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(content[: len(content) // 2])
    result = train(tmp_path)
    assert result.resumed_from == 0
    assert equal(result.model, undisturbed[0].model)


def test_early_stopping_keeps_the_best(tmp_path):
    values = iter([1.0, 3.0, 2.0, 2.5, 9.0])
    kept = []

    def check(model):
        kept.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"psnr": next(values)}

    result = train(tmp_path, check=check, monitor="psnr", mode="max", epochs=5, patience=2)
    assert result.stopped_early
    assert len(result.history) == 4
    assert (result.best_value, result.best_epoch) == (3.0, 2)
    assert all(torch.equal(kept[1][name], value) for name, value in result.model.state_dict().items())


def test_small_gains_are_kept_but_try_the_patience(tmp_path):
    values = iter([1.0, 0.99, 0.98, 0.5, 0.49])
    result = train(tmp_path, check=lambda _: {"loss": next(values)}, epochs=5, patience=2, min_delta=0.1)
    assert result.stopped_early
    assert len(result.history) == 3
    assert (result.best_value, result.best_epoch) == (0.98, 3)


def test_nan_names_step_and_rate_and_keeps_the_checkpoint(tmp_path):
    def poisoned(number, device):
        batch = draw_batch(number, device)
        return {**batch, "target": batch["target"] * float("nan")} if number == 11 else batch

    with pytest.raises(UserError, match=r"loss became nan at step 5 \(epoch 2\), learning rate 0.01"):
        train(tmp_path, draw=poisoned, checkpoint_every_s=0)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["progress"]["step"] == 5
    assert all(torch.isfinite(value).all() for value in content["model"].values())


def test_infinite_weights_are_not_saved(tmp_path):
    class Cliff(torch.autograd.Function):
        """A finite loss with an infinite gradient."""

        @staticmethod
        def forward(_, value):
            return value.clone()

        @staticmethod
        def backward(_, gradient):
            return gradient * float("inf")

    model = make_model()
    with pytest.raises(UserError, match="weights stopped being finite at step 0"):
        run_training(
            model,
            draw_batch=draw_batch,
            validate=None,
            loss=lambda net, batch: Cliff.apply(loss(net, batch)),
            settings=TrainingSettings(**SETTINGS, checkpoint_every_s=0),
            state_dir=tmp_path,
            key="k",
            seed=0,
            progress=False,
        )
    assert not (tmp_path / "last.ckpt").exists()


def test_frozen_parts_stay_and_keep_their_mode(tmp_path):
    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = nn.BatchNorm1d(6), nn.Linear(6, 1)
            self.encoder.requires_grad_(False)

        def train(self, mode=True):
            super().train(mode)
            self.encoder.eval()
            return self

        def forward(self, inputs):
            assert not self.encoder.training
            return self.head(self.encoder(inputs))

    model = Partly()
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    result = train(tmp_path, model=model, check=None)
    assert all(torch.equal(before[name], value) for name, value in result.model.encoder.state_dict().items())
    assert result.best_value == min(row["train_loss"] for row in result.history)
    with pytest.raises(UserError, match="no parameters to train"):
        train(tmp_path / "other", model=model.requires_grad_(False))


def test_unknown_monitor(tmp_path):
    with pytest.raises(UserError, match="did you mean 'loss'"):
        train(tmp_path, monitor="los", epochs=1)


def test_global_generator_is_left_alone(tmp_path):
    model = make_model()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tmp_path, model=model, check=None, epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_watched_training_tells_its_gradients_and_memory_and_learns_the_same(tmp_path, undisturbed):
    result = train(tmp_path, watch=True)
    for mine, other in zip(result.history, undisturbed[0].history, strict=True):
        assert mine["gradient_norm"] > 0
        assert mine["memory_mb"] > 50
        assert 0 <= mine["drawing_seconds"] <= mine["seconds"] + 0.01
        assert mine["train_loss"] == other["train_loss"]
    assert read_history(tmp_path / "history.csv") == result.history


def test_figure_of_the_history(tmp_path, undisturbed):
    result, folder = undisturbed
    draw_history(result.history, tmp_path / "loss.png", title="a training")
    draw_history(folder / "history.csv", tmp_path / "loss.svg")
    image = matplotlib.image.imread(tmp_path / "loss.png")
    assert image.shape[1] == 900
    assert image.std() > 0.01
    assert (tmp_path / "loss.svg").read_text().count("<path") > 10


def test_importing_does_not_import_lightning():
    code = "import sys, hsipipe.training.loop; sys.exit('pytorch_lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_half_precision_learns_clips_and_resumes_exactly(tmp_path, undisturbed):
    settings = {"precision": "float16", "gradient_clip": 0.5, "watch": True}
    whole = train(tmp_path / "whole", **settings)
    assert whole.history[-1]["train_loss"] != undisturbed[0].history[-1]["train_loss"]
    # In float16 a loss has three digits: the course is the same, and the norm is that of unscaled gradients.
    exact = train(tmp_path / "exact", **{**settings, "precision": "float32"})
    for mine, other in zip(whole.history, exact.history, strict=True):
        assert mine["train_loss"] == pytest.approx(other["train_loss"], rel=0.05)
        assert mine["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=0.1)
    with pytest.raises(Stop):
        train(tmp_path / "cut", draw=stopping_at(17), checkpoint_every_s=0, **settings)
    assert equal(train(tmp_path / "cut", **settings).model, whole.model)
