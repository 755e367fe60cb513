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
from hsipipe.training.loop import fit as run_training
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
    """Convolution, batch normalisation, a part that no loss reaches."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh(), nn.Conv2d(6, 3, 3))
        self.unused = nn.Linear(2, 2)

    def forward(self, inputs):
        """(B, 3, 8, 8) to (B, 3, 4, 4)."""
        return self.body(inputs)


def draw_batch(number, device):
    """Eight images and their targets; a seed for all."""
    generator = torch.Generator().manual_seed(seed_for("toy", number))
    inputs = torch.randn(8, 3, 8, 8, generator=generator) * 2 + 5
    target = inputs[..., 2:6, 2:6].flip(1)
    return {"input": inputs.to(device), "target": target.to(device), "seed": torch.tensor(number)}


def loss(model, batch):
    """Mean over items."""
    return functional.mse_loss(model(batch["input"]), batch["target"])


def fit(*, method, settings, state, output, slow_s=0.0, fail_at=None):
    """Train; write the weights, the history and who wrote them."""
    torch.manual_seed(1)
    model = Network()
    (Path(state) / "pids").mkdir(parents=True, exist_ok=True)
    (Path(state) / "pids" / f"{ranks.number()}-of-{ranks.count()}").write_text(f"{os.getpid()}")

    def draw(number, device):
        time.sleep(slow_s)
        if number == fail_at:
            raise UserError("a mistake of the user", key="toy", found=number)
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
            key="toy",
            seed=0,
            progress=False,
        )
    assert type(result.model.body[1]) is nn.BatchNorm2d
    torch.save(result.model.state_dict(), output)
    rows = [{**row, "seconds": 0} for row in result.history]
    told = {"history": rows, "resumed_from": result.resumed_from, "ranks": ranks.count(), "method": method.name}
    Path(output).with_suffix(".json").write_text(json.dumps(told))
