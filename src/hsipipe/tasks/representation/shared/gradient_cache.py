"""Exact gradients of a loss over a large batch in the memory of a small one.

A contrastive loss depends on all samples at once, so adding up the gradients of small batches is another loss. But it
depends on them through their embeddings alone. So: embed all micro-batches without a graph, take the gradient of the
loss with respect to the embeddings, then embed each micro-batch again, with a graph, and carry its share of that
gradient back. L. Gao, Y. Zhang, J. Han and J. Callan, Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup, RepL4NLP 2021, arXiv 2101.06983.

The second pass repeats the first: torch's random state (dropout) and that of given generators are restored for each
micro-batch. What then differs from one pass over the whole batch is batch normalisation: it normalises by the
statistics of the micro-batch, in both passes, so that the gradient is exact for the micro-batch-normalised embeddings,
which are not those of the whole batch. Its running statistics are moved once, by the first pass. Layer, group and
instance normalisation see single samples: with them the result is that of the whole batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _NormBase

from hsipipe.tasks.representation.shared.contrastive import at_least_float32

Outputs = Tensor | tuple[Tensor, ...]
Encode = Callable[[Any], Outputs]
Loss = Callable[..., Tensor]

# Of the largest output: kernels may round otherwise with a graph than without; another dropout mask differs by more.
REPEATED_WITHIN = 0.1


def cached_loss(
    encode: Encode,
    inputs: Sequence[Any],
    loss: Loss,
    *,
    model: nn.Module,
    generators: Sequence[torch.Generator] = (),
) -> Tensor:
    """The loss over all micro-batches as a scalar whose `backward()` gives the exact gradients of the parameters.

    The first pass and the loss are computed here, the second pass in `backward()`. At any time at most one micro-batch
    has a graph. For a training loop that calls `loss(model, batch)` and runs backward on (a multiple of) the value;
    scaled losses and accumulation work as ever. The autocast of this call holds in the second pass as well.

    Args:
        encode: one of the inputs to its outputs: a tensor or a tuple of tensors, each with the samples on axis 0. It
            is called twice for each input and must do the same both times: what it draws must come from torch's own
            generators or from `generators`.
        inputs: the micro-batches in any form that `encode` takes: tensors, dictionaries, slices of something larger.
            They are held until backward; slices keep memory low where `encode` makes the views itself.
        loss: called once, with each output joined along axis 0 over all micro-batches; returns a scalar. Its own
            trained parameters, if they are the model's, get their gradients too. Outputs in float16 or bfloat16
            reach it as float32.
        model: whose parameters with `requires_grad` get gradients.
        generators: generators other than torch's own that `encode` draws from.

    Returns:
        A scalar; without a graph where gradients are disabled.

    Raises:
        ValueError: no inputs, no parameter to train, or outputs that differ in number between micro-batches.
        RuntimeError: in backward, outputs of the first micro-batch that were not repeated (checked on that one alone).
    """
    if not inputs:
        raise ValueError("there are no micro-batches")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("the model has no parameter to train")
    return _CachedLoss.apply(_Cache(encode, inputs, loss, model, tuple(generators)), *parameters)


def micro_batches(batch_size: int, micro_batch: int) -> list[slice]:
    """Slices of at most `micro_batch` samples that cover a batch, as equal as can be (so that none is of one sample).

    >>> micro_batches(10, 4)
    [slice(0, 4, None), slice(4, 7, None), slice(7, 10, None)]
    """
    if batch_size < 1 or micro_batch < 1:
        raise ValueError(f"batch sizes must be at least 1, not {batch_size} and {micro_batch}")
    count = -(-batch_size // micro_batch)
    small, larger = divmod(batch_size, count)
    starts = [index * small + min(index, larger) for index in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(starts)]


@dataclass(frozen=True)
class _Cache:
    """What both passes need."""

    encode: Encode
    inputs: Sequence[Any]
    loss: Loss
    model: nn.Module
    generators: tuple[torch.Generator, ...]

    def outputs(self, given: Any) -> tuple[Tensor, ...]:
        found = self.encode(given)
        return (found,) if isinstance(found, Tensor) else tuple(found)


class _CachedLoss(torch.autograd.Function):
    """The parameters as inputs and the gradients returned, so that hooks and `torch.autograd.grad` work as ever."""

    @staticmethod
    def forward(ctx: Any, cache: _Cache, *parameters: Tensor) -> Tensor:
        ctx.cache, ctx.parameters = cache, parameters
        ctx.precision = _Precision.now(parameters[0].device)
        ctx.random_states, found = [], []
        with ctx.precision.autocast():  # gradients are disabled in a forward of a Function
            for given in cache.inputs:
                ctx.random_states.append(_RandomState.now(parameters[0].device, cache.generators))
                found.append(cache.outputs(given))
        if len({len(outputs) for outputs in found}) > 1:
            raise ValueError("encode gives differing numbers of outputs")
        sizes = [[len(output) for output in outputs] for outputs in found]
        joined = [torch.cat(list(outputs)) for outputs in zip(*found, strict=True)]
        ctx.first = [output.clone() for output in found[0]]
        del found
        # Unscaled gradients underflow in float16, so the loss starts from float32.
        joined = [at_least_float32(output).requires_grad_() for output in joined]
        with torch.enable_grad(), ctx.precision.autocast():
            value = cache.loss(*joined)
        if any(ctx.needs_input_grad):
            gradients = torch.autograd.grad(value, [*joined, *parameters], allow_unused=True)
            ctx.gradients = [
                (None,) * len(lengths) if gradient is None else gradient.split(list(lengths))
                for gradient, lengths in zip(gradients[: len(joined)], zip(*sizes, strict=True), strict=True)
            ]
            ctx.of_loss = gradients[len(joined) :]
        return value.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor | None, ...]:
        (factor,) = received
        totals = [None if gradient is None else gradient * factor for gradient in ctx.of_loss]
        with _running_statistics_kept(ctx.cache.model):
            for number, given in enumerate(ctx.cache.inputs):
                with torch.enable_grad(), ctx.precision.autocast(), ctx.random_states[number].restored():
                    outputs = ctx.cache.outputs(given)
                if number == 0:
                    _check_repeated(ctx.first, outputs)
                pairs = [
                    (output, (gradients[number] * factor).to(output.dtype))
                    for output, gradients in zip(outputs, ctx.gradients, strict=True)
                    if output.requires_grad and gradients[number] is not None
                ]
                if not pairs:
                    continue
                ends, upstream = zip(*pairs, strict=True)
                shares = torch.autograd.grad(ends, ctx.parameters, upstream, allow_unused=True)
                for index, share in enumerate(shares):
                    if share is not None:
                        totals[index] = share if totals[index] is None else totals[index] + share
                # before the next micro-batch, not after
                del outputs, pairs, ends, upstream, shares
        return (None, *totals)


@dataclass(frozen=True)
class _Precision:
    """Autocast as it was in the first pass."""

    device: str
    enabled: bool
    dtype: torch.dtype

    @classmethod
    def now(cls, device: torch.device) -> _Precision:
        kind = device.type
        return cls(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))

    def autocast(self) -> torch.autocast:
        # Older versions of torch keep weights that were cast without a graph, and take them in the second pass as well,
        # where they then get no gradient.
        return torch.autocast(self.device, self.dtype, enabled=self.enabled, cache_enabled=False)


@dataclass(frozen=True)
class _RandomState:
    """The states of all generators before a micro-batch."""

    cpu: Tensor
    device: torch.device | None
    cuda: Tensor | None
    own: tuple[tuple[torch.Generator, Tensor], ...]

    @classmethod
    def now(cls, device: torch.device, generators: Sequence[torch.Generator]) -> _RandomState:
        cuda = device if device.type == "cuda" else None
        return cls(
            torch.get_rng_state(),
            cuda,
            None if cuda is None else torch.cuda.get_rng_state(cuda),
            tuple((generator, generator.get_state()) for generator in generators),
        )

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.device is not None and self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)
        for generator, state in self.own:
            generator.set_state(state)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """This state within the block; afterwards all is as before."""
        before = type(self).now(self.device or torch.device("cpu"), [generator for generator, _ in self.own])
        self.restore()
        try:
            yield
        finally:
            before.restore()


@contextmanager
def _running_statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch normalisation by the statistics of its batch as before, which are not counted a second time."""
    changed = [
        module
        for module in model.modules()
        if isinstance(module, _NormBase) and module.training and module.track_running_stats
    ]
    for module in changed:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in changed:
            module.track_running_stats = True


def _check_repeated(first: Sequence[Tensor], second: Sequence[Tensor]) -> None:
    for before, after in zip(first, second, strict=True):
        apart, scale = (before.float() - after.detach().float()).abs().max(), before.float().abs().max()
        if apart > REPEATED_WITHIN * scale:
            raise RuntimeError(
                f"encode did not repeat its outputs (apart by {float(apart):.3g}, largest {float(scale):.3g}): it "
                "draws from a generator that was not given in `generators`, or the model keeps a state of its own"
            )
