"""`predict`: run one variant on every test unit of a case."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.files import atomic_path, write_json
from hsipipe.hdf5 import StackWriter, attach_axes, write_strings
from hsipipe.methods import Method
from hsipipe.progress import progress
from hsipipe.tasks.denoising.apply import make_denoiser
from hsipipe.tasks.denoising.case import PREDICTION_FORMAT, CaseFile
from hsipipe.tasks.denoising.shown import shown_unit
from hsipipe.training.accounting import environment, measure


def predict(
    case: str | Path,
    scenes: Sequence[str | Path],
    method: Method,
    settings: dict[str, Any],
    *,
    case_settings: dict[str, Any],
    seed: int,
    output: str | Path,
    kept: str | Path,
    record: str | Path,
    model: str | Path | None = None,
    device: str = "cpu",
) -> None:
    """Write all predictions (`output`), the one that pictures show (`kept`) and the run's record (`record`).

    Seconds per item are those of the method alone: without reading, writing and importing.
    """
    with CaseFile(case, scenes) as opened, measure() as cost:
        names = opened.names("test")
        denoise = make_denoiser(method, settings, model=model, device=device, seed=seed)
        shown = shown_unit(names, case_settings["figure_unit"])
        seconds = []
        with atomic_path(output) as temporary, h5py.File(temporary, "w") as file, atomic_path(kept) as kept_temporary:
            stack = StackWriter(file, "prediction", np.float32)
            sizes = []
            for name in progress(names, f"{method.name}: test units"):
                noisy = opened.noisy(name)
                truth = opened.truth(name).cube if method.kind == "oracle" else None
                started = time.perf_counter()
                result = denoise(noisy, opened.wavelength_nm, truth, name)
                seconds.append(time.perf_counter() - started)
                if not np.isfinite(result).all():
                    raise ValueError(f"{method.name} returned values that are not finite on {name}")
                stack.append(result)
                sizes.append(result.shape[1:])
                if name == shown:
                    with h5py.File(kept_temporary, "w") as kept_file:
                        kept_file.attrs.update({"format": PREDICTION_FORMAT, "unit": name})
                        kept_file["prediction"] = result
                        attach_axes(kept_file, {"prediction": ("band", "row", "col")})
            write_strings(file, "item", names)
            file["rows"], file["cols"] = np.array(sizes, np.int32).T
            file.attrs.update({"format": PREDICTION_FORMAT, "code_version": __version__})
            attach_axes(file, {"prediction": ("item", "band", "row", "col"), "rows": ("item",), "cols": ("item",)})
    from hsipipe.tasks.denoising.trained import trained_costs

    write_json(
        record,
        {
            "method": method.name,
            "kind": method.kind,
            "settings": settings,
            "seed": seed,
            "units": len(names),
            "seconds_per_item": float(np.median(seconds)),
            "seconds_each": seconds,
            "peak_memory_mb": cost.peak_memory_bytes / 2**20,
            "peak_gpu_memory_mb": None if cost.peak_gpu_memory_bytes is None else cost.peak_gpu_memory_bytes / 2**20,
            "cpu_seconds": cost.cpu_s,
            "device": device,
            "environment": environment(),
            **trained_costs(model),
            "state": "finished",
        },
    )
