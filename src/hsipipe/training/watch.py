"""What a training is like while it runs: gradients, memory, and how long batches take to be drawn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsipipe.training.accounting import resident_memory


class Watch:
    """Collects the figures of an epoch, of this process alone: an interrupted epoch tells of its second part."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._norms: list[Tensor] = []
        self._drawing = 0.0

    def drawn(self, seconds: float) -> None:
        """Count the seconds of drawing a batch."""
        self._drawing += seconds

    def see_gradients(self, model: nn.Module) -> None:
        """Note the norm of all gradients together, before they are clipped."""
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        self._norms.append(torch.nn.utils.get_total_norm(gradients).detach())

    def end_epoch(self) -> dict[str, float]:
        """gradient_norm (mean of the finite ones), drawing_seconds, memory_mb (resident), gpu_memory_mb (peak)."""
        found = {"drawing_seconds": round(self._drawing, 3), "memory_mb": round(resident_memory() / 2**20, 1)}
        if self._norms:
            norms = torch.stack(self._norms).float()  # under float16 a step whose gradients overflow is left out
            found = {"gradient_norm": float(norms[norms.isfinite()].mean()), **found}
        if self._device.type == "cuda":
            found["gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
            torch.cuda.reset_peak_memory_stats()
        self._norms, self._drawing = [], 0.0
        return found
