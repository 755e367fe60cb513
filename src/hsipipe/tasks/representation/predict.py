"""`predict`: embed every image of a case by one variant, and ask which wavelengths its embeddings rest on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.bands.resample import interpolation
from hsipipe.files import copy_file
from hsipipe.methods import Method
from hsipipe.metrics.embedding_probe import fit_probe
from hsipipe.tasks.predictions import write_record
from hsipipe.tasks.representation.bands import choose_bands
from hsipipe.tasks.representation.case import CaseFile
from hsipipe.tasks.representation.model_file import Embed, load_embedder
from hsipipe.tasks.representation.prediction import Embeddings, write_embeddings
from hsipipe.tasks.representation.shared.importance import window_importance
from hsipipe.training.accounting import measure

READ = 256  # images read at once
ASKED = 200  # images that the importance of wavelengths is asked of, at most


def predict(
    case: str | Path,
    scenes: Sequence[str | Path],  # noqa: ARG001 -- the case file holds the images
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
    """Write the embeddings of all images (`output` and, for pictures, `kept`) and the run's record (`record`).

    Those of the training folds are embedded too, since probes are fitted to them; none of the tested fold was seen by
    what was trained.
    """
    costs: dict[str, Any] = {}
    with CaseFile(case) as opened:
        train, test = opened.fold(seed)
        if model is not None:
            embedder = load_embedder(model, device=device)
            bands, embed = embedder.bands, embedder.embed
            costs = {**embedder.content["training"], "history": embedder.content["history"]}
        else:
            bands = choose_bands(opened, settings["bands"], train, seed=seed)
            embed = method.load().embed
        with measure() as cost:
            seconds, values = 0.0, []
            for start in range(0, len(opened), READ):
                images, masks = opened.read(np.arange(start, min(start + READ, len(opened))), bands=bands)
                began = time.perf_counter()
                values.append(embed(images, masks))
                seconds += time.perf_counter() - began
        embeddings = np.concatenate(values)
        if not np.isfinite(embeddings).all():
            raise ValueError(f"{method.name} returned embeddings that are not finite")
        more: dict[str, np.ndarray] = {"bands": bands}
        if opened.wavelength_nm is not None and len(bands) > 3 and np.ptp(embeddings, axis=0).max() > 0:
            centres = opened.wavelength_nm[bands].astype(np.float64)
            more |= _by_halves(opened, bands, centres, embed)
            width = case_settings["importance_nm"]
            if width is not None and np.ptp(centres) > 3 * width:
                more |= _importance(opened, bands, centres, embed, embeddings, train, test, width, seed)
        write_embeddings(output, Embeddings(opened.names, embeddings, seed, more))
    copy_file(output, kept)
    write_record(
        record,
        method=method,
        settings=settings,
        seed=seed,
        device=device,
        units=len(embeddings),
        seconds=[seconds / len(embeddings)],
        cost=cost,
        more={**costs, "bands": len(bands), "fold": seed % opened.folds},
    )


def _by_halves(case: CaseFile, bands: np.ndarray, centres: np.ndarray, embed: Embed) -> dict[str, np.ndarray]:
    """Embeddings of all images as a sensor sees them that has every other band, and one that has the others."""
    order = np.argsort(centres, kind="stable")
    found = {}
    for name, half in (("first_bands", order[::2]), ("second_bands", order[1::2])):
        matrix = interpolation(centres[half], centres).astype(np.float32)
        pieces = []
        for start in range(0, len(case), READ):
            images, masks = case.read(np.arange(start, min(start + READ, len(case))), bands=bands[half])
            pieces.append(embed(np.einsum("cn,bnhw->bchw", matrix, images, optimize=True), masks))
        found[name] = np.concatenate(pieces)
    return found


def _importance(
    case: CaseFile,
    bands: np.ndarray,
    centres: np.ndarray,
    embed: Embed,
    embeddings: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    width_nm: float,
    seed: int,
) -> dict[str, np.ndarray]:
    """What the embeddings of tested images, and a probe's verdict on them, lose without each window of wavelengths."""
    labels, groups = case.labels, case.groups
    probe = fit_probe(embeddings[train], labels[train], groups[train], seed=seed)
    asked = test[:: max(1, -(-len(test) // ASKED))]
    images, masks = case.read(asked, bands=bands)
    result = window_importance(
        lambda cubes: embed(cubes, (cubes != 0).any(axis=1)),  # the background is 0 in every band
        images,
        masks,
        centres,
        width_nm=width_nm,
        step_nm=width_nm / 2,
        probe=probe,
        labels=labels[asked],
    )
    found = {"window_nm": result.centres_nm, "effect": result.mean, "effect_sd": result.deviation}
    if result.margin_drops is not None and result.accuracy_drop is not None:
        found |= {"margin_drop": result.margin_drops.mean(axis=0), "accuracy_drop": result.accuracy_drop}
    return found
