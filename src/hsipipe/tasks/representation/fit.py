"""`fit`: train an encoder on the training folds of a case."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.cases.split import Unit
from hsipipe.files import sha256_of
from hsipipe.keys import step_key
from hsipipe.methods import Method
from hsipipe.randomness import generator_for, seed_for
from hsipipe.settings import settings_from, split
from hsipipe.tasks.representation.bands import choose_bands
from hsipipe.tasks.representation.case import CaseFile
from hsipipe.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

    from hsipipe.tasks.representation.shared.network import EmbeddingNetwork
    from hsipipe.tasks.representation.shared.normalise import Normalisation

# What says how images come to a network and where it starts: no part of it.
AROUND = ("bands", "normalisation", "components", "encoder", "weights", "validation_share", "loader")
log = logging.getLogger(__name__)


def fit(
    case: str | Path,
    scenes: Sequence[str | Path],  # noqa: ARG001 -- the case file holds the images
    units: Sequence[Unit],  # noqa: ARG001
    method: Method,
    settings: dict[str, Any],
    *,
    case_settings: dict[str, Any],  # noqa: ARG001
    seed: int,
    key: str,
    state: str | Path,
    output: str | Path,
    curves: str | Path,
    samples: str | Path,
    start: str | Path | None = None,
) -> None:
    """Train without the fold of the run's seed, and write the model file, its course and a picture of views.

    Args:
        case: the case file.
        method, settings: what to train, with complete settings.
        seed: of the run; fold `seed` modulo the number of folds is left out.
        key: a hash of the code.
        state: folder for what an interrupted training continues from.
        output, curves, samples: where the model, the loss curves and the picture go.
        start: a model file whose network the training starts from.

    Raises:
        UserError: a batch that is too small for the loss or larger than the training part, or weights that do not fit.
    """
    from hsipipe.tasks.representation.model_file import save_embedder
    from hsipipe.training.history import draw_history

    with CaseFile(case) as opened:
        train, _ = opened.fold(seed)
        bands = choose_bands(opened, settings["bands"], train, seed=seed)
        whole = step_key(key, opened.content, settings, seed)
        about: dict[str, Any] = {"key": whole, "case": opened, "bands": bands, "settings": settings}
        told: dict[str, Any] = {"seconds_to_train": 0.0, "steps": 0}
        began = time.monotonic()
        if method.backend == "numpy":
            images, masks = opened.read(train, bands=bands)
            own = {name: value for name, value in settings.items() if name != "bands"}
            fitted = method.load().fit(images, masks, **own)
            told = {"seconds_to_train": time.monotonic() - began, "training_images": len(train)}
            save_embedder(output, method, **about, arrays=fitted, training=told)
            draw_history([], curves)
            _draw(opened, train, bands, None, samples, title=method.title)
            return
        network, normalisation = make_network(opened, method, settings, train, bands, seed=seed)
        history: list[dict[str, float]] = []
        if start is not None:
            _take_weights(network, start, opened, bands)
        if method.loop:
            result = _train(
                opened,
                method,
                network,
                settings,
                train,
                bands,
                seed=seed,
                key=whole,
                state=Path(state),
                start=start,
            )
            network, history = result.model, result.history
            told = {
                "seconds_to_train": result.seconds,
                "steps": result.steps,
                "best_epoch": result.best_epoch,
                "trained_on": result.trained_on,
            }
        counts = [parameter.numel() for parameter in network.parameters()]
        told["memory"] = {"parameters": sum(counts), "trainable": sum(counts) if method.loop else 0}
        told |= {"training_images": len(train), "started_from": None if start is None else str(start)}
        save_embedder(
            output,
            method,
            **about,
            network=network,
            normaliser=normalisation.describe(),
            history=history,
            training=told,
        )
        draw_history(history, curves)
        _draw(opened, train, bands, network, samples, title=method.title)


def make_network(
    case: CaseFile, method: Method, settings: dict[str, Any], train: np.ndarray, bands: np.ndarray, *, seed: int
) -> tuple[EmbeddingNetwork, Normalisation]:
    """The network of a method with the weights that it starts from, and its normalisation, fitted to the images."""
    import torch

    from hsipipe.tasks.representation.shared.normalise import band_statistics, fit_normalisation

    pieces = np.array_split(train, max(1, len(train) // 64))
    cubes = ((cube, mask) for piece in pieces for cube, mask in zip(*case.read(piece, bands=bands), strict=True))
    name = settings["normalisation"]
    statistics = band_statistics(cubes) if name in ("band", "pca") else None
    normalisation = fit_normalisation(
        name, statistics, **({"components": min(settings["components"], len(bands))} if name == "pca" else {})
    )
    torch.manual_seed(seed_for(case.name, seed, method.base))
    centres = None if case.wavelength_nm is None else case.wavelength_nm[bands]
    network = method.load().build(
        wavelength_nm=centres,
        bands=len(bands),
        normalisation=normalisation,
        **network_settings(method, settings, classes=len(case.species)),
    )
    return network, normalisation


def network_settings(method: Method, settings: dict[str, Any], *, classes: int) -> dict[str, Any]:
    """The settings that a method's `build` takes."""
    of_training = {item.name for item in fields(TrainingSettings)}
    chosen = {name: value for name, value in settings.items() if name not in {*of_training, *AROUND}}
    if method.name == "simclr":
        chosen["batch_size"] = settings["batch_size"]
    if method.name == "supervised":
        chosen["classes"] = classes
    return chosen


