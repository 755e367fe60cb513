"""`predict`: run one variant on every test unit of a case."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.methods import Method
from hsipipe.randomness import seed_for
from hsipipe.tasks.predictions import Prediction, write_predictions
from hsipipe.tasks.segmentation.case import CaseFile, Image

Predict = Callable[[Image], Prediction]


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

    An autoencoder's prediction is the reconstructed cube, a clustering's and a classifier's a map of labels. `model` is
    the trained model of an autoencoder or a classifier, and that of the autoencoder whose latents a clustering sees.
    Seconds per item are those of the method: without reading, writing and importing.
    """
    content, costs = "clusters", {}
    if not method.is_fitted:
        make = _clustering(method, settings, model, seed, case_settings["clusters"], device)
    else:
        from hsipipe.training.model_file import load_model

        told = load_model(str(model))
        costs = {**told["training"], "history": told["history"]}
        content = "reconstruction" if method.loop else "labels"
        make = _autoencoder(str(model), device) if method.loop else _classifier(str(model))
    with CaseFile(case, scenes) as opened:
        write_predictions(
            opened.names("test"),
            lambda name: make(opened.image(name)),
            shown=opened.shown(case_settings["figure_unit"]),
            method=method,
            settings=settings,
            seed=seed,
            device=device,
            output=output,
            kept=kept,
            record=record,
            costs=costs,
            content=content,
        )


def _autoencoder(model: str, device: str) -> Predict:
    from hsipipe.tasks.segmentation.autoencoder import load_autoencoder

    trained = load_autoencoder(model, device=device)

    def reconstruct(image: Image) -> Prediction:
        own = trained.for_bands(len(image.cube), image.wavelength_nm)
        started = time.perf_counter()
        cube = own.reconstruct_image(image.cube, image.valid)
        seconds = time.perf_counter() - started
        return Prediction(cube, seconds, kept={"latents": own.encode_image(image.cube, image.valid)[0]})

    return reconstruct


def _classifier(model: str) -> Predict:
    from hsipipe.tasks.segmentation.classifier import load_classifier

    trained = load_classifier(model)

    def classify(image: Image) -> Prediction:
        started = time.perf_counter()
        codes, confidence = trained.predict(image.cube, image.valid, wavelength_nm=image.wavelength_nm)
        seconds = time.perf_counter() - started
        return Prediction(codes[None].astype(np.float32), seconds, kept={"confidence": confidence})

    return classify


def _clustering(
    method: Method, settings: dict[str, Any], model: str | Path | None, seed: int, clusters: int | None, device: str
) -> Predict:
    from hsipipe.tasks.segmentation.segment import segment_image

    encoder = None
    if model is not None:
        from hsipipe.tasks.segmentation.autoencoder import load_autoencoder

        encoder = load_autoencoder(model, device=device)
    method.load()

    def segment(image: Image) -> Prediction:
        started = time.perf_counter()
        made = segment_image(
            image, method, settings, encoder=encoder, seed=seed_for(seed, image.name), clusters=clusters
        )
        seconds = time.perf_counter() - started
        kept = {
            "cluster_means": made.clusters.means,
            "member_spectra": made.member_spectra,
            "medoid_spectra": made.medoid_spectra,
        }
        if encoder is not None:
            kept["latents"] = made.latents
        if made.decoded_spectra is not None:
            kept["decoded_spectra"] = made.decoded_spectra
        labels = made.clusters.labels[None].astype(np.float32)
        return Prediction(labels, seconds, kept=kept, found=made.clusters.found, state=made.clusters.state)

    return segment
