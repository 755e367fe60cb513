"""`fit`: train a denoiser on the training part of a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsipipe.cases.split import Unit
from hsipipe.degrade.noise import parse_noise
from hsipipe.errors import UserError
from hsipipe.keys import step_key
from hsipipe.locks import held
from hsipipe.methods import Method
from hsipipe.randomness import seed_for
from hsipipe.settings import settings_from
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.denoising.unit_pool import UnitPool
from hsipipe.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

PATCH_SETTINGS = ("patch", "bands_per_patch")
VALIDATION_UNITS = 64  # more say little about which epoch is best, and cost a forward pass each


def sort_settings(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Settings of a trained method as those of its network, of its patches and of its training."""
    of_training = {field.name for field in fields(TrainingSettings)}
    training = {key: value for key, value in settings.items() if key in of_training}
    patches = {key: value for key, value in settings.items() if key in PATCH_SETTINGS}
    network = {key: value for key, value in settings.items() if key not in of_training and key not in PATCH_SETTINGS}
    return network, patches, training


def validation_loss(case: CaseFile, names: Sequence[str], network: torch.nn.Module) -> dict[str, float]:
    """Mean squared error on validation units under their fixed noise, over valid pixels and measured bands."""
    import torch

    from hsipipe.training.tiles import apply_tiled

    where = next(network.parameters()).device
    losses = []
    for name in names:
        truth = case.truth(name)
        noisy = torch.from_numpy(case.noisy(name))[None].to(where)
        error = (apply_tiled(network, noisy)[0].float().cpu().numpy() - truth.cube) ** 2
        losses.append(float(error[truth.good][:, truth.valid].mean()))
    return {"loss": sum(losses) / len(losses)}


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
) -> None:
    """Train, and write the model file and its loss curves; an interrupted training goes on from its state folder.

    Training noise is drawn anew at every step, on the device; validation uses the fixed noise of the case file.

    Raises:
        UserError: a case without a training part, or a loss that is not finite.
    """
    import torch

    from hsipipe.tasks.denoising.training_data import draw_patches
    from hsipipe.training.history import draw_history
    from hsipipe.training.loop import NEUTRAL
    from hsipipe.training.loop import fit as run_training
    from hsipipe.training.model_file import save_model

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
    corruption = parse_noise(case_settings["noise"])
    with CaseFile(case, scenes) as opened:
        pool = UnitPool(opened, train, seed=seed)
        torch.manual_seed(seed_for(opened.name, seed, method.base))
        network = method.load().build(bands=len(opened.band_index), **network_settings)

        def draw_batch(batch: int, on: torch.device) -> dict[str, torch.Tensor]:
            epoch = batch // (training.steps_per_epoch * training.accumulate)
            return draw_patches(
                pool.cubes(epoch, on),
                step=batch,
                seed=(opened.name, seed),
                batch_size=training.batch_size,
                noise=corruption,
                **patch_settings,
            )

        held_out = opened.names("val")[:VALIDATION_UNITS]
        effective = {name: value for name, value in settings.items() if name not in NEUTRAL}
        training_key = step_key(key, opened.content, effective, seed)
        # A killed workflow may leave its training alive: the next one waits for it, and finds it finished.
        with held(Path(state) / "lock", wait=True, busy="another process does this training"):
            result = run_training(
                network,
                draw_batch=draw_batch,
                validate=partial(validation_loss, opened, held_out) if held_out else None,
                loss=lambda model, batch: torch.nn.functional.mse_loss(model(batch["input"]), batch["target"]),
                settings=training,
                state_dir=Path(state),
                key=training_key,
                seed=seed,
            )
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
            },
        )
    draw_history(result.history, curves)
