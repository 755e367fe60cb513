"""The processes that train one model together: one for each device, each with its slice of every batch.

A process alone is rank 0 of 1, and everything here then costs nothing. `hsipipe.training.launch` starts the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from hsipipe.locks import held

Value = TypeVar("Value")

# A rank that died is noticed by the launcher, which ends the others. What is left to wait for can take its time: rank 0
# validates, or waits for another process that does the same training.
PATIENCE = timedelta(days=7)
_stop = threading.Event()


def number() -> int:
    """The rank of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main() -> bool:
    """Whether this process is the one that validates, writes and tells."""
    return number() == 0


def join(rank: int, ranks: int, *, cuda: bool) -> None:
    """Meet the other processes at MASTER_ADDR, MASTER_PORT of the environment."""
    # Gradients travel by NCCL between GPUs; what the processes tell each other besides, by gloo.
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    distributed.init_process_group(backend, rank=rank, world_size=ranks, timeout=PATIENCE)


def leave() -> None:
    """Part from the others."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def end_helper() -> None:
    """End this process unless it is rank 0, which goes on alone: what follows a training is done once.

    Raises:
        SystemExit: with 0, in all other ranks.
    """
    if not is_main():
        leave()
        raise SystemExit(0)


def stop() -> None:
    """Ask this process to save after the running step and to end."""
    _stop.set()


def is_stopping() -> bool:
    """Whether `stop` was called."""
    return _stop.is_set()


def main_first(make: Callable[[], Value]) -> Value:
    """Call `make` in rank 0, and in the others once it is done there."""
    if count() == 1:
        return make()
    made = make() if is_main() else None
    distributed.all_reduce(torch.zeros(1))  # nobody passes before all have come here
    return make() if made is None else made


def from_main(make: Callable[[], Value]) -> Value:
    """What `make` gives in rank 0, in all of them; the others do not call it."""
    if count() == 1:
        return make()
    told: list[Any] = [make() if is_main() else None]
    distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
    return told[0]


def mean(value: Tensor) -> Tensor:
    """The mean of a tensor over the ranks, on its device, without waiting for a GPU."""
    if count() == 1:
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / count()


def own_slice(batch: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """This rank's part of a batch of `size` items: of tensors with axes the first is the items; others are for all.

    `size` is a multiple of the number of ranks (see `Method.check_gpus`): the mean over ranks is that over items.
    """
    if count() == 1:
        return batch
    share = size // count()
    part = slice(number() * share, (number() + 1) * share)
    return {name: value[part] if value.ndim else value for name, value in batch.items()}


def training_lock(state: str | Path) -> AbstractContextManager[None]:
    """Keep other processes from the training of a state folder: a killed workflow may leave its training alive, the
    next one waits for it and finds it finished. Rank 0 holds the lock for all."""
    if not is_main():
        return nullcontext()
    return held(Path(state) / "lock", wait=True, busy="another process does this training")


class _Sum(torch.autograd.Function):
    """The sum of a tensor over the ranks. A rank's part acts on every loss, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # noqa: ARG004
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation by the statistics of the whole batch. Unlike torch's own it works on the CPU too, where DDP
    refuses torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input (N, C, ...); running statistics as those of one process with the whole batch."""
        if not self.training and self.running_mean is not None:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        axes = [0, *range(2, input.ndim)]
        # Variance within the ranks and between their means: no difference of large numbers. Under autocast as torch's.
        own_variance, own_mean = torch.var_mean(input.float(), axes, correction=0)
        centre = _Sum.apply(own_mean) / count()
        variance = _Sum.apply(own_variance + (own_mean - centre).square()) / count()
        counter, running_mean, running_variance = self.num_batches_tracked, self.running_mean, self.running_var
        if self.training and counter is not None and running_mean is not None and running_variance is not None:
            counter.add_(1)
            factor = 1 / float(counter) if self.momentum is None else self.momentum
            seen = count() * input.numel() // input.shape[1]
            running_mean.lerp_(centre.detach(), factor)
            running_variance.lerp_(variance.detach() * (seen / max(seen - 1, 1)), factor)
        scale = (variance + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
        shift = -centre * scale + (0 if self.bias is None else self.bias)
        shape = (1, -1, *(1 for _ in axes[1:]))
        return (input * scale.view(shape) + shift.view(shape)).to(input.dtype)


@contextmanager
def shared_batch_statistics(model: nn.Module) -> Iterator[None]:
    """Let every batch normalisation of a model see the whole batch; afterwards its modules are what they were."""
    # Their class is all that changes: parameters, names and the optimiser's view of them stay.
    before = [(module, module.__class__) for module in model.modules() if isinstance(module, _BatchNorm)]
    for module, _ in before if count() > 1 else []:
        module.__class__ = SharedBatchNorm
    try:
        yield
    finally:
        for module, kind in before:
            module.__class__ = kind
