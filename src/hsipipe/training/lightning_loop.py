"""The training loop as a Lightning module. Importing this module imports Lightning (about ten seconds)."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn
from tqdm import tqdm

from hsipipe.errors import UserError, unknown
from hsipipe.randomness import seed_for
from hsipipe.training import ranks
from hsipipe.training.loop import Batch, Recipe
from hsipipe.training.optimizers import set_learning_rate
from hsipipe.training.out_of_memory import memory_told
from hsipipe.training.state import LAST, Progress, StateFolder, weights_of
from hsipipe.training.watch import Watch

# On a GPU, looking at a loss waits for all work queued before it; so losses are looked at in groups.
LOOK_EVERY = 25

log = logging.getLogger(__name__)


class TrainingLoop(lightning.LightningModule):
    """Steps, epochs, validation, checkpoints and early stopping; all that must survive a kill is in `state`."""

    def __init__(
        self,
        recipe: Recipe,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        folder: StateFolder,
        state: Progress,
        device: torch.device,
    ) -> None:
        super().__init__()
        # Manual optimisation: one Lightning batch is one step with all its accumulated batches, so that the end of
        # every Lightning batch is a point to save at and no gradient has to be saved.
        self.automatic_optimization = False
        self.recipe, self.model, self.folder, self.state = recipe, model, folder, state
        self.network: Any = torch.compile(model) if recipe.settings.compile else model
        self._optimizer = optimizer
        self._device_used = device
        self._unseen: list[tuple[int, Tensor]] = []
        self._saved_at = self._clock = time.monotonic()
        self._watch = Watch(device) if recipe.settings.watch else None
        # Gradients of float16 underflow; the scaler multiplies the loss, divides the gradients, and leaves out a step
        # in which they overflowed. Otherwise it does nothing.
        self._scaler = torch.amp.GradScaler(
            device.type, init_scale=1024.0, enabled=recipe.settings.precision == "float16"
        )
        if state.loss_scale:
            self._scaler.load_state_dict(state.loss_scale)
        self.bar: tqdm | None = None
        if state.loss_count and self.epoch_is_complete:
            self.end_epoch()  # the attempt before was killed during validation

    @property
    def epoch_is_complete(self) -> bool:
        """Whether the running epoch has had all its steps."""
        return self.state.step % self.recipe.settings.steps_per_epoch == 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to train."""
        return self.state.stopped or self.state.step >= self.recipe.settings.total_steps

    def train_dataloader(self) -> range:
        """The numbers of the steps left in this epoch; the batches themselves are drawn on the device."""
        per_epoch = self.recipe.settings.steps_per_epoch
        return range(self.state.step, (self.state.step // per_epoch + 1) * per_epoch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser, as it was made or restored."""
        return self._optimizer

    def training_step(self, step: int) -> None:
        """One update of the weights."""
        with memory_told(f"step {step}", self.recipe.settings, self._device_used, self.folder.folder / LAST):
            self._update(step)

    def _update(self, step: int) -> None:
        settings = self.recipe.settings
        optimizer: Any = self.optimizers()
        set_learning_rate(optimizer, settings.learning_rate_at(step))
        optimizer.zero_grad()
        for number in range(step * settings.accumulate, (step + 1) * settings.accumulate):
            started = time.monotonic()
            batch = self._draw(number)
            if self._watch is not None:
                self._watch.drawn(time.monotonic() - started)
            with torch.autocast(self._device_used.type, torch.float16) if self._scaler.is_enabled() else nullcontext():
                value = self.recipe.loss(self.network, batch)
            self.manual_backward(self._scaler.scale(value / settings.accumulate))
            self._unseen.append((step, ranks.mean(value.detach())))
        self._scaler.unscale_(optimizer)
        if self._watch is not None:
            self._watch.see_gradients(self.model)
        if settings.gradient_clip is not None:
            self.clip_gradients(optimizer, settings.gradient_clip, gradient_clip_algorithm="norm")
        self._scaler.step(optimizer)
        self._scaler.update()

    def _draw(self, number: int) -> Batch:
        """Batch `number`, or this rank's slice of it, after seeding torch for it."""
        torch.manual_seed(seed_for(self.recipe.seed, "batch", number))
        with torch.autocast(self._device_used.type, enabled=False):  # data are made in full precision
            batch = self.recipe.draw_batch(number, self._device_used)
        batch = ranks.own_slice(batch, self.recipe.settings.batch_size)
        if not ranks.is_main():
            # What the network draws itself (dropout, hidden tokens) must not be the same for every slice.
            torch.manual_seed(seed_for(self.recipe.seed, "batch", number, "rank", ranks.number()))
        if not self.recipe.settings.channels_last:
            return batch
        return {
            name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            for name, value in batch.items()
        }

    def on_train_batch_end(self, *_: Any) -> None:
        """Count the step, look at the losses, save when it is time or when the process was told to end."""
        self.state.step += 1
        terminated = self.trainer.received_sigterm or ranks.is_stopping()
        due = time.monotonic() - self._saved_at >= self.recipe.settings.checkpoint_every_s
        if due or terminated or self._device_used.type == "cpu" or len(self._unseen) >= LOOK_EVERY:
            self._look_at_losses()
        if self.bar is not None:
            self.bar.update()
        if due or terminated:
            self.save()
        if terminated:
            log.info("terminated at step %d; the state is saved", self.state.step)
            raise SystemExit(143)

    def on_train_epoch_end(self) -> None:
        """Validate, save, and stop if nothing improved for long enough."""
        self.end_epoch()
        self.trainer.should_stop = self.state.stopped

    def end_epoch(self) -> None:
        """Validate and append a row to the history."""
        state, settings = self.state, self.recipe.settings
        self._look_at_losses()
        train_loss = state.loss_sum / state.loss_count
        epoch = state.step // settings.steps_per_epoch
        with memory_told(f"validation of epoch {epoch}", settings, self._device_used, self.folder.folder / LAST):
            metrics = ranks.from_main(self._validate)
        choices = {**metrics, "train_loss": train_loss}
        if self.recipe.validate is None:
            choices["loss"] = train_loss
        if self.recipe.monitor not in choices:
            raise unknown("metric to monitor", self.recipe.monitor, choices)
        value = choices[self.recipe.monitor]
        if self.recipe.on_epoch is not None and ranks.is_main():
            with self._evaluating():
                self.recipe.on_epoch(self.model, epoch)
        self._count_time()
        state.history.append(
            {
                "epoch": epoch,
                "step": state.step,
                "learning_rate": settings.learning_rate_at(state.step - 1),
                "train_loss": train_loss,
                **metrics,
                **(self._watch.end_epoch() if self._watch is not None else {}),
                "seconds": round(state.epoch_seconds, 3),
            }
        )
        if self._gain(value, state.best_value) > 0:
            state.best_value, state.best_step = value, state.step
            state.best_weights = weights_of(self.model)
        # Small gains are kept, but do not count as progress: `min_delta` is for the patience alone.
        if self._gain(value, state.patience_value) > settings.min_delta:
            state.patience_value, state.waited = value, 0
        else:
            state.waited += 1
        state.stopped = settings.patience is not None and state.waited >= settings.patience
        state.loss_sum, state.loss_count, state.epoch_seconds = 0.0, 0, 0.0
        self.save()
        shown = ", ".join(f"{name} {number:.5g}" for name, number in state.history[-1].items() if name != "epoch")
        log.info("epoch %d of %d: %s", state.history[-1]["epoch"], settings.epochs, shown)

    def _validate(self) -> dict[str, float]:
        if self.recipe.validate is None:
            return {}
        with self._evaluating():
            return {name: float(value) for name, value in self.recipe.validate(self.model).items()}

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Evaluation mode, no gradients, generators seeded by the step; afterwards all is as before."""
        # A part that its method keeps in evaluation mode (a frozen encoder) must be in that mode again afterwards.
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        with torch.random.fork_rng(devices=[0] if self._device_used.type == "cuda" else []), torch.no_grad():
            torch.manual_seed(seed_for(self.recipe.seed, "validation", self.state.step))
            yield
        for module, mode in modes:
            module.training = mode

    def _gain(self, value: float, before: float | None) -> float:
        """By how much a monitored value is better than one before; what is no number is worse than all."""
        if not math.isfinite(value):
            return -math.inf
        if before is None:
            return math.inf
        return before - value if self.recipe.mode == "min" else value - before

    def _look_at_losses(self) -> None:
        """Add the losses not yet looked at to the epoch's sum, in their order; refuse what is not a number."""
        if not self._unseen:
            return
        values = torch.stack([value.float() for _, value in self._unseen]).tolist()
        for (step, _), value in zip(self._unseen, values, strict=True):
            if not math.isfinite(value):
                raise self._diverged(f"the loss became {value}", step)
            self.state.loss_sum += value
            self.state.loss_count += 1
        self._unseen.clear()
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{self.state.loss_sum / self.state.loss_count:.4g}", refresh=False)

    def _diverged(self, what: str, step: int) -> UserError:
        settings = self.recipe.settings
        path = self.folder.folder / LAST
        kept = f"the last checkpoint with finite weights is {path}; " if path.exists() else ""
        rate = settings.learning_rate_at(step)
        rates = [rate * group["rate_factor"] for group in self._optimizer.param_groups]
        by_group = "" if rates == [rate] else f" (of the groups: {', '.join(f'{each:g}' for each in rates)})"
        return UserError(
            f"{what} at step {step} (epoch {step // settings.steps_per_epoch + 1}), learning rate {rate:g}{by_group}",
            key="learning_rate",
            remedy=f"{kept}lower learning_rate, set gradient_clip, or precision: float32",
        )

    def _count_time(self) -> None:
        now = time.monotonic()
        self.state.epoch_seconds += now - self._clock
        self._clock = now

    def save(self) -> None:
        """Save the state, unless its weights are no longer finite (a loss can be finite and its gradient not)."""
        finite = [torch.isfinite(value).all() for value in self.model.parameters() if value.requires_grad]
        if not torch.stack(finite).all():
            raise self._diverged("the weights stopped being finite", self.state.step - 1)
        self._count_time()
        self.state.loss_scale = self._scaler.state_dict()
        self.folder.save(self.model, self._optimizer, self.state)
        self._saved_at = time.monotonic()


def run(loop: TrainingLoop, *, progress: bool, device: torch.device) -> None:
    """Run the epochs that are left."""
    settings = loop.recipe.settings
    # Its messages praise other products and tell what hsipipe.devices.claim has told already.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        num_nodes=ranks.count(),  # each process sees its own device and no other, as if it were a node of its own
        strategy=DDPStrategy(find_unused_parameters=True, timeout=ranks.PATIENCE) if ranks.count() > 1 else "auto",
        use_distributed_sampler=False,  # each rank draws the batch of a step, and takes its slice
        precision=_precision(settings.precision, device),
        max_epochs=settings.epochs - loop.state.step // settings.steps_per_epoch,
        reload_dataloaders_every_n_epochs=1,
        # Inside SLURM Lightning would otherwise take over: check the number of tasks, requeue the job itself.
        plugins=[LightningEnvironment()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,  # it writes to standard output, and counts from 0 again after a resume
        default_root_dir=loop.folder.folder,
    )
    if progress and sys.stderr.isatty() and ranks.is_main():
        loop.bar = tqdm(total=settings.total_steps, initial=loop.state.step, desc="training", unit="step")
    try:
        trainer.fit(loop)
    except SystemExit:
        # Lightning's own exit after SIGTERM has status 0, which would pass for success.
        if trainer.received_sigterm:
            raise SystemExit(143) from None
        raise
    finally:
        if loop.bar is not None:
            loop.bar.close()


def _precision(name: str, device: torch.device) -> Any:
    if name == "auto":
        able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        name = "bfloat16" if able else "float32"
    # Lightning's own float16 refuses the CPU, and clips gradients that it has not unscaled: the loop does it itself.
    return "bf16-mixed" if name == "bfloat16" else "32-true"
