"""`predict`: run one variant on every pair of a case."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.methods import Method
from hsipipe.tasks.fusion.apply import Fuser
from hsipipe.tasks.fusion.case import CaseFile
from hsipipe.tasks.predictions import Prediction, write_predictions

SHOWN_SIDE = 256  # pixels of the central window that is kept for pictures: cubes at full size would fill the disk


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
    model: str | Path | None = None,  # noqa: ARG001 -- no fusion method is trained on other scenes
    device: str = "cpu",
) -> None:
    """Write all predictions (`output`), the one that pictures show (`kept`) and the run's record (`record`).

    Seconds per item are those of the method, all its fitting included: without reading, writing and importing.
    """
    with CaseFile(case, scenes) as opened:
        method.load()

        def fuse_item(name: str) -> Prediction:
            pair = opened.pair(name)
            truth = opened.truth(name).cube if method.kind == "oracle" else None
            fuser = Fuser(
                method,
                settings,
                psf=pair.psf,
                srf=pair.srf,
                edge=pair.edge,
                wavelength_nm=pair.wavelength_nm,
                device=device,
                seed=seed,
                name=name,
            )
            started = time.perf_counter()
            fused = fuser.fuse(pair.lr_hsi, pair.hr_msi, truth=truth)
            seconds = time.perf_counter() - started
            arrays = {"prediction": shown_window(fused.cube)}
            if fused.latents is not None:
                arrays["latents"] = shown_window(fused.latents)
            if fused.endmembers is not None:
                arrays["endmembers"] = fused.endmembers
            if fused.psf is not None:
                arrays["psf"] = fused.psf
            return Prediction(fused.cube, seconds, kept=arrays, found=fused.found)

        write_predictions(
            opened.items,
            fuse_item,
            shown=opened.shown(unit=case_settings["figure_unit"], psf=case_settings["figure_psf"]),
            method=method,
            settings=settings,
            seed=seed,
            device=device,
            output=output,
            kept=kept,
            record=record,
        )


def shown_window(image: np.ndarray) -> np.ndarray:
    """The central window of (..., rows, cols) that pictures show, at most 256 pixels a side."""
    rows, cols = image.shape[-2:]
    height, width = min(rows, SHOWN_SIDE), min(cols, SHOWN_SIDE)
    top, left = (rows - height) // 2, (cols - width) // 2
    return image[..., top : top + height, left : left + width]
