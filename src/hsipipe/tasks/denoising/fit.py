"""`fit`: train a denoiser on the training part of a case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hsipipe.cases.split import Unit
from hsipipe.degrade.noise import parse_noise
from hsipipe.errors import UserError
from hsipipe.files import sha256_of, write_json
from hsipipe.keys import step_key
from hsipipe.methods import Method
from hsipipe.randomness import seed_for
from hsipipe.settings import settings_from
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.denoising.unit_pool import UnitPool
from hsipipe.training.settings import NEUTRAL_SETTINGS, TrainingSettings

if TYPE_CHECKING:
    import numpy as np
    import torch

PATCH_SETTINGS = ("patch", "bands_per_patch")
START_SETTINGS = ("encoder", "weights")  # where a training begins; the network itself does not depend on them


def sort_settings(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Settings of a trained method as those of its network, of its patches and of its training."""
    of_training = {field.name for field in fields(TrainingSettings)}
    training = {key: value for key, value in settings.items() if key in of_training}
    elsewhere = {*of_training, *PATCH_SETTINGS, *START_SETTINGS}
    network = {key: value for key, value in settings.items() if key not in elsewhere}
    # A transformer is trained on the images that it is made for.
    patches = {"patch": settings.get("patch", settings.get("image_size")), "bands_per_patch": None}
    return network, patches | {key: settings[key] for key in PATCH_SETTINGS if key in settings}, training


