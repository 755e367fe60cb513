"""Train an autoencoder on the training spectra of a case."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hsipipe.errors import UserError
from hsipipe.files import sha256_of
from hsipipe.keys import step_key
from hsipipe.methods import Method
from hsipipe.randomness import generator_for, seed_for
from hsipipe.report.figures.spectra import draw_pixel_spectra
from hsipipe.report.style import save_figure
from hsipipe.settings import settings_from, split
from hsipipe.tasks.segmentation.autoencoder import TrainedAutoencoder, make_autoencoder, save_autoencoder
from hsipipe.tasks.segmentation.case import CaseFile, Role
from hsipipe.tasks.segmentation.shared.losses import spectral_loss
from hsipipe.tasks.segmentation.shared.normalisers import Normaliser, fit_normaliser
from hsipipe.tasks.segmentation.shared.resample import make_resampling
from hsipipe.training import ranks
from hsipipe.training.history import draw_history
from hsipipe.training.loop import run_training
from hsipipe.training.model_file import load_model
from hsipipe.training.settings import NEUTRAL_SETTINGS, TrainingSettings

MOST_SPECTRA = {"train": 400_000, "val": 20_000}  # beyond these a sample of all tells as much
SHOWN_SIDE = 128  # pixels of the part of an image that the picture is chosen from

log = logging.getLogger(__name__)


def fit_autoencoder(
    case: CaseFile,
    method: Method,
    settings: dict[str, Any],
    *,
    seed: int,
    key: str,
    state: Path,
    output: Path,
    curves: str | Path,
    samples: str | Path,
    start: str | Path | None = None,
) -> None:
    """Train on the case's training spectra and write the model; see `hsipipe.tasks.segmentation.fit`.

    The normaliser is fitted to the training spectra. A method's `initialise` starts the network in closed form; one
    without parameters to train (principal components) is done then. The epoch with the least loss on the validation
    spectra is kept.
    """
    training = settings_from(TrainingSettings, split(TrainingSettings, settings)[0], f"settings of {method.name}")
    spectra = gather(case, "train", seed=seed)
    if spectra is None:
        raise UserError(
            f"{method.name!r} is trained, and the case has no training spectra", file=case.path, key="split"
        )
    torch.manual_seed(seed_for(case.name, seed, method.base))
    trained = make_autoencoder(
        method,
        settings,
        bands=len(case.band_index),
        wavelength_nm=case.wavelength_nm,
        normaliser=_normaliser(spectra, settings, case),
        path=output,
    )
    began = time.monotonic()
    network = trained.network
    prepared = trained.normalise(torch.from_numpy(spectra))[0].contiguous()
    if start is not None:
        _take_weights(network, start)
    elif hasattr(method.load(), "initialise"):
        method.load().initialise(network, prepared)
    loss = scene_loss(settings["loss"], trained.normaliser)
    unseen = gather(case, "val", seed=seed)
    effective = {name: value for name, value in settings.items() if name not in (*NEUTRAL_SETTINGS, "weights")}
    training_key = step_key(key, case.content, effective, seed, None if start is None else sha256_of(start))
    pool: dict[torch.device, Tensor] = {}

    def draw_batch(number: int, on: torch.device) -> dict[str, Tensor]:
        if on not in pool:
            pool[on] = prepared.to(on)
        generator = torch.Generator().manual_seed(seed_for(case.name, seed, "batch", number) % (1 << 63))
        chosen = torch.randint(len(prepared), (training.batch_size,), generator=generator)
        return {"spectra": pool[on][chosen.to(on)]}

    def keep_epoch(model: nn.Module, epoch: int) -> None:
        if epoch in training.save_epochs:
            path = output.parent / "epochs" / f"epoch-{epoch:04d}.pt"
            save_autoencoder(path, trained, key=training_key, training={"epoch": epoch})
            log.info("kept %s", path)
            del model  # it is the network of `trained`

    history: list[dict[str, float]] = []
    told: dict[str, Any] = {"seconds_to_train": 0.0, "steps": 0}
    if any(parameter.requires_grad for parameter in network.parameters()):
        started_in = time.monotonic() - began
        with ranks.training_lock(state):
            result = run_training(
                network,
                draw_batch=draw_batch,
                validate=None if unseen is None else make_validation(trained, unseen, loss),
                loss=lambda model, batch: loss(model(batch["spectra"]), batch["spectra"]),
                settings=training,
                state_dir=state,
                key=training_key,
                seed=seed,
                on_epoch=keep_epoch,
            )
        history = result.history
        told = {
            "seconds_to_train": result.seconds + started_in,
            "steps": result.steps,
            "best_epoch": result.best_epoch,
            "trained_on": result.trained_on,
        }
    else:
        ranks.end_helper()
        told["seconds_to_train"] = time.monotonic() - began
    network.cpu().eval()
    counts = [parameter.numel() for parameter in network.parameters() if parameter.requires_grad]
    size = sum(value.numel() for value in network.state_dict().values())
    told["memory"] = {"parameters": size, "trainable": sum(counts)}
    told["started_from"] = None if start is None else str(start)
    save_autoencoder(output, trained, key=training_key, history=history, training=told)
    draw_history(history, curves)
    save_figure(_draw_samples(case, trained), [samples])


def gather(case: CaseFile, role: Role, *, seed: int) -> np.ndarray | None:
    """The spectra (N, bands) of a role in the scene's units, a sample where they are very many; None without any."""
    pieces = list(case.spectra(role))
    if not pieces:
        return None
    spectra = np.concatenate(pieces)
    if len(spectra) > MOST_SPECTRA[role]:
        log.info("a sample of %d of the %d %s spectra is used", MOST_SPECTRA[role], len(spectra), role)
        chosen = generator_for(case.name, seed, role).choice(len(spectra), MOST_SPECTRA[role], replace=False)
        spectra = spectra[np.sort(chosen)]
    return np.ascontiguousarray(spectra, np.float32)


