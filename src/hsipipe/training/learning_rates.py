"""Learning rates over the steps of a training, as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hsipipe.errors import UserError, unknown

RATES = ("constant", "cosine", "exponential", "piecewise", "one-cycle")


@dataclass(frozen=True)
class LearningRate:
    """The learning rate of each step; all numbers of steps are updates of the weights, not epochs.

    - constant;
    - cosine: half a cosine from `start` down to 0 over `steps`;
    - exponential: `start` * `decay` ^ floor(step / decay_steps), a staircase;
    - piecewise: `start` up to and including step `bounds[0]`, then `values[0]` up to `bounds[1]`, and so on;
    - one-cycle: from start / 25 up to `start` over the first 30 % of `steps`, then down to start / 250,000, both along
      half cosines (L. N. Smith and N. Topin, Super-convergence, 2019, doi:10.1117/12.2520589).

    Attributes: kind: one of `RATES`; start: the rate that the kind scales; steps: how many there are in all; decay,
    decay_steps: of exponential; bounds, values: of piecewise, of one length.
    """

    kind: str
    start: float
    steps: int
    decay: float = 0.5
    decay_steps: int = 1000
    bounds: Sequence[int] = ()
    values: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.kind not in RATES:
            raise unknown("learning rate schedule", self.kind, RATES)
        if self.kind == "piecewise" and (len(self.bounds) != len(self.values) or not self.bounds):
            found = f"{len(self.bounds)} bounds, {len(self.values)} values"
            raise UserError("a piecewise rate needs a value after each bound", key="rate_bounds", found=found)
        if list(self.bounds) != sorted(set(self.bounds)):
            raise UserError("must rise", key="rate_bounds", found=list(self.bounds))
        if self.decay_steps < 1:
            raise UserError("must be at least 1", key="decay_steps", found=self.decay_steps)

    def at(self, step: int) -> float:
        """The rate of a step, from 0."""
        if self.kind == "cosine":
            return self.start * _half_cosine(step / max(self.steps, 1))
        if self.kind == "exponential":
            return self.start * self.decay ** (step // self.decay_steps)
        if self.kind == "piecewise":
            return [self.start, *self.values][sum(step > bound for bound in self.bounds)]
        if self.kind == "one-cycle":
            first, top = 0.3 * self.steps - 1, self.steps - 1
            low, end = self.start / 25, self.start / 250_000
            if step <= first:
                return self.start + (low - self.start) * _half_cosine(step / max(first, 1))
            return end + (self.start - end) * _half_cosine((step - first) / max(top - first, 1))
        return self.start


def _half_cosine(share: float) -> float:
    """From 1 at 0 down to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))
