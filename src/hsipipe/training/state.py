"""What a training needs to continue after a kill, as plain values and tensors in one file.

Lightning's own checkpoints pickle classes, which `weights_only=True` refuses to read, and hold the state of loops,
samplers and callbacks. Here the batch, the seed and the learning rate of a step are functions of its number, so
weights, optimiser, step and history are all there is to save, and a resumed run equals an undisturbed one bit by bit
(on the CPU).
"""

from __future__ import annotations

import json
import logging
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hsipipe.errors import UserError
from hsipipe.files import atomic_path, write_json
from hsipipe.training.history import Row, write_history
from hsipipe.training.out_of_memory import is_out_of_memory

FORMAT = "hsipipe-training-1"
LAST, FINISHED, KEY, HISTORY = "last.ckpt", "finished.pt", "key.json", "history.csv"

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: updates done.
        losses: sum of the losses of the batches of the running epoch, and their number.
        epoch_seconds: wall seconds spent in the running epoch, over all attempts.
        history: a row per finished epoch.
        best_value, best_step: best monitored value so far, and the step that it was measured at (0: none yet).
        best_weights: the model's state at `best_step`, on the CPU.
        patience_value: the last value that was better than the previous `patience_value` by more than `min_delta`.
        waited: epochs since then.
        stopped: whether early stopping ended the training.
        loss_scale: state of the scaler of losses under float16; else empty.
    """

    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    epoch_seconds: float = 0.0
    history: list[Row] = field(default_factory=list)
    best_value: float | None = None
    best_step: int = 0
    best_weights: dict[str, Tensor] | None = None
    patience_value: float | None = None
    waited: int = 0
    stopped: bool = False
    loss_scale: dict[str, float | int] = field(default_factory=dict)


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of the model's state on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


class StateFolder:
    """The folder of one training: key.json, last.ckpt while it runs, finished.pt afterwards, history.csv."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Open the folder for the training that `identity` names; what belongs to another one is removed."""
        self.folder = folder
        self.identity = {"format": FORMAT, **identity}
        folder.mkdir(parents=True, exist_ok=True)
        if self._stored_identity() != self.identity:
            # The key goes last: a kill in between leaves the old key, and the next attempt clears the rest.
            for name in (LAST, FINISHED, HISTORY, KEY):
                (folder / name).unlink(missing_ok=True)
            write_json(folder / KEY, self.identity)

    def _stored_identity(self) -> Any:
        try:
            return json.loads((self.folder / KEY).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def save(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Save everything needed to continue after `progress.step`."""
        content = {
            "format": FORMAT,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": dict(vars(progress)),
        }
        # Saved through a handle, the archive does not carry the name of its file, so equal states are equal files.
        with atomic_path(self.folder / LAST) as temporary, open(temporary, "wb") as file:
            torch.save(content, file)
        write_history(progress.history, self.folder / HISTORY)

    def load(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Bring model and optimiser to the saved state, if there is one; otherwise leave them as they are.

        Raises:
            UserError: the saved state is that of another architecture.
        """
        content = self._read(LAST)
        if content is None:
            return Progress()
        with self._fitting(LAST):
            model.load_state_dict(content["model"])
            optimizer.load_state_dict(content["optimizer"])
            progress = Progress(**content["progress"])
        write_history(progress.history, self.folder / HISTORY)
        return progress

    def finish(self, model: torch.nn.Module, progress: Progress) -> None:
        """Keep the weights in the model as the result, and drop the state that only a running training needs."""
        kept = {**vars(progress), "best_weights": None}
        with atomic_path(self.folder / FINISHED) as temporary, open(temporary, "wb") as file:
            torch.save({"format": FORMAT, "model": model.state_dict(), "progress": kept}, file)
        write_history(progress.history, self.folder / HISTORY)
        (self.folder / LAST).unlink(missing_ok=True)

    def finished(self, model: torch.nn.Module) -> Progress | None:
        """If this training ended before, put its weights into the model and tell how it went.

        Raises:
            UserError: the saved weights are those of another architecture.
        """
        content = self._read(FINISHED)
        if content is None:
            return None
        with self._fitting(FINISHED):
            model.load_state_dict(content["model"])
            progress = Progress(**deepcopy(content["progress"]))
        write_history(progress.history, self.folder / HISTORY)
        return progress

    @contextmanager
    def _fitting(self, name: str) -> Iterator[None]:
        """Say what is wrong where a saved state does not fit the model although the key says so."""
        try:
            yield
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            if is_out_of_memory(error):
                raise
            # The first line of torch's message only names the class; the ones that follow say what differs.
            lines = [line.strip() for line in str(error).splitlines()]
            raise UserError(
                "the state of this training holds weights of another architecture",
                file=self.folder / name,
                found=lines[1 if len(lines) > 1 else 0][:200],
                remedy=f"remove the folder {self.folder} to train anew",
            ) from error

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.folder / name
        if not path.exists():
            return None
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            # Files are renamed into place when whole, so only a failing disk leaves one like this.
            log.warning("%s cannot be read (%s); training starts anew", path, str(error).splitlines()[0])
            path.unlink()
            return None
        return content if content.get("format") == FORMAT else None
