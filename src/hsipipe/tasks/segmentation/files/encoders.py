"""An autoencoder for a scene of one's own: fitted to its own spectra, without a case."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.errors import UserError, unknown
from hsipipe.methods import Method, find_method, methods_of
from hsipipe.randomness import generator_for, seed_for

if TYPE_CHECKING:
    from hsipipe.tasks.segmentation.autoencoder import TrainedAutoencoder
    from hsipipe.tasks.segmentation.case import Image

DEFAULT_ENCODER = "pca"
NO_ENCODER = "none"
MOST_SPECTRA = 50_000  # beyond these a sample of all tells as much
VALIDATED = (0.1, 20_000)  # share of the spectra, and number of them at most, that choose the epoch


def encoder_names() -> list[str]:
    """The autoencoders there are."""
    return [name for name, method in methods_of("segmentation").items() if method.is_trained_by_loop]


def fit_encoder(
    image: Image,
    name: str = DEFAULT_ENCODER,
    *,
    latent: int | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> TrainedAutoencoder:
    """Fit an autoencoder to the valid spectra of an image, or to a sample of 50,000 of them.

    Principal components are found in closed form, in a moment. Others are trained by the training loop, for as many
    epochs as their settings say; a tenth of the spectra chooses the epoch that is kept.

    Args:
        image: in the scene's own units.
        name: one of `encoder_names`.
        latent: length of the latents; None: the method's default, or fewer where there are fewer spectra or bands.
        settings: others of the method.
        seed: of the sample, the weights at the start and the batches.
        device: torch device to apply it on.

    Raises:
        UserError: an unknown name or setting, or too few spectra or bands for it.
    """
    import torch

    from hsipipe.tasks.segmentation.autoencoder import make_autoencoder
    from hsipipe.tasks.segmentation.shared.normalisers import fit_normaliser
    from hsipipe.tasks.segmentation.shared.resample import make_resampling

    if name not in encoder_names():
        raise unknown("autoencoder", name, [*encoder_names(), NO_ENCODER])
    method = find_method("segmentation", name)
    complete = method.complete(dict(settings or {}))
    spectra = _sample(image, seed)
    if latent is not None:
        complete["latent"] = method.complete({"latent": latent})["latent"]
    elif "latent" not in (settings or {}):
        complete["latent"] = min(complete["latent"], *spectra.shape)
    if complete.get("weights") is not None:
        remedy = "give the model itself as the encoder"
        raise UserError(
            "an autoencoder is fitted to a file anew", key="weights", found=complete["weights"], remedy=remedy
        )
    seen = spectra
    if complete["resample"] is not None:
        seen = make_resampling(spectra.shape[1], complete["resample"], wavelength_nm=image.wavelength_nm).apply(spectra)
    normaliser = fit_normaliser(complete["normaliser"], seen)
    # Whoever calls this may compute without gradients, which a training needs.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed_for("encoder", seed, method.base))
        trained = make_autoencoder(
            method, complete, bands=len(image.cube), wavelength_nm=image.wavelength_nm, normaliser=normaliser
        )
        prepared = trained.normalise(torch.from_numpy(spectra))[0].contiguous()
        if hasattr(method.load(), "initialise"):
            method.load().initialise(trained.network, prepared)
        if any(parameter.requires_grad for parameter in trained.network.parameters()):
            _train(trained, method, complete, prepared, spectra, seed)
    trained.network.to(device).eval()
    return replace(trained, device=device)


def _sample(image: Image, seed: int) -> np.ndarray:
    """The valid spectra (N, bands) float32, or a sample of them."""
    places = np.flatnonzero(image.valid)
    if len(places) > MOST_SPECTRA:
        places = np.sort(generator_for("encoder", seed, "spectra").choice(places, MOST_SPECTRA, replace=False))
    return np.ascontiguousarray(image.cube.reshape(len(image.cube), -1)[:, places].T, np.float32)


def _train(
    trained: TrainedAutoencoder, method: Method, settings: dict[str, Any], prepared: Any, spectra: np.ndarray, seed: int
) -> None:
    """Train the network in place on normalised spectra, as a case's autoencoder is trained."""
    import torch

    from hsipipe.keys import step_key
    from hsipipe.settings import settings_from, split
    from hsipipe.tasks.segmentation.fit_autoencoder import make_validation, scene_loss
    from hsipipe.training.loop import run_training
    from hsipipe.training.settings import TrainingSettings

    training = settings_from(TrainingSettings, split(TrainingSettings, settings)[0], f"settings of {method.name}")
    loss = scene_loss(settings["loss"], trained.normaliser)
    order = generator_for("encoder", seed, "validation").permutation(len(spectra))
    unseen = min(int(VALIDATED[0] * len(spectra)), VALIDATED[1])
    kept = torch.from_numpy(np.sort(order[unseen:]))

    def draw_batch(number: int, on: torch.device) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed_for("encoder", seed, "batch", number))
        chosen = kept[torch.randint(len(kept), (training.batch_size,), generator=generator)]
        return {"spectra": prepared[chosen].to(on)}

    with tempfile.TemporaryDirectory(prefix="hsipipe-") as folder:
        run_training(
            trained.network,
            draw_batch=draw_batch,
            validate=make_validation(trained, spectra[np.sort(order[:unseen])], loss) if unseen else None,
            loss=lambda model, batch: loss(model(batch["spectra"]), batch["spectra"]),
            settings=training,
            state_dir=Path(folder),
            key=step_key("encoder", method.name, settings, seed),
            seed=seed,
        )