def _normaliser(spectra: np.ndarray, settings: dict[str, Any], case: CaseFile) -> Normaliser:
    """The normaliser, fitted to what it will see: spectra resampled to the network's length."""
    if settings["resample"] is not None:
        way = make_resampling(spectra.shape[1], settings["resample"], wavelength_nm=case.wavelength_nm)
        spectra = way.apply(spectra)
    return fit_normaliser(settings["normaliser"], spectra)


def scene_loss(weights: dict[str, float], normaliser: Normaliser) -> Callable[[Tensor, Tensor], Tensor]:
    """The weighted losses of normalised spectra (N, bands), their angles and divergences in the scene's units.

    A normaliser that takes something of its own from each spectrum is left on, as in the program deephyp.
    """
    loss = spectral_loss(weights)
    if normaliser.parameters:
        return loss
    return lambda made, wanted: loss(made, wanted, lambda spectra: normaliser.invert(spectra, spectra[:, :0]))


def make_validation(
    trained: TrainedAutoencoder, spectra: np.ndarray, loss: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[nn.Module], dict[str, float]]:
    """A function that gives the mean loss over validation spectra (N, bands)."""
    prepared = trained.normalise(torch.from_numpy(spectra))[0]

    def validate(model: nn.Module) -> dict[str, float]:
        on = next(model.parameters()).device
        total = 0.0
        for piece in prepared.split(4096):
            batch = piece.to(on)
            total += float(loss(model(batch), batch)) * len(piece)
        return {"loss": total / len(prepared)}

    return validate


def _take_weights(network: nn.Module, start: str | Path) -> None:
    """Start from the weights of a model file."""
    content = load_model(start)
    try:
        network.load_state_dict(content["model_state"])
    except RuntimeError as error:
        raise UserError(
            "its weights are not of a network like this one",
            file=start,
            key="weights",
            found=str(error).splitlines()[-1].strip()[:200],
            remedy="give a model of the same method, bands and settings of the network",
        ) from error


def _draw_samples(case: CaseFile, trained: TrainedAutoencoder) -> Any:
    """Spectra of a validation image, or of a training one, and what the network makes of them."""
    name = (case.names("val") or case.names("train"))[0]
    image = case.image(name)
    rows, cols = (slice(0, min(size, SHOWN_SIDE)) for size in image.valid.shape)
    cube, valid = image.cube[:, rows, cols], image.valid[rows, cols]
    if not valid.any():
        cube, valid = image.cube, image.valid
    return draw_pixel_spectra(
        cube,
        None,
        {trained.method.name: trained.reconstruct_image(cube, valid)},
        valid=valid,
        wavelength_nm=image.wavelength_nm,
        title=f"{trained.method.name}, {name}",
        ylabel="value",
        reference="measured",
    )
