"""What `finetuning.py` writes down: a training step's work and memory by account, and its time and memory on a GPU.

Every function gives rows: dictionaries with some of the columns of finetuning.csv.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hsipipe.nets.heads import HEADS, build_head
from hsipipe.tasks.denoising.methods.vit.model import DenoisingTransformer, build
from hsipipe.tasks.denoising.training_data import draw_patches
from hsipipe.training.memory import training_memory
from hsipipe.training.optimizers import make_optimizer, parameter_groups, rate_factors
from hsipipe.training.settings import TrainingSettings

Row = dict[str, Any]
Batch = dict[str, Tensor]

NOISE = "hyspecnet"  # the paper's
TRAINING_PATCHES, EPOCHS = 9_186, 200  # of HySpecNet-11k, as the paper trains
CUBES = 64  # clean images on the device that patches are cut from
GIGABYTE = 1e9


@dataclass(frozen=True)
class Study:
    """The network to look at; by default the paper's.

    Attributes:
        bands, image_size, preset, head: as of method `vit`.
        batch_sizes: images in a batch, for memory; the largest is that of the timings and of the paper.
        limits_gb: memories that a batch may have to fit.
    """

    bands: int = 202
    image_size: int = 128
    preset: str = "small"
    head: str = "unet"
    batch_sizes: tuple[int, ...] = (1, 8, 32)
    limits_gb: tuple[float, ...] = (9.8, 5.2, 4.1, 2.9)

    def network(self, adaptation: str) -> DenoisingTransformer:
        """The network in training mode, on the CPU, with random weights."""
        torch.manual_seed(0)
        sizes = {"bands": self.bands, "image_size": self.image_size, "preset": self.preset, "head": self.head}
        return build(**sizes, adapt=adaptation).train()  # type: ignore[arg-type]

    def shape(self, images: int) -> tuple[int, int, int, int]:
        """The shape of a batch."""
        return (images, self.bands, self.image_size, self.image_size)

    def batch(self, images: int, device: str) -> Batch:
        """A batch of random numbers, or of none on `meta`."""
        return {name: torch.rand(self.shape(images), device=device) for name in ("input", "target")}


def squared_error(network: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """The paper's loss."""
    return functional.mse_loss(network(batch["input"]), batch["target"])


