"""What a run costs: the figures of its run.json that tables can show. Nothing here imports pandas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CostFigure:
    """A figure of run.json: where it stands, what it is divided by, and how it is shown."""

    path: tuple[str, ...]
    heading: str
    decimals: int = 0
    unit: float = 1.0

    def of(self, record: Mapping[str, Any]) -> float | None:
        """Its value in a record, or None where the run has none."""
        value: Any = record
        for key in self.path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return None if value is None else float(value) / self.unit


MIB = 2.0**20
COSTS = {
    "seconds_per_item": CostFigure(("seconds_per_item",), "s/item", 3),
    "seconds_to_train": CostFigure(("seconds_to_train",), "steps of training [s]"),
    "steps": CostFigure(("steps",), "steps"),
    "peak_memory_mb": CostFigure(("peak_memory_mb",), "peak memory of use [MiB]"),
    "peak_gpu_memory_mb": CostFigure(("peak_gpu_memory_mb",), "peak GPU memory of use [MiB]"),
    "parameters": CostFigure(("memory", "parameters"), "parameters"),
    "trainable_parameters": CostFigure(("memory", "trainable"), "trained parameters"),
    "weights_mb": CostFigure(("memory", "weights_bytes"), "weights [MiB]", 1, MIB),
    "gradients_mb": CostFigure(("memory", "gradients_bytes"), "gradients [MiB]", 1, MIB),
    "optimizer_mb": CostFigure(("memory", "optimizer_bytes"), "optimiser state [MiB]", 1, MIB),
    "activations_mb": CostFigure(("memory", "activations_bytes"), "saved activations, float32 [MiB]", 1, MIB),
    "training_gpu_mb": CostFigure(("memory", "peak_gpu_bytes"), "peak GPU memory of the training job [MiB]", 0, MIB),
    "training_mb": CostFigure(("memory", "total_bytes"), "training step in all, float32 [MiB]", 1, MIB),
}

# What each is, in a sentence: what the documentation shows.
DEFINITIONS = {
    "seconds_per_item": "Wall seconds of applying the method, median over items.",
    "seconds_to_train": "Wall seconds of the steps of its training; validation and start-up are not in it.",
    "steps": "Updates of the weights that its training made.",
    "peak_memory_mb": "Largest memory of the process that applied it, Python and libraries included.",
    "peak_gpu_memory_mb": "Largest memory that applying it held on the GPU.",
    "parameters": "Numbers in the network.",
    "trainable_parameters": "Of these, how many the training changes.",
    "weights_mb": "Memory of the weights as they are stored, 4-bit ones as such.",
    "gradients_mb": "Memory of the gradients of the trained parameters.",
    "optimizer_mb": "Memory of the optimiser's moments.",
    "activations_mb": "Memory of what a step keeps for its backward pass, counted in float32.",
    "training_gpu_mb": "Largest memory that the training job held on the GPU, measured.",
    "training_mb": "Weights, gradients, optimiser and activations together: an account, the same on every device.",
}
