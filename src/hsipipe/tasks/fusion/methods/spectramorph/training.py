"""The training of the latent estimation network: LR-MSI pixels in, LR-HSI spectra out, endmembers fixed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from hsipipe.tasks.fusion.methods.spectramorph.network import LatentNetwork
from hsipipe.tasks.fusion.methods.spectramorph.settings import SpectraMorphSettings

RISE = 0.3  # share of the training in which the learning rate of `one_cycle` climbs
HUBER = 0.01  # errors below this count quadratically with the loss `huber`, in units of the scaled data
CACHED_VALUES = 2**19  # hidden values at a time on a CPU: those of one chunk stay in its cache


def learning_rate(progress: float, settings: SpectraMorphSettings) -> float:
    """The learning rate at `progress` from 0 to 1: linear up to 30 %, linear down to the end; or constant."""
    if settings.schedule == "flat":
        return settings.init_lr
    if progress < RISE:
        return settings.init_lr + (settings.max_lr - settings.init_lr) * progress / RISE
    return settings.max_lr - (settings.max_lr - settings.final_lr) * (progress - RISE) / (1 - RISE)


class Objective:
    """The sum over pixels of the error of `latents @ endmembers` against the targets, by the setting `loss`.

    `mae`, `mse` and `huber` average over bands. `spectral_norm` is the Euclidean length of the error spectrum over
    sqrt(C): robust against odd pixels as `mae` is against odd values. As the endmembers are fixed it needs only K
    coordinates of each spectrum and the length of the rest: exact, and cheaper by C / K.
    """

    def __init__(self, loss: str, endmembers: Tensor, targets: Tensor) -> None:
        self.loss, self.bands = loss, endmembers.shape[1]
        self.mixing, self.targets = endmembers, targets
        if loss in ("mse", "spectral_norm"):
            basis, mixing = torch.linalg.qr(endmembers.double().T)
            basis, self.mixing = basis.float(), mixing.T.float().contiguous()
            self.targets = targets @ basis
            self.rest = (targets - self.targets @ basis.T).square().sum(1)

    def __call__(self, latents: Tensor, rows: Tensor | slice) -> Tensor:
        """Error of (n, K) latents against the targets of `rows`, summed over pixels."""
        if self.loss in ("mse", "spectral_norm"):
            squares = torch.addmm(self.targets[rows], latents, self.mixing, beta=-1).square().sum(1)
            squares = squares + self.rest[rows]
            return (squares / self.bands).sqrt().sum() if self.loss == "spectral_norm" else squares.sum() / self.bands
        predicted = latents @ self.mixing
        if self.loss == "mae":
            return functional.l1_loss(predicted, self.targets[rows], reduction="sum") / self.bands
        return functional.huber_loss(predicted, self.targets[rows], reduction="sum", delta=HUBER) / self.bands


def train(
    network: LatentNetwork,
    inputs: Tensor,
    targets: Tensor,
    endmembers: Tensor,
    settings: SpectraMorphSettings,
    *,
    generator: torch.Generator,
    pixels_per_epoch: int | None = None,
) -> float:
    """Train the network in place by Adam.

    Args:
        network: on the device of the tensors.
        inputs: (N, d) float32.
        targets: (N, C) float32.
        endmembers: (K, C) float32.
        settings: loss, schedule, length and batch size.
        generator: of the order of the pixels, on their device.
        pixels_per_epoch: use at most so many pixels, drawn anew in each epoch; None uses all.

    Returns:
        The mean error over the pixels of the last epoch, each taken at its own step.
    """
    used = min(len(inputs), pixels_per_epoch or len(inputs))
    batches = -(-used // min(used, settings.training_batch_size or used))
    steps = settings.training_steps or settings.epochs * batches
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.init_lr, eps=1e-7, fused=True)
    objective = Objective(settings.loss, endmembers, targets)
    chunk = used
    if inputs.device.type == "cpu":
        chunk = max(256, CACHED_VALUES // max(settings.hidden_size, endmembers.shape[1]))
    total, seen = inputs.new_zeros(()), 0
    for step, rows in zip(range(steps), _batches(len(inputs), used, batches, generator), strict=False):
        optimiser.param_groups[0]["lr"] = learning_rate(step / steps, settings)
        optimiser.zero_grad(set_to_none=False)
        size = used if isinstance(rows, slice) else len(rows)
        # A batch in chunks that fit the cache has the same gradient, and takes a third of the time.
        for first in range(0, size, chunk):
            part = slice(first, min(first + chunk, size)) if isinstance(rows, slice) else rows[first : first + chunk]
            error = objective(network(inputs[part]), part)
            (error / size).backward()
            if step >= steps - batches:
                total += error.detach()
        seen += size * (step >= steps - batches)
        optimiser.step()
    return float(total) / seen


def _batches(pixels: int, used: int, batches: int, generator: torch.Generator) -> Iterator[Tensor | slice]:
    """The rows of each step, epoch after epoch: all in order, or equal parts of a new random order."""
    while True:
        if used == pixels and batches == 1:
            yield slice(0, pixels)
        else:
            order = torch.randperm(pixels, generator=generator, device=generator.device)[:used]
            yield from order.tensor_split(batches)
