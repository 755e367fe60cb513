"""Batches of training images: all in memory where they fit, else read ahead by workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for
from hsipipe.settings import check
from hsipipe.tasks.representation.case import CaseFile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoaderSettings:
    """How training images are read."""

    memory_mb: int = field(
        default=2048, metadata={"meaning": "images that take less, as float16, are all held in memory", "minimum": 0}
    )
    workers: int = field(default=0, metadata={"meaning": "processes that read ahead; 0: none", "minimum": 0})
    prefetch: int = field(default=2, metadata={"meaning": "batches that each worker keeps ready", "minimum": 1})
    pin_memory: bool = field(default=False, metadata={"meaning": "read into page-locked memory, for a GPU"})
    persistent: bool = field(default=True, metadata={"meaning": "keep the workers from epoch to epoch"})

    def __post_init__(self) -> None:
        check(self)


class Batches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """The batch of each number: which images, their cubes and masks. A batch depends on its number alone, so that
    neither the number of workers nor an interruption changes a training."""

    def __init__(
        self, path: Path, numbers: np.ndarray, bands: np.ndarray, *, batch_size: int, seed: Sequence[object]
    ) -> None:
        self.path, self.numbers, self.bands = path, numbers, bands
        self.batch_size, self.seed = batch_size, tuple(seed)
        self._opened: CaseFile | None = None  # opened in the process that reads: HDF5 files do not survive a fork

    def __len__(self) -> int:
        return 2**31

    def chosen(self, number: int) -> np.ndarray:
        """The images of a batch, each at most once."""
        return generator_for("batch", *self.seed, number).choice(self.numbers, self.batch_size, replace=False)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        if self._opened is None:
            self._opened = CaseFile(self.path)
        chosen = self.chosen(number)
        cubes, masks = self._opened.read(chosen, bands=self.bands)
        return (
            torch.from_numpy(chosen),
            torch.from_numpy(cubes.astype(np.float16)),
            torch.from_numpy(masks[:, None]),
        )


class ImagePool:
    """Draws the batches of a training.

    Args:
        path: the case file.
        numbers: of the training images.
        bands: places among the case's bands.
        settings: how to read.
        batch_size: images in a batch; not more than there are.
        seed: what tells this training's batches from others.

    Raises:
        UserError: fewer images than a batch.
    """

    def __init__(
        self,
        path: str | Path,
        numbers: np.ndarray,
        bands: np.ndarray,
        settings: LoaderSettings,
        *,
        batch_size: int,
        seed: Sequence[object],
    ) -> None:
        if len(numbers) < batch_size:
            raise UserError(
                f"the training part has {len(numbers)} images",
                file=path,
                key="batch_size",
                found=batch_size,
                remedy=f"set batch_size to {len(numbers)} or less",
            )
        self._batches = Batches(Path(path), np.asarray(numbers), bands, batch_size=batch_size, seed=seed)
        self._settings = settings
        self._held: tuple[Tensor, Tensor] | None = None
        self._place: dict[int, int] = {}
        self._ahead: Iterator[Any] | None = None
        self._next = -1
        with CaseFile(path) as case:
            size = 2 * len(numbers) * len(bands) * case.shape[1] * case.shape[2]
            if size <= settings.memory_mb * 2**20:
                cubes, masks = case.read(numbers, bands=bands)
                self._held = torch.from_numpy(cubes.astype(np.float16)), torch.from_numpy(masks[:, None])
                self._place = {int(number): place for place, number in enumerate(numbers)}
        log.info(
            "%d training images of %.0f MiB, %s", len(numbers), size / 2**20, "in memory" if self._held else "read"
        )

    def batch(self, number: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers (B,) of the images of a batch, cubes (B, C, H, W) and masks (B, 1, H, W) float32 on the device."""
        if self._held is not None:
            if self._held[0].device != device:
                self._held = (self._held[0].to(device), self._held[1].to(device))
            chosen = self._batches.chosen(number)
            places = torch.tensor([self._place[int(one)] for one in chosen], device=device)
            cubes, masks = (values[places].float() for values in self._held)
            return torch.from_numpy(chosen), cubes, masks
        if self._ahead is None or number != self._next:
            self._ahead = iter(self._loader(number))
        chosen_numbers, cubes, masks = next(self._ahead)
        self._next = number + 1
        pinned = self._settings.pin_memory
        return chosen_numbers, *(values.to(device, non_blocking=pinned).float() for values in (cubes, masks))

    def _loader(self, start: int) -> DataLoader[Any]:
        settings = self._settings
        ahead: dict[str, Any] = {}
        if settings.workers:
            # Workers are started afresh, not forked: a fork of a process with threads of torch may hang.
            ahead = {
                "prefetch_factor": settings.prefetch,
                "persistent_workers": settings.persistent,
                "multiprocessing_context": "spawn",
            }
        return DataLoader(
            self._batches,
            batch_size=None,
            sampler=range(start, 2**31),
            num_workers=settings.workers,
            pin_memory=settings.pin_memory,
            **ahead,
        )

    def __enter__(self) -> ImagePool:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ahead = None  # ends the workers
