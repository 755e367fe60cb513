"""What memory a training step needs, told without a GPU: an account of the tensors that it has to hold.

The peak that a GPU reports depends on its kernels and its allocator; which tensors a step must hold does not. Weights,
gradients and the optimiser's state are there all the time; at the end of the forward pass there are besides the tensors
that the backward pass will ask for. torch tells of each of those as it is saved (`saved_tensors_hooks`), also where
tensors are only shapes (device `meta`), so that networks of any size are accounted for in no memory.
"""

from __future__ import annotations

import copy
import gc
import logging
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from hsipipe.training.accounting import count_parameters
from hsipipe.training.optimizers import make_optimizer, parameter_groups, rate_factors
from hsipipe.training.settings import TrainingSettings

# What an operation on stand-ins raises whose result, or its shape, depends on values.
NEEDS_VALUES = (DataDependentOutputException, DynamicOutputShapeException)

log = logging.getLogger(__name__)
Loss = Callable[[nn.Module, dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class MemoryAccount:
    """What a training step holds, in bytes.

    Attributes:
        parameters, trainable: numbers of parameters; quantised ones are counted, not the bytes that they are packed in.
        weights_bytes: parameters and buffers as stored.
        gradients_bytes: gradients of the trained parameters.
        optimizer_bytes: state of the optimiser after a step.
        batch_bytes: the batch.
        activations_bytes: what the forward pass saves for the backward pass and is none of the above; None on `meta`
            for a network whose way depends on values.
        peak_gpu_bytes: the largest memory that torch held in tensors on the GPU during a step, or None without a GPU.
    """

    parameters: int
    trainable: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    batch_bytes: int
    activations_bytes: int | None
    peak_gpu_bytes: int | None = None

    @property
    def total_bytes(self) -> int | None:
        """All that is held when the forward pass ends; gradients of an earlier step count, as under accumulation."""
        if self.activations_bytes is None:
            return None
        held = (self.weights_bytes, self.gradients_bytes, self.optimizer_bytes)
        return sum((*held, self.batch_bytes, self.activations_bytes))

    def as_dict(self) -> dict[str, Any]:
        """All figures, with the total."""
        return {**asdict(self), "total_bytes": self.total_bytes}


def training_memory(
    network: nn.Module, loss: Loss, batch: Mapping[str, Tensor], *, optimizer: str = "adamw"
) -> MemoryAccount:
    """Account for the memory of a training step of `network`, which is afterwards as it was before.

    Without a GPU nothing is trained: the forward pass runs once (not even that computes anything on device `meta`), the
    optimiser's step on stand-ins. What a checkpointed part computes again in the backward pass is not saved, and is
    not counted. On a GPU two whole steps run besides, for the peak.

    Args:
        network: on any device; a copy on `meta` comes from `copy.deepcopy(network).to("meta")`.
        loss: (network, batch) to a scalar; may use autocast.
        batch: tensors on the network's device.
        optimizer: as in `TrainingSettings`.

    Raises:
        UserError: adamw8bit without bitsandbytes, or an unknown optimiser.
    """
    counted = count_parameters(network)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    settings = TrainingSettings(optimizer=optimizer)  # type: ignore[arg-type]
    given = dict(batch)
    on_gpu = any(parameter.is_cuda for parameter in trained)
    with _left_as_it_is(network):
        return MemoryAccount(
            parameters=counted.total,
            trainable=counted.trainable,
            weights_bytes=counted.stored_bits // 8,
            gradients_bytes=sum(parameter.numel() * parameter.element_size() for parameter in trained),
            optimizer_bytes=optimizer_bytes(trained, settings),
            batch_bytes=_bytes_of(given.values()),
            activations_bytes=_saved_bytes(*computable(network, given), loss),
            peak_gpu_bytes=_peak_on_gpu(network, loss, given, settings) if on_gpu else None,
        )


def optimizer_bytes(parameters: Iterable[Tensor], settings: TrainingSettings) -> int:
    """Bytes that the optimiser keeps for these parameters: measured on the state of stand-ins after a step.

    One stand-in for all parameters of a shape: what an optimiser keeps depends on nothing else. Tables that all
    parameters share (the levels of 8-bit states) count once.

    Raises:
        UserError: adamw8bit without bitsandbytes.
    """
    kinds = Counter((tuple(parameter.shape), parameter.dtype) for parameter in parameters)
    # The 8-bit optimiser has no kernels for `meta`; the largest tensor of a network is small beside all of them.
    device = "cpu" if settings.optimizer == "adamw8bit" else "meta"
    each, tables = 0, set()
    for (shape, dtype), count in kinds.items():
        stand_in = nn.Parameter(torch.zeros(shape, dtype=dtype, device=device))
        stand_in.grad = torch.zeros_like(stand_in)
        made = make_optimizer([{"params": [stand_in]}], settings)
        made.step()
        state = {name: value for name, value in made.state[stand_in].items() if isinstance(value, Tensor)}
        tables |= {(name, value.nbytes) for name, value in state.items() if name.startswith("qmap")}
        each += count * sum(value.nbytes for name, value in state.items() if not name.startswith("qmap"))
    return each + sum(size for _, size in tables)


class _Kept:
    """A tensor that the graph holds, for as long as it does."""

    def __init__(self, tensor: Tensor) -> None:
        # Detached, an operation's saved output does not hold the operation that holds it.
        self.tensor = tensor.detach()

    def unpack(self) -> Tensor:
        """The tensor, for the backward pass."""
        return self.tensor


def _saved_bytes(network: nn.Module, batch: dict[str, Tensor], loss: Loss) -> int | None:
    """Bytes of the distinct storages that the graph of the loss holds when it is made, without weights and batch."""
    known = {_storage(tensor) for tensor in (*network.parameters(), *network.buffers(), *batch.values())}
    kept: weakref.WeakSet[_Kept] = weakref.WeakSet()

    def keep(tensor: Tensor) -> _Kept:
        saved = _Kept(tensor)
        kept.add(saved)
        return saved

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, _Kept.unpack), torch.enable_grad():
            value = loss(network, batch)
    except NEEDS_VALUES as error:
        log.info("what is saved for the backward pass cannot be told from shapes alone: %s", error)
        return None
    gc.collect()  # what was saved by parts of the graph that no longer exist
    storages = {_storage(saved.tensor): saved.tensor.untyped_storage() for saved in kept}
    del value
    return sum(storage.nbytes() for name, storage in storages.items() if name not in known)


def _peak_on_gpu(network: nn.Module, loss: Loss, batch: dict[str, Tensor], settings: TrainingSettings) -> int | None:
    """Largest memory of two steps (the first one makes the optimiser's state) in tensors of this process, bytes."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    optimizer = make_optimizer(parameter_groups(network, rate_factors(network)), settings)
    for _ in range(2):
        optimizer.zero_grad()
        loss(network, batch).backward()
        optimizer.step()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated())


def computable(network: nn.Module, batch: dict[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Network and batch; those on `meta` as tensors that say that they are on the CPU, and have no values either.

    On `meta` itself much of torch is missing: autocast, generators, and the fused form of attention, without which the
    account of the paper's encoder would be twice as large, by matrices of tokens by tokens that no device keeps.
    """
    if not any(tensor.is_meta for tensor in (*network.parameters(), *batch.values())):
        return network, batch
    # The mode is not switched on, so that what a network makes of constants (windows, indices) keeps its values.
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    made: dict[int, Tensor] = {}

    def stand_in(tensor: Tensor) -> Tensor:
        if id(tensor) not in made:
            with mode:
                empty = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
            is_weight = isinstance(tensor, nn.Parameter)
            made[id(tensor)] = nn.Parameter(empty, requires_grad=tensor.requires_grad) if is_weight else empty
        return made[id(tensor)]

    copied = copy.deepcopy(network)
    for module in copied.modules():
        registered: tuple[Any, ...] = (module._parameters, module._buffers)
        for kept in registered:
            kept.update({name: stand_in(tensor) for name, tensor in kept.items() if tensor is not None})
    return copied, {name: stand_in(tensor) for name, tensor in batch.items()}


@contextmanager
def _left_as_it_is(network: nn.Module) -> Iterator[None]:
    """The network in training mode; afterwards modes, weights, gradients, statistics and generators are as before."""
    modes = [(module, module.training) for module in network.modules()]
    gradients = [(parameter, parameter.grad) for parameter in network.parameters()]
    may_change = [parameter for parameter in network.parameters() if parameter.requires_grad and parameter.is_cuda]
    # On a GPU the copies go to the CPU, so that they are no part of the peak.
    before: list[tuple[Tensor, Tensor]] = [
        (tensor, tensor.detach().cpu() if tensor.is_cuda else tensor.detach().clone())
        for tensor in (*may_change, *network.buffers())
    ]
    gpus = sorted({tensor.device.index for tensor in may_change})
    for parameter, _ in gradients:
        parameter.grad = None
    network.train()
    try:
        with torch.random.fork_rng(devices=gpus):
            torch.manual_seed(0)  # a network that draws which way it takes takes the same one each time
            yield
    finally:
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, mode in modes:
            module.training = mode


def _storage(tensor: Tensor) -> int:
    """What tells storages apart, also on `meta`, where all addresses are zero."""
    return int(tensor.untyped_storage()._cdata)


def _bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum({_storage(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}.values())