def fit(
    case: str | Path,
    scenes: Sequence[str | Path],
    units: Sequence[Unit],
    method: Method,
    settings: dict[str, Any],
    *,
    case_settings: dict[str, Any],
    seed: int,
    key: str,
    state: str | Path,
    output: str | Path,
    curves: str | Path,
    samples: str | Path,
    start: str | Path | None = None,
) -> None:
    """Train, and write the model file, its loss curves and a picture; an interrupted training goes on where it was.

    Training noise is drawn anew at every step, on the device; validation uses the fixed noise of the case file.

    Args:
        case, scenes, units: the case file, the scenes that its units lie in, and its split.
        method, settings: what to train, with complete settings.
        case_settings: of the case; its `noise` is read.
        seed: of the run.
        key: a hash of the code.
        state: folder for what an interrupted training continues from.
        output, curves, samples: where the model, the loss curves and the picture of a validation unit go; pictures of
            epochs (`pictures_every`) go into a folder beside, named like `samples` without its extension.
        start: a file of weights to start from: the model of an encoder, or any file that `read_weights` reads.

    Raises:
        UserError: a case without a training part, images smaller than the network's, weights that do not fit, or a
            loss that is not finite.
    """
    import torch

    from hsipipe.tasks.denoising.judge import Judge
    from hsipipe.tasks.denoising.training_data import draw_patches
    from hsipipe.training import ranks
    from hsipipe.training.accounting import measure
    from hsipipe.training.history import draw_history
    from hsipipe.training.loop import run_training
    from hsipipe.training.memory import training_memory
    from hsipipe.training.model_file import save_model
    from hsipipe.training.pictures import draw_samples

    network_settings, patch_settings, training_settings = sort_settings(settings)
    training = settings_from(TrainingSettings, training_settings, f"settings of {method.name}")
    train = [unit for unit in units if unit.part == "train"]
    if not train:
        raise UserError(
            f"{method.name!r} is trained, and the case has no training part",
            file=case,
            key="split",
            remedy="split the case, or name a case with `models_from`",
        )
    module = method.load()
    if patch_settings["patch"] is None and not hasattr(module, "prepare"):
        raise UserError(
            f"method {method.name!r} does not say how large its training images are",
            key="patch",
            remedy="give its method.yaml a setting `patch` or `image_size`, or its model.py a `prepare`",
        )
    check_image_size(settings.get("image_size"), train, case)
    noise = parse_noise(case_settings["noise"])
    started = read_start(start)
    with CaseFile(case, scenes) as opened:
        pool = UnitPool(opened, train, seed=seed)
        torch.manual_seed(seed_for(opened.name, seed, method.base))
        network = build(module, opened.wavelength_nm, len(opened.band_index), network_settings, start=started)

        def draw_noisy_patches(batch: int, on: torch.device, size: int) -> dict[str, torch.Tensor]:
            epoch = batch // (training.steps_per_epoch * training.accumulate)
            return draw_patches(
                pool.cubes(epoch, on),
                step=batch,
                seed=(opened.name, seed),
                batch_size=size,
                noise=noise,
                **patch_settings,
            )

        draw = draw_noisy_patches
        judge = Judge(opened, module, seed=seed)
        loss = getattr(module, "loss", squared_error)
        reckoned: dict[str, Any] = {}

        def before_training() -> None:
            nonlocal draw
            cpu = torch.device("cpu")
            if hasattr(module, "prepare"):  # a training step of the method's own
                draw = module.prepare(network, pool.cubes(0, cpu), noise=noise, seed=(opened.name, seed))
            sizes = shapes_of(draw(0, cpu, 1), training.batch_size // ranks.count())  # what one device holds
            stand_in = deepcopy(network).to("meta")
            reckoned.update(training_memory(stand_in, loss, sizes, optimizer=training.optimizer).as_dict())

        def draw_picture(model: torch.nn.Module, epoch: int | None) -> None:
            title = f"{method.name}, {opened.name}" + ("" if epoch is None else f", epoch {epoch}")
            folder = Path(samples).with_suffix("")
            path = samples if epoch is None else folder / f"epoch-{epoch:04d}.png"
            draw_samples(judge.picture(model, train[0], noise), opened.wavelength_nm, path, title=title)

        def after_epoch(model: torch.nn.Module, epoch: int) -> None:
            if training.draws_pictures_at(epoch):
                draw_picture(model, epoch)

        effective = {
            name: value for name, value in settings.items() if name not in (*NEUTRAL_SETTINGS, *START_SETTINGS)
        }
        training_key = step_key(key, opened.content, effective, seed, None if start is None else sha256_of(start))
        with ranks.training_lock(state), measure() as cost:
            result = run_training(
                network,
                draw_batch=lambda batch, on: draw(batch, on, training.batch_size),
                validate=judge.validate if judge.names else None,
                loss=loss,
                settings=training,
                state_dir=Path(state),
                key=training_key,
                seed=seed,
                rate_factor=getattr(network, "rate_factor", None),
                on_epoch=after_epoch,
                before=before_training,
            )
        # Of a training that ended before, this process has seen nothing: what was found then is kept beside its state.
        kept = Path(state) / "memory.json"
        if reckoned:
            write_json(kept, {"key": training_key, **reckoned, "peak_gpu_bytes": cost.peak_gpu_memory_bytes})
        memory = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        if memory.pop("key", None) != training_key:
            memory = {}
        save_model(
            output,
            model_state=result.model.state_dict(),
            architecture=method.name,
            settings=settings,
            normaliser={"name": "band-minmax", "scope": "item"},
            wavelength_nm=opened.wavelength_nm,
            key=training_key,
            history=result.history,
            bands=len(opened.band_index),
            training={
                "seconds_to_train": result.seconds,
                "steps": result.steps,
                "best_epoch": result.best_epoch,
                "stopped_early": result.stopped_early,
                "trained_on": result.trained_on,
                "started_from": None if start is None else str(start),
                "memory": memory,
            },
        )
        with torch.no_grad():
            draw_picture(result.model, None)
    draw_history(result.history, curves)


def shapes_of(batch: dict[str, torch.Tensor], size: int) -> dict[str, torch.Tensor]:
    """A batch of so many samples without its values, on device `meta`, from a batch of one."""
    import torch

    return {
        name: torch.empty(size, *value.shape[1:], dtype=value.dtype, device="meta") for name, value in batch.items()
    }


def squared_error(network: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean squared error of the denoised batch, the loss of every method that brings none of its own."""
    import torch

    return torch.nn.functional.mse_loss(network(batch["input"]), batch["target"])


def build(
    module: ModuleType,
    wavelength_nm: np.ndarray | None,
    bands: int,
    network_settings: dict[str, Any],
    *,
    start: dict[str, Any] | None = None,
) -> torch.nn.Module:
    """The network of a method for so many bands; one that can start from given weights is told the wavelengths too."""
    if start is None:
        return module.build(bands=bands, **network_settings)
    return module.build(bands=bands, wavelength_nm=wavelength_nm, start=start, **network_settings)


def read_start(start: str | Path | None) -> dict[str, Any] | None:
    """The weights that a training starts from, as `hsipipe.nets.weights.read_weights` gives them."""
    if start is None:
        return None
    from hsipipe.nets.weights import read_weights

    return read_weights(start)


def check_image_size(image_size: int | None, units: Sequence[Unit], case: str | Path) -> None:
    """Refuse training units that are smaller than the images that a network is made for."""
    smallest = min(min(unit.row_end - unit.row_start, unit.col_end - unit.col_start) for unit in units)
    if image_size is not None and smallest < image_size:
        raise UserError(
            f"has training units of {smallest} pixels, smaller than the network's image",
            file=case,
            key="image_size",
            found=image_size,
            remedy=f"set image_size to {smallest} or less, a multiple of the patch",
        )