def _train(
    case: CaseFile,
    method: Method,
    network: EmbeddingNetwork,
    settings: dict[str, Any],
    train: np.ndarray,
    bands: np.ndarray,
    *,
    seed: int,
    key: str,
    state: Path,
    start: str | Path | None,
) -> Any:
    """Run the training loop."""
    import torch

    from hsipipe.tasks.representation.image_pool import ImagePool, LoaderSettings
    from hsipipe.training import ranks
    from hsipipe.training.loop import run_training

    training = settings_from(TrainingSettings, split(TrainingSettings, settings)[0], f"settings of {method.name}")
    loader = settings_from(LoaderSettings, settings["loader"], f"settings of {method.name}", key="loader")
    inner, held_out = _hold_out(case, train, settings["validation_share"], seed=seed)
    labels = torch.from_numpy(case.labels)
    loss = method.load().loss
    last = max(1, training.total_steps * training.accumulate - 1)
    with ImagePool(case.path, inner, bands, loader, batch_size=training.batch_size, seed=(case.name, seed)) as pool:

        def draw_batch(number: int, on: torch.device) -> dict[str, torch.Tensor]:
            numbers, cubes, masks = pool.batch(number, on)
            return {
                "cubes": cubes,
                "masks": masks,
                "labels": labels[numbers].to(on),
                "seed": torch.tensor(seed_for(case.name, seed, "views", number) % (1 << 62)),
                "share": torch.tensor(number / last),
            }

        def validate(model: torch.nn.Module) -> dict[str, float]:
            images, masks = case.read(held_out, bands=bands)
            on = next(model.parameters()).device
            batch = {
                "cubes": torch.from_numpy(images).to(on),
                "masks": torch.from_numpy(masks[:, None].astype(np.float32)).to(on),
                "labels": labels[held_out].to(on),
                "seed": torch.tensor(seed_for(case.name, "validation views") % (1 << 62)),
                "share": torch.tensor(1.0),
            }
            return {"loss": float(loss(model, batch))}

        whole = step_key(key, None if start is None else sha256_of(start))
        with ranks.training_lock(state):
            return run_training(
                network,
                draw_batch=draw_batch,
                validate=validate if len(held_out) else None,
                loss=loss,
                settings=training,
                state_dir=state,
                key=whole,
                seed=seed,
            )


def _hold_out(case: CaseFile, train: np.ndarray, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training images, and those of a share of the individuals, which choose the best epoch."""
    groups = case.groups[train]
    names = np.unique(groups)
    chosen = generator_for(case.name, seed, "validation").permutation(names)[: round(share * len(names))]
    out = np.isin(groups, chosen)
    return train[~out], train[out]


def _take_weights(network: EmbeddingNetwork, start: str | Path, case: CaseFile, bands: np.ndarray) -> None:
    """Start from the network of a model file, its stem brought to these bands by wavelength."""
    from hsipipe.errors import UserError
    from hsipipe.tasks.representation.shared.stem_resampling import resample_stem
    from hsipipe.training.model_file import load_model

    content = load_model(start)
    source, target = content["wavelength_nm"], None if case.wavelength_nm is None else case.wavelength_nm[bands]
    taken = {name: value for name, value in content["model_state"].items() if name.startswith("encoder.")}
    bare = {name.removeprefix("encoder."): value for name, value in taken.items()}
    try:
        if source is not None and target is not None and not np.array_equal(source, target):
            bare = resample_stem(bare, source, target)
        network.encoder.load_state_dict(bare)
    except (RuntimeError, KeyError, ValueError) as error:
        raise UserError(
            "its encoder is not like this one",
            file=start,
            key="encoder",
            found=str(error).splitlines()[-1].strip()[:200],
            remedy="give a model of the same backbone, stem and attention",
        ) from error


def _draw(
    case: CaseFile,
    train: np.ndarray,
    bands: np.ndarray,
    network: EmbeddingNetwork | None,
    path: str | Path,
    *,
    title: str,
) -> None:
    """Some training images, and two views of each where there are any."""
    from hsipipe.tasks.representation.figures.views import draw_views

    draw_views(case, train[:6], bands, network, path, title=f"{title}, {case.name}")