def loss_in(precision: str) -> Callable[[Callable[[Tensor], Tensor], Batch], Tensor]:
    """The loss as the training loop computes it: bfloat16 by autocast."""

    def loss(network: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        with torch.autocast(batch["input"].device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return squared_error(network, batch)

    return loss


def optimizer_of(adaptation: str) -> str:
    """The paper's AdamW; with 4-bit weights that of QLoRA, whose state has 8 bits."""
    return "adamw8bit" if adaptation == "qlora" else "adamw"


# ---- the account, which is the same on every device ----


def count_flops(network: nn.Module, compute: Callable[[Any, Batch], object], **shapes: Sequence[int]) -> int:
    """Floating-point operations of `compute(network, batch)`, without computing anything.

    Counted are matrix products, convolutions and their gradients, two operations for each product and its sum.
    Attention counts as the matrix products that it is: what a kernel computes twice to save memory is no work done.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    tensors = [*network.named_parameters(), *network.named_buffers()]
    state = {name: mode.from_tensor(value.detach()).requires_grad_(value.requires_grad) for name, value in tensors}
    with mode, sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        batch = {name: torch.empty(*shape) for name, shape in shapes.items()}
        compute(lambda *inputs: functional_call(network, state, inputs), batch)
    return int(counter.get_total_flops())


def step_flops(study: Study, adaptation: str, *, recomputed: bool = False) -> int:
    """Operations of a training step, forward and backward, for one image."""
    network = study.network(adaptation)
    network.encoder.checkpointing = recomputed
    shapes = {"input": study.shape(1), "target": study.shape(1)}
    return count_flops(network, lambda net, batch: squared_error(net, batch).backward(), **shapes)


def head_rows(study: Study) -> Iterator[Row]:
    """Parameters and work of each head, drawing one image."""
    for name in HEADS:
        encoder = study.network("full").encoder
        head = build_head(name, bands=study.bands, patch=encoder.patch, width=encoder.width)
        shapes = {"features": (1, encoder.width, encoder.grid, encoder.grid), "noisy": study.shape(1)}
        work = count_flops(head, lambda net, batch: net(batch["features"], batch["noisy"]), **shapes)
        where = {"part": "account", "device": "any", "adaptation": f"head {name}"}
        yield {**where, "quantity": "parameters", "value": sum(p.numel() for p in head.parameters()), "unit": ""}
        yield {**where, "quantity": "forward", "value": work / 1e9, "unit": "GFLOP/image"}


def account_rows(study: Study, adaptation: str) -> Iterator[Row]:
    """Parameters, work and memory of an adaptation's training step, and the largest batches that fit the limits."""
    network = study.network(adaptation)
    where = {"part": "account", "device": "any", "adaptation": adaptation}
    encoding = count_flops(network.encoder, lambda net, batch: net(batch["input"]), input=study.shape(1))
    yield {**where, "quantity": "encoder forward", "value": encoding / 1e9, "unit": "GFLOP/image"}
    for recomputed in (False, True):
        work = step_flops(study, adaptation, recomputed=recomputed)
        here = {**where, "checkpointing": recomputed}
        yield {**here, "quantity": "training step", "value": work / 1e9, "unit": "GFLOP/image"}
    network.to("meta")
    optimizer = optimizer_of(adaptation)
    held = training_memory(network, squared_error, study.batch(1, "meta"), optimizer=optimizer).as_dict()
    for name in ("parameters", "trainable"):
        yield {**where, "quantity": name, "value": held[name], "unit": ""}
    for name in ("weights", "gradients", "optimizer"):
        yield {**where, "quantity": f"{name} memory", "value": held[f"{name}_bytes"] / GIGABYTE, "unit": "GB"}
    for precision in ("float32", "bfloat16"):
        for recomputed in (False, True):
            network.encoder.checkpointing = recomputed
            here = {**where, "precision": precision, "checkpointing": recomputed}
            yield from _memory_rows(study, network, here, optimizer)


def _memory_rows(study: Study, network: nn.Module, where: Row, optimizer: str) -> Iterator[Row]:
    @cache
    def account(images: int) -> dict[str, int]:
        loss = loss_in(where["precision"])
        return training_memory(network, loss, study.batch(images, "meta"), optimizer=optimizer).as_dict()

    for images in study.batch_sizes:
        for name in ("activations", "total"):
            value = account(images)[f"{name}_bytes"] / GIGABYTE
            yield {**where, "batch": images, "quantity": f"{name} memory", "value": value, "unit": "GB"}
    # What is held belongs either to an image or to the network, so that memory is a straight line over the batch.
    one, two = account(1)["total_bytes"], account(2)["total_bytes"]
    for limit in study.limits_gb:
        value = max(0, math.floor((limit * GIGABYTE - (2 * one - two)) / (two - one)))
        yield {**where, "limit_gb": limit, "quantity": "largest batch", "value": value, "unit": "images"}


# ---- what only a GPU can tell; on the CPU the timings work too, for tests ----


def matrix_peak(device: str, *, size: int = 8192, repeats: int = 20) -> float:
    """Rate of the product of two random bfloat16 matrices, operations per second: the median."""
    left, right = torch.randn(2, size, size, device=device, dtype=torch.bfloat16)
    seconds = statistics.median(durations(lambda _: left @ right, device, repeats=repeats))
    return 2 * size**3 / seconds


def durations(work: Callable[[int], object], device: str, *, repeats: int, warm_up: int = 5) -> list[float]:
    """Seconds of each call `work(number)` after the warm-up.

    On a GPU between events in its queue: from one to the next passes what the GPU worked, or what it waited for the
    CPU if that was slower in asking for work.
    """
    for number in range(warm_up):
        work(number)
    if torch.device(device).type != "cuda":
        found = []
        for number in range(warm_up, warm_up + repeats):
            start = time.perf_counter()
            work(number)
            found.append(time.perf_counter() - start)
        return found
    torch.cuda.synchronize()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for number, event in enumerate(events[1:], start=warm_up):
        work(number)
        event.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) / 1000 for start, end in pairwise(events)]


