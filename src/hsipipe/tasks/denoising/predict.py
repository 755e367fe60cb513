"""`predict`: run one variant on every test unit of a case."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hsipipe.methods import Method
from hsipipe.tasks.denoising.apply import make_denoiser
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.denoising.shown import shown_unit
from hsipipe.tasks.predictions import Prediction, write_predictions


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
    from hsipipe.tasks.denoising.trained import trained_costs

    with CaseFile(case, scenes) as opened:
        names = opened.names("test")
        denoise = make_denoiser(method, settings, model=model, device=device, seed=seed)

        def denoise_unit(name: str) -> Prediction:
            noisy = opened.noisy(name)
            truth = opened.truth(name).cube if method.kind == "oracle" else None
            started = time.perf_counter()
            cube = denoise(noisy, opened.wavelength_nm, truth, name)
            return Prediction(cube, time.perf_counter() - started)

        write_predictions(
            names,
            denoise_unit,
            shown=shown_unit(names, case_settings["figure_unit"]),
            method=method,
            settings=settings,
            seed=seed,
            device=device,
            output=output,
            kept=kept,
            record=record,
            costs=trained_costs(model),
        )
