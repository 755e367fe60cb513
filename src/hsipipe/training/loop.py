"""`run_training`: the one training loop, for all trained methods of all tasks."""

from __future__ import annotations

import gc
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from hsipipe.devices.claim import current_device
from hsipipe.keys import step_key
from hsipipe.settings import as_plain
from hsipipe.training import ranks
from hsipipe.training.history import Row
from hsipipe.training.optimizers import RateFactor, make_optimizer, parameter_groups, rate_factors
from hsipipe.training.out_of_memory import memory_told
from hsipipe.training.settings import NEUTRAL_SETTINGS, TrainingSettings
from hsipipe.training.state import LAST, Progress, StateFolder

Batch = dict[str, Tensor]
DrawBatch = Callable[[int, torch.device], Batch]
Validate = Callable[[nn.Module], dict[str, float]]
Loss = Callable[[nn.Module, Batch], Tensor]
OnEpoch = Callable[[nn.Module, int], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What to train, as `fit` was given it."""

    draw_batch: DrawBatch
    validate: Validate | None
    loss: Loss
    settings: TrainingSettings
    seed: int
    monitor: str
    mode: Literal["min", "max"]
    on_epoch: OnEpoch | None = None


@dataclass(frozen=True)
class TrainingResult:
    """How a training went.

    Attributes:
        model: the module given to `fit`, with the weights of the best epoch, in evaluation mode, on the CPU.
        history: one row per epoch: epoch (from 1), step, learning_rate (before the factors of groups), train_loss,
            validation metrics, seconds.
        best_value: best value of the monitored metric, or None if it never was a number.
        best_epoch: the epoch that it belongs to.
        steps: updates done.
        seconds: wall seconds of all epochs, over all attempts.
        stopped_early: whether `patience` ended it.
        resumed_from: the step that this call continued from (0: from the start; `steps`: it had ended before).
        trained_on: devices of the last attempt, such as `2 x NVIDIA A100`.
    """

    model: nn.Module
    history: list[Row]
    best_value: float | None
    best_epoch: int
    steps: int
    seconds: float
    stopped_early: bool
    resumed_from: int
    trained_on: str


def run_training(
    model: nn.Module,
    *,
    draw_batch: DrawBatch,
    validate: Validate | None,
    loss: Loss,
    settings: TrainingSettings,
    state_dir: str | Path,
    key: str,
    seed: int,
    monitor: str = "loss",
    mode: Literal["min", "max"] = "min",
    rate_factor: RateFactor | None = None,
    on_epoch: OnEpoch | None = None,
    before: Callable[[], None] | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train a model; continue where a killed attempt left off; return at once if this training ended before.

    Where several processes train together (`hsipipe.training.ranks`), each draws the whole batch and computes on its
    slice; rank 0 validates and writes, and it alone returns.

    On the CPU a resumed training ends with the same weights, bit by bit, as an undisturbed one, provided that the
    model comes with the same initial weights (seed torch before building it), that `draw_batch` is a function of its
    arguments, and that the number of threads is the same. Torch's global generators are seeded for each batch from
    (seed, number of the batch), so that dropout repeats as well; after `fit` they are as they were.

    Args:
        model: any module; parameters with `requires_grad=False` stay as they are. Trained on the claimed device.
        draw_batch: (number of the batch from 0, device) to a dictionary of tensors on that device. Step k takes batches
            k * accumulate to (k + 1) * accumulate - 1.
        validate: called after each epoch without gradients, with the model in evaluation mode; returns metrics by name.
        loss: (model, batch) to a scalar; under autocast where the precision asks for it.
        settings: see there.
        state_dir: folder for the state of this training alone.
        key: a hash of everything that the result depends on; another key, seed or setting there means to start anew.
        monitor: the metric that decides on the best epoch and on early stopping: one of `validate`'s, or `train_loss`;
            without `validate`, `loss` is the training loss.
        mode: whether a lower or a higher monitored value is better.
        rate_factor: name of a trained parameter to the factor on its learning rate, above 0; without it all have 1.
            Parameters of one factor form a group of the optimiser.
        on_epoch: called with (model, epoch from 1) after each validation, without gradients, the model in evaluation
            mode; for pictures and the like. It must leave the weights alone; what it draws from torch's generators
            changes nothing. A resumed training calls it again for an epoch whose end was not saved.
        before: called before all else, unless this training ended before; for what costs much and only training needs.
        progress: whether to show a bar on a terminal; each epoch is logged anyway.

    Raises:
        UserError: the loss or the weights stopped being finite (naming step and learning rate; the last checkpoint,
            with finite weights, stays), memory was not enough (naming the step and what to change; the checkpoint
            stays), `monitor` is not among the metrics, adamw8bit without bitsandbytes, or a state folder that holds
            weights of another architecture.
        SystemExit: with 143, after SIGTERM; the state is saved first. With 0, in all ranks but 0.
    """
    factors = rate_factors(model, rate_factor)
    identity = {
        "key": key,
        "seed": seed,
        "settings": {name: value for name, value in as_plain(settings).items() if name not in NEUTRAL_SETTINGS},
        "monitor": [monitor, mode],
        "rate_factors": step_key(factors),
    }
    # Rank 0 clears a folder of another training before the others look into it.
    folder = ranks.main_first(lambda: StateFolder(Path(state_dir), identity, writes=ranks.is_main()))
    ended = folder.finished(model)
    if ended is not None:
        log.info("this training ended before, at step %d; its weights are taken", ended.step)
        ranks.end_helper()
        return _result(model.cpu().eval(), ended, resumed_from=ended.step)

    if before is not None:
        before()
    target = torch.device(current_device().torch_name)
    _tidy(target, settings)
    with memory_told("the start", settings, target, folder.folder / LAST):
        model.to(target)
        if _reorders_weights(settings):
            model.to(memory_format=torch.channels_last)
        optimizer = make_optimizer(parameter_groups(model, factors), settings)
        state = folder.load(model, optimizer)
    state.trained_on = f"{ranks.count()} x {torch.cuda.get_device_name(target) if target.type == 'cuda' else 'CPU'}"
    resumed_from = state.step
    if resumed_from:
        log.info("continuing at step %d of %d", resumed_from, settings.total_steps)

    # Importing Lightning takes about ten seconds: only a training that has steps to do pays for it.
    from hsipipe.training import lightning_loop

    recipe = Recipe(draw_batch, validate, loss, settings, seed, monitor, mode, on_epoch)
    model.train()
    with (
        torch.random.fork_rng(devices=[0] if target.type == "cuda" else []),
        warnings.catch_warnings(),
        ranks.shared_batch_statistics(model),
    ):
        # Lightning advises loader workers and validation loaders, of which there are none by design.
        warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\..*")
        loop = lightning_loop.TrainingLoop(recipe, model, optimizer, folder, state, target)
        if not loop.is_done:
            lightning_loop.run(loop, progress=progress, device=target)
    ranks.end_helper()
    if state.best_weights is not None:
        model.load_state_dict(state.best_weights)
    if _reorders_weights(settings):
        model.to(memory_format=torch.contiguous_format)
    folder.finish(model, state)
    return _result(model.cpu().eval(), state, resumed_from=resumed_from)


def _result(model: nn.Module, state: Progress, *, resumed_from: int) -> TrainingResult:
    steps_per_epoch = state.history[0]["step"] if state.history else 1
    return TrainingResult(
        model=model,
        history=state.history,
        best_value=state.best_value,
        best_epoch=int(state.best_step // steps_per_epoch),
        steps=state.step,
        seconds=math.fsum(row["seconds"] for row in state.history),
        stopped_early=state.stopped,
        resumed_from=resumed_from,
        trained_on=state.trained_on,
    )


def _tidy(device: torch.device, settings: TrainingSettings) -> None:
    """Hand GPU memory that nothing uses back to the driver, if that is asked for."""
    if settings.empty_cache and device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def _reorders_weights(settings: TrainingSettings) -> bool:
    """Whether weights are stored with their channels last: bitsandbytes would undo that at its first step, and with it
    the order that its state was made in."""
    return settings.channels_last and settings.optimizer != "adamw8bit"
