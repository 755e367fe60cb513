"""How long, how fast and how carefully a model is trained: the settings that all trained methods share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Literal

from hsipipe.errors import UserError
from hsipipe.settings import check
from hsipipe.training.learning_rates import LearningRate

SCALED = ("exponential", "piecewise", "one-cycle")


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of `hsipipe.training.loop.run_training`; see each field's meaning.

    A step is one update of the weights. It sees `batch_size * accumulate` samples.
    """

    epochs: int = field(default=50, metadata={"meaning": "epochs at most; validation follows each", "minimum": 1})
    steps_per_epoch: int = field(default=250, metadata={"meaning": "updates of the weights per epoch", "minimum": 1})
    batch_size: int = field(default=16, metadata={"meaning": "samples drawn at once", "minimum": 1})
    accumulate: int = field(
        default=1,
        metadata={"meaning": "batches whose gradients are averaged into one step (less memory)", "minimum": 1},
    )
    learning_rate: float = field(default=1e-3, metadata={"meaning": "learning rate after the warm-up", "above": 0})
    weight_decay: float = field(default=0.0, metadata={"meaning": "weight decay of the optimiser", "minimum": 0})
    optimizer: Literal["adam", "adamw", "adamw8bit"] = field(
        default="adam",
        metadata={
            "meaning": "adam (decay as an L2 penalty), adamw (decoupled decay), "
            "adamw8bit (adamw with its state in 8 bits; needs bitsandbytes)"
        },
    )
    schedule: Literal["constant", "cosine", "steps", "exponential", "piecewise", "one-cycle"] = field(
        default="constant",
        metadata={
            "meaning": "constant; cosine: half of one down to 0; steps: falling at the epochs of `step_epochs`; "
            "exponential: a staircase by `decay_rate`; piecewise: `rate_values` after `rate_bounds`; one-cycle: up "
            "over 30 % of all steps, then down"
        },
    )
    step_epochs: tuple[int, ...] = field(
        default=(),
        metadata={"meaning": "epochs after which schedule `steps` lowers the rate; else unused", "minimum": 1},
    )
    step_factor: float = field(
        default=0.1, metadata={"meaning": "what schedule `steps` multiplies the rate by", "above": 0, "maximum": 1}
    )
    decay_rate: float = field(
        default=0.5,
        metadata={
            "meaning": "what schedule `exponential` multiplies the rate by every `decay_every`",
            "above": 0,
            "maximum": 1,
        },
    )
    decay_every: int = field(
        default=1000,
        metadata={"meaning": "steps or epochs (see `rate_unit`) between falls of `exponential`", "minimum": 1},
    )
    rate_bounds: tuple[int, ...] = field(
        default=(),
        metadata={
            "meaning": "steps or epochs (see `rate_unit`) after which `piecewise` takes its next value; else unused",
            "minimum": 1,
        },
    )
    rate_values: tuple[float, ...] = field(
        default=(), metadata={"meaning": "learning rates of `piecewise`, one after each of `rate_bounds`", "above": 0}
    )
    rate_unit: Literal["steps", "epochs"] = field(
        default="steps", metadata={"meaning": "what `decay_every` and `rate_bounds` count"}
    )
    warmup_steps: int = field(default=0, metadata={"meaning": "steps over which the rate rises linearly", "minimum": 0})
    gradient_clip: float | None = field(
        default=None, metadata={"meaning": "largest norm of the gradient of all weights; null: no clipping", "above": 0}
    )
    patience: int | None = field(
        default=None,
        metadata={"meaning": "epochs without improvement before stopping; null: never", "minimum": 1},
    )
    min_delta: float = field(
        default=0.0,
        metadata={
            "meaning": "smallest change that `patience` takes for an improvement; the best weights are kept anyway",
            "minimum": 0,
        },
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = field(
        default="auto",
        metadata={
            "meaning": "auto: bfloat16 autocast on a GPU that has it, float32 elsewhere; float16: autocast with the "
            "loss scaled, for GPUs without bfloat16"
        },
    )
    checkpoint_every_s: float = field(
        default=120.0,
        metadata={"meaning": "seconds between checkpoints within an epoch", "minimum": 0, "neutral": True},
    )
    compile: bool = field(default=False, metadata={"meaning": "compile the model with torch.compile"})
    channels_last: bool = field(
        default=False, metadata={"meaning": "keep images with their bands last in memory: faster 2-D convolutions"}
    )
    pictures_every: int | None = field(
        default=None,
        metadata={"meaning": "epochs between sample pictures; null: only at the end", "minimum": 1, "neutral": True},
    )
    watch: bool = field(
        default=False,
        metadata={
            "meaning": "tell the norm of the gradient, the seconds of drawing batches and the memory of every epoch",
            "neutral": True,
        },
    )
    save_epochs: tuple[int, ...] = field(
        default=(),
        metadata={
            "meaning": "epochs after which the model is kept in a file of its own besides (autoencoders of spectra)",
            "minimum": 1,
        },
    )
    empty_cache: bool = field(
        default=False,
        metadata={
            "meaning": "hand unused GPU memory back to the driver before training (the paper's --empty_cache)",
            "neutral": True,
        },
    )

    def __post_init__(self) -> None:
        check(self)
        if self.schedule == "steps" and not self.step_epochs:
            raise UserError("schedule `steps` needs epochs", key="step_epochs", remedy="e.g. step_epochs: [40, 45]")
        if list(self.step_epochs) != sorted(set(self.step_epochs)):
            raise UserError("must rise", key="step_epochs", found=list(self.step_epochs))
        if self.schedule in SCALED:
            self._scaled_rate()  # refuses bounds and values that do not fit together

    def draws_pictures_at(self, epoch: int) -> bool:
        """Whether sample pictures are drawn after epoch `epoch` (from 1), besides those of the finished model."""
        return self.pictures_every is not None and epoch % self.pictures_every == 0

    @property
    def total_steps(self) -> int:
        """Updates of the weights if no early stopping intervenes."""
        return self.epochs * self.steps_per_epoch

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of step `step` (from 0): a pure function, so that resuming needs no scheduler state."""
        if self.schedule in SCALED:
            warm = min((step + 1) / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
            return warm * self._scaled_rate().at(step)
        factor = 1.0
        if self.schedule == "cosine":
            beyond = max(0, step - self.warmup_steps)
            length = max(1, self.total_steps - self.warmup_steps)
            factor = 0.5 * (1 + math.cos(math.pi * min(1.0, beyond / length)))
        elif self.schedule == "steps":
            factor = self.step_factor ** sum(step >= epoch * self.steps_per_epoch for epoch in self.step_epochs)
        if step < self.warmup_steps:
            factor *= (step + 1) / self.warmup_steps
        return self.learning_rate * factor

    def _scaled_rate(self) -> LearningRate:
        """The schedules that only count steps."""
        by_epoch = self.rate_unit == "epochs"
        unit = self.steps_per_epoch if by_epoch else 1
        # A rate holds up to and including the step of its bound: that of an epoch is its last.
        bounds = [bound * unit - by_epoch for bound in self.rate_bounds]
        return LearningRate(
            self.schedule,
            self.learning_rate,
            self.total_steps,
            decay=self.decay_rate,
            decay_steps=self.decay_every * unit,
            bounds=bounds,
            values=self.rate_values,
        )


# Settings that do not change which weights come out: no part of a training's key.
NEUTRAL_SETTINGS = tuple(item.name for item in fields(TrainingSettings) if item.metadata.get("neutral"))
