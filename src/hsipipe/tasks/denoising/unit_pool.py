"""The training units that are in memory: all of them if they fit, else another seeded sample in each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hsipipe.cases.split import Unit
from hsipipe.randomness import seed_for
from hsipipe.tasks.denoising.case import CaseFile

if TYPE_CHECKING:
    import torch

BUDGET_BYTES = 4 * 2**30
# float16 resolves [0, 1] to 2^-11 of the value, far below the noise of any case, and holds twice the units.
KEPT = np.float16


class UnitPool:
    """Clean training cubes on a device, at most `budget` bytes of them at a time.

    Which units an epoch sees depends on (case, seed, epoch) alone, so a resumed training sees the same.
    """

    def __init__(self, case: CaseFile, units: Sequence[Unit], *, seed: int, budget: int = BUDGET_BYTES) -> None:
        self._case, self._units, self._seed = case, list(units), seed
        pixels = sum((unit.row_end - unit.row_start) * (unit.col_end - unit.col_start) for unit in units)
        needed = np.dtype(KEPT).itemsize * pixels * len(case.band_index)
        self._size = len(self._units) if needed <= budget else max(1, len(self._units) * budget // needed)
        self._held: list[Unit] = []
        self._device: torch.device | None = None
        self._cubes: list[torch.Tensor] = []

    def units(self, epoch: int) -> list[Unit]:
        """The units of an epoch, in their order."""
        if self._size >= len(self._units):
            return self._units
        drawn = sorted(self._units, key=lambda unit: seed_for(self._case.name, self._seed, "pool", epoch, unit.name))
        chosen = set(drawn[: self._size])
        return [unit for unit in self._units if unit in chosen]

    def cubes(self, epoch: int, device: torch.device) -> list[torch.Tensor]:
        """The cubes (bands, rows, cols) of an epoch's units, float16 in [0, 1]; read when the epoch changes.

        The pool lies on one device at a time: asked for on another, it moves there.
        """
        import torch

        units = self.units(epoch)
        if units != self._held:
            self._cubes = []  # first, so that two pools are never held at once
            self._cubes = [torch.from_numpy(self._case.truth_of(unit).cube.astype(KEPT)).to(device) for unit in units]
            self._held = units
        elif device != self._device:
            self._cubes = [cube.to(device) for cube in self._cubes]
        self._device = device
        return self._cubes
