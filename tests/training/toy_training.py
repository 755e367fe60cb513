"""A task that the tests of several processes train: a tiny network, a batch drawn by its number, plain files."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from hsipipe.errors import UserError
from hsipipe.randomness import seed_for
from hsipipe.training import ranks
from hsipipe.training.loop import run_training
from hsipipe.training.settings import TrainingSettings


@dataclass(frozen=True)
class Method:
    """What the launcher asks of a method."""

    name: str = "toy"

    def check_gpus(self, gpus, settings):
        """Refuse what does not divide."""
        if settings["batch_size"] % gpus:
            raise UserError("must be a multiple", key="batch_size", found=settings["batch_size"])


class Network(nn.Module):
    """Convolutions, batch normalisation where asked for, a part that no loss reaches."""

    def __init__(self, *, normalised):
        super().__init__()
        # Without a bias: before a normalisation its gradient is nothing but rounding, which Adam makes large.
        norm = nn.BatchNorm2d(6) if normalised else nn.Identity()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), norm, nn.Tanh(), nn.Conv2d(6, 3, 3))
        self.unused = nn.Linear(2, 2)

    def forward(self, inputs):
        """(B, 3, 8, 8) to (B, 3, 4, 4)."""
        return self.body(inputs)


def draw_batch(number, device):
    """Eight images and their targets, and something that is for all of them."""
    generator = torch.Generator().manual_seed(seed_for("toy", number))
    inputs = torch.randn(8, 3, 8, 8, generator=generator) * 2 + 5
    target = inputs[..., 2:6, 2:6].flip(1)
    return {"input": inputs.to(device), "target": target.to(device), "seed": torch.tensor(number)}


def loss(model, batch):
    """Mean over items."""
    return functional.mse_loss(model(batch["input"]), batch["target"])


def fit(*, method, settings, state, output, normalised=True, slow_s=0.0, fault=None):
    """Train; write the weights, the history and who wrote them. While it trains, `state` tells pids and steps.

    `fault`: "mistake" in every process, "failure" of the last one, both before anything is trained.
    """
    torch.manual_seed(1)
    model = Network(normalised=normalised)
    place = Path(state)
    place.mkdir(parents=True, exist_ok=True)
    (place / f"pid-{ranks.number()}-of-{ranks.count()}").write_text(f"{os.getpid()}")
    if fault == "mistake":
        raise UserError("a mistake of the user", key="toy", found=3)
    if fault == "failure" and ranks.number() == ranks.count() - 1:
        raise ValueError("something\nbroke")

    def draw(number, device):
        if ranks.is_main():
            (place / "drawn").write_text(f"{number}")
        time.sleep(slow_s)
        return draw_batch(number, device)

    def validate(network):
        assert ranks.is_main()
        with torch.no_grad():
            return {"loss": float(loss(network, draw_batch(10**6, torch.device("cpu"))))}

    with ranks.training_lock(state):
        result = run_training(
            model,
            draw_batch=draw,
            validate=validate,
            loss=loss,
            settings=TrainingSettings(**settings),
            state_dir=state,
            key=f"toy-{normalised}",
            seed=0,
            progress=False,
        )
    assert type(result.model.body[1]) is (nn.BatchNorm2d if normalised else nn.Identity)
    torch.save(result.model.state_dict(), output)
    rows = [{**row, "seconds": 0} for row in result.history]
    told = {"history": rows, "resumed_from": result.resumed_from, "ranks": ranks.count(), "method": method.name}
    Path(output).with_suffix(".json").write_text(json.dumps(told))
