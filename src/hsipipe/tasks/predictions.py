"""What a run writes: predictions of all its items, the one that pictures show, and the run's record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.devices.claim import device_note
from hsipipe.files import atomic_path, write_json
from hsipipe.hdf5 import StackWriter, attach_axes, open_checked, read_strings, write_strings
from hsipipe.methods import Method
from hsipipe.progress import progress
from hsipipe.training.accounting import Cost, environment, measure

FORMAT = "hsipipe-prediction-1"
KEPT_AXES = {
    "prediction": ("band", "row", "col"),
    "endmembers": ("endmember", "band"),
    "latents": ("latent", "row", "col"),
    "cluster_means": ("cluster", "latent"),
    "decoded_spectra": ("cluster", "band"),
    "member_spectra": ("cluster", "band"),
    "medoid_spectra": ("cluster", "band"),
    "confidence": ("row", "col"),
    "psf": ("psf_row", "psf_col"),
}


@dataclass
class Prediction:
    """What a method made of one item.

    Attributes:
        cube: (bands, rows, cols) float32.
        seconds: of the method alone, without reading, writing and importing.
        kept: further arrays for pictures, named as in `KEPT_AXES`.
        found: JSON-able facts that the method estimated.
        state: arrays of any shape that the method needs to be applied again, kept beside those for pictures.
    """

    cube: np.ndarray
    seconds: float
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    state: dict[str, np.ndarray] = field(default_factory=dict)


def write_predictions(
    names: Sequence[str],
    predict: Callable[[str], Prediction],
    *,
    shown: str,
    method: Method,
    settings: dict[str, Any],
    seed: int,
    device: str,
    output: str | Path,
    kept: str | Path,
    record: str | Path,
    costs: Mapping[str, Any] | None = None,
    content: str = "image",
) -> None:
    """Predict every item; write all predictions (`output`), what pictures show (`kept`) and the run's record.

    Args:
        names: the items, in the order of the files.
        predict: makes the prediction of an item.
        shown: the item that pictures show.
        method, settings, seed, device: of the run.
        output, kept, record: where to.
        costs: further entries of the record.
        content: what the predictions are, for scores: images, or something else that the task knows.

    Raises:
        ValueError: a prediction that is not finite.
    """
    with measure() as cost, atomic_path(output) as temporary, h5py.File(temporary, "w") as file:
        stack = StackWriter(file, "prediction", np.float32)
        sizes, seconds = [], []
        found: dict[str, dict[str, Any]] = {}
        for name in progress(names, f"{method.name}: items"):
            made = predict(name)
            if not np.isfinite(made.cube).all():
                raise ValueError(f"{method.name} returned values that are not finite on {name}")
            stack.append(made.cube)
            sizes.append(made.cube.shape[1:])
            seconds.append(made.seconds)
            if made.found:
                found[name] = made.found
            if name == shown:
                _write_kept(kept, name, made)
        write_strings(file, "item", names)
        file["rows"], file["cols"] = np.array(sizes, np.int32).T
        file.attrs.update({"format": FORMAT, "code_version": __version__, "content": content})
        attach_axes(file, {"prediction": ("item", "band", "row", "col"), "rows": ("item",), "cols": ("item",)})
    write_record(
        record,
        method=method,
        settings=settings,
        seed=seed,
        device=device,
        units=len(names),
        seconds=seconds,
        cost=cost,
        more={**({"found": found} if found else {}), **(costs or {})},
    )


def write_record(
    path: str | Path,
    *,
    method: Method,
    settings: dict[str, Any],
    seed: int,
    device: str,
    units: int,
    seconds: Sequence[float],
    cost: Cost,
    more: Mapping[str, Any],
) -> None:
    """Write the run's record, run.json: what ran, on what, and what it cost. `seconds`: of each item, method alone."""
    write_json(
        path,
        {
            "method": method.name,
            "kind": method.kind,
            "settings": settings,
            "seed": seed,
            "units": units,
            "seconds_per_item": float(np.median(seconds)),
            "seconds_each": list(seconds),
            "peak_memory_mb": cost.peak_memory_bytes / 2**20,
            "peak_gpu_memory_mb": None if cost.peak_gpu_memory_bytes is None else cost.peak_gpu_memory_bytes / 2**20,
            "cpu_seconds": cost.cpu_s,
            "device": device,
            "device_note": device_note(),
            "environment": environment(),
            **more,
            "state": "finished",
        },
    )


def _write_kept(path: str | Path, name: str, made: Prediction) -> None:
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"format": FORMAT, "item": name})
        arrays = {"prediction": made.cube, **made.kept}
        for key, value in arrays.items():
            file[key] = np.asarray(value, np.float32)
        attach_axes(file, {key: KEPT_AXES[key] for key in arrays})
        for key, value in made.state.items():
            file[f"state/{key}"] = value


def read_kept(path: str | Path) -> dict[str, Any]:
    """The arrays kept for pictures, by name, and `item`, which they are of."""
    with open_checked(path, FORMAT, "run the method again") as file:
        arrays = {key: file[key][()] for key in KEPT_AXES if key in file}
        return {**arrays, "item": str(file.attrs["item"])}


class PredictionFile:
    """The predictions of all items of a run, opened for reading. Attributes: names; content: what they are."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self.names = read_strings(file, "item")
        self.content = str(file.attrs["content"])
        self._sizes = list(zip(file["rows"][()].tolist(), file["cols"][()].tolist(), strict=True))

    def read(self, name: str) -> np.ndarray:
        """The prediction of an item: (bands, rows, cols) float32."""
        index = self.names.index(name)
        rows, cols = self._sizes[index]
        return self._file["prediction"][index, :, :rows, :cols]


@contextmanager
def open_predictions(path: str | Path) -> Iterator[PredictionFile]:
    """Open the predictions of a run."""
    with open_checked(path, FORMAT, "run the method again") as file:
        yield PredictionFile(file)