@dataclass
class TrainingStep:
    """A training step of the loop without the loop around it: loss, gradients, optimiser.

    Attributes:
        study, adaptation, device, precision: what is trained, where, and how.
        compiled, channels_last: as in `TrainingSettings`.
    """

    study: Study
    adaptation: str
    device: str
    precision: str = "bfloat16"
    compiled: bool = False
    channels_last: bool = False
    cubes: list[Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        settings = TrainingSettings(optimizer=optimizer_of(self.adaptation), weight_decay=1e-4, learning_rate=1e-4)  # type: ignore[arg-type]
        network = self.study.network(self.adaptation).to(self.device)
        if self.channels_last and settings.optimizer != "adamw8bit":  # as in the loop
            network.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(parameter_groups(network, rate_factors(network, network.rate_factor)), settings)
        self.network: Any = torch.compile(network) if self.compiled else network
        self.loss = loss_in(self.precision)
        generator = torch.Generator(self.device).manual_seed(0)
        shape = (CUBES, *self.study.shape(1)[1:])
        self.cubes = list(torch.rand(shape, device=self.device, generator=generator))

    def draw(self, number: int) -> Batch:
        """Batch `number`, cut, turned and corrupted on the device."""
        drawn = draw_patches(
            self.cubes,
            step=number,
            seed=("benchmark",),
            patch=self.study.image_size,
            bands_per_patch=None,
            batch_size=max(self.study.batch_sizes),
            noise=NOISE,
        )
        order = torch.channels_last if self.channels_last else torch.contiguous_format
        return {name: value.contiguous(memory_format=order) for name, value in drawn.items()}

    def update(self, batch: Batch) -> None:
        """One update of the weights."""
        self.optimizer.zero_grad()
        self.loss(self.network, batch).backward()
        self.optimizer.step()


def speed_of(
    study: Study, adaptation: str, device: str, repeats: int, peak: float, fastest: tuple[bool, bool] | None = None
) -> Iterator[Row]:
    """Rows of `speed_rows` for the variants (compiled, channels last): all four, or the plain one and `fastest`."""
    work = step_flops(study, adaptation)
    variants = [(False, False), (False, True), (True, False), (True, True)]
    step: TrainingStep | None
    for compiled, channels_last in variants if fastest is None else dict.fromkeys([variants[0], fastest]):
        where = {"precision": "bfloat16", "compile": compiled, "channels_last": channels_last}
        torch.compiler.reset()
        gc.collect()
        torch.cuda.empty_cache()
        try:
            step = TrainingStep(study, adaptation, device, compiled=compiled, channels_last=channels_last)
            yield from (where | row for row in speed_rows(step, repeats=repeats, peak=peak, work=work))
        except RuntimeError as error:  # too little memory, or what the compiler cannot do
            message = " ".join(f"{type(error).__name__}: {error}".split())
            yield where | {"quantity": "failed", "note": message[:200]}
        step = None  # so that the next one has its memory


def speed_rows(step: TrainingStep, *, repeats: int, peak: float, work: float) -> Iterator[Row]:
    """Times of a training step with and without the drawing of its batch, and what follows from them.

    Args:
        step: the step.
        repeats: steps timed, after five to warm up.
        peak: rate of large matrix products, operations per second.
        work: operations of a step without recomputation, per image.
    """
    images = max(step.study.batch_sizes)
    ready = [step.draw(number) for number in range(2)]
    updating = statistics.median(durations(lambda n: step.update(ready[n % 2]), step.device, repeats=repeats))
    drawing = statistics.median(durations(step.draw, step.device, repeats=repeats))
    both = statistics.median(durations(lambda n: step.update(step.draw(n)), step.device, repeats=repeats))
    figures = {
        "step": (1e3 * updating, "ms"),
        "drawing": (1e3 * drawing, "ms"),
        "step with drawing": (1e3 * both, "ms"),
        "samples": (images / both, "1/s"),
        "share of matrix peak": (100 * work * images / updating / peak, "%"),
        "200 epochs of HySpecNet-11k": (EPOCHS * TRAINING_PATCHES * both / images / 3600, "h"),
    }
    for quantity, (value, unit) in figures.items():
        yield {"batch": images, "quantity": quantity, "value": value, "unit": unit}


def peak_memory(study: Study, network: nn.Module, adaptation: str, images: int, precision: str, device: str) -> float:
    """Largest memory in tensors on the GPU during two steps, bytes; infinite where the GPU has not enough."""
    gc.collect()
    torch.cuda.empty_cache()
    try:
        batch = study.batch(images, device)
        account = training_memory(network, loss_in(precision), batch, optimizer=optimizer_of(adaptation))
    except torch.OutOfMemoryError:
        return math.inf
    assert account.peak_gpu_bytes is not None
    return float(account.peak_gpu_bytes)


def peak_rows(study: Study, adaptation: str, device: str, *, precision: str = "bfloat16") -> Iterator[Row]:
    """Measured peaks at the study's batch sizes, and the largest batches whose measured peak fits the limits."""
    network = study.network(adaptation).to(device)
    for recomputed in (False, True):
        network.encoder.checkpointing = recomputed

        @cache
        def peak(images: int) -> float:
            return peak_memory(study, network, adaptation, images, precision, device)

        where = {"precision": precision, "checkpointing": recomputed}
        for images in study.batch_sizes:
            value = peak(images) / GIGABYTE
            yield {**where, "batch": images, "quantity": "peak memory", "value": value, "unit": "GB"}
        for limit in study.limits_gb:
            value = largest_batch(peak, limit * GIGABYTE)
            yield {**where, "limit_gb": limit, "quantity": "largest batch", "value": value, "unit": "images"}


def largest_batch(peak: Callable[[int], float], limit: float) -> int:
    """The largest batch whose peak is within the limit, by doubling and bisection; 0 if one image is too much.

    Args:
        peak: images in a batch to memory; rises without end.
        limit: in the same unit.
    """
    fits, too_many = 0, 1
    while peak(too_many) <= limit:
        fits, too_many = too_many, 2 * too_many
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if peak(middle) <= limit else (fits, middle)
    return fits
