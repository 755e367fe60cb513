"""A trained autoencoder: spectra in the scene's units to latents and back; its file says all that this takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hsipipe.bands.matching import Matching, match_bands
from hsipipe.errors import UserError
from hsipipe.methods import Method, find_method
from hsipipe.tasks.segmentation.shared.autoencoder import Autoencoder
from hsipipe.tasks.segmentation.shared.normalisers import Normaliser
from hsipipe.tasks.segmentation.shared.resample import Resampling, make_resampling
from hsipipe.training.model_file import load_model, save_model
from hsipipe.training.settings import TrainingSettings

BATCH = 2048  # spectra at once: larger batches leave the cache and are slower
AROUND = ("normaliser", "loss", "resample", "weights")  # of a method's settings, those that do not shape its network


@dataclass(frozen=True)
class TrainedAutoencoder:
    """A network, and what spectra pass on their way to it and back.

    Attributes: method; settings; network (in evaluation mode when it is applied); normaliser; resampling (None: native
    bands); bands and wavelength_nm ((bands,) or None): of the spectra that it was trained on; matching: how spectra of
    other bands are brought to those (None: they have the same); device; path: of its file, for messages.
    """

    method: Method
    settings: dict[str, Any]
    network: Autoencoder
    normaliser: Normaliser
    resampling: Resampling | None
    bands: int
    wavelength_nm: np.ndarray | None
    matching: Matching | None = None
    device: str = "cpu"
    path: str | Path = ""

    def for_bands(self, bands: int, wavelength_nm: np.ndarray | None) -> TrainedAutoencoder:
        """The same for spectra of other bands, which are resampled on the way in and out.

        Raises:
            UserError: bands that it cannot serve, see `match_bands`.
        """
        matching = match_bands(self.wavelength_nm, wavelength_nm, needed=self.bands, given=bands, path=self.path)
        return replace(self, matching=matching)

    def normalise(self, spectra: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Spectra (N, C) to what the network sees, (N, network.bands), and the parameters (N, p) of each."""
        if self.matching is not None:
            spectra = spectra @ torch.from_numpy(self.matching.there.T).to(spectra)
        if self.resampling is not None:
            spectra = self.resampling.apply(spectra)
        normalised, parameters = self.normaliser.apply(spectra)
        return normalised, parameters

    def restore(self, normalised: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        """The way back: what the network makes, (N, network.bands), to spectra (N, C) in the scene's units."""
        spectra: torch.Tensor = self.normaliser.invert(normalised, parameters)
        if self.resampling is not None:
            spectra = self.resampling.invert(spectra)
        if self.matching is not None:
            spectra = spectra @ torch.from_numpy(self.matching.back.T).to(spectra)
        return spectra

    @torch.inference_mode()
    def encode(self, spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spectra (N, C), in the scene's units, to latents (N, z) and the parameters (N, p) of their normaliser."""
        pieces = []
        for piece in self._pieces(spectra):
            normalised, parameters = self.normalise(piece)
            pieces.append((self.network.encode(normalised).cpu().numpy(), parameters.cpu().numpy()))
        if not pieces:
            return np.zeros((0, self.network.latent), np.float32), np.zeros((0, self.normaliser.parameters), np.float32)
        latents, own = zip(*pieces, strict=True)
        return np.concatenate(latents), np.concatenate(own)

    @torch.inference_mode()
    def decode(self, latents: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        """Latents (N, z) and the parameters (N, p) of their normaliser to spectra (N, C) in the scene's units.

        Raises:
            UserError: a decoder that needs the spectra (skip connections), or another number of latents or parameters.
        """
        if latents.shape[1] != self.network.latent or parameters.shape != (len(latents), self.normaliser.parameters):
            raise UserError(
                f"decodes {self.network.latent} latents and {self.normaliser.parameters} parameters of each spectrum",
                file=self.path,
                found=f"{latents.shape[1]} latents, {parameters.shape[1]} parameters",
            )
        made = [
            self.restore(self.network.decode(piece), own).cpu().numpy()
            for piece, own in zip(self._pieces(latents), self._pieces(parameters), strict=True)
        ]
        return np.concatenate(made)

    @torch.inference_mode()
    def reconstruct(self, spectra: np.ndarray) -> np.ndarray:
        """Spectra (N, C), in the scene's units, as they come out of the latent space."""
        made = np.empty(spectra.shape, np.float32)
        start = 0
        for piece in self._pieces(spectra):
            normalised, parameters = self.normalise(piece)
            made[start : start + len(piece)] = self.restore(self.network(normalised), parameters).cpu().numpy()
            start += len(piece)
        return made

    def _pieces(self, rows: np.ndarray) -> Iterator[torch.Tensor]:
        """The rows in batches on the device."""
        for start in range(0, len(rows), BATCH):
            batch = np.ascontiguousarray(rows[start : start + BATCH], np.float32)
            yield torch.from_numpy(batch).to(self.device)

    def encode_image(self, cube: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latents (z, rows, cols) float32 of a cube (bands, rows, cols), 0 where not valid; parameters (N, p) of the
        valid pixels, row by row."""
        latents, parameters = self.encode(cube[:, valid].T)
        maps = np.zeros((latents.shape[1], *valid.shape), np.float32)
        maps[:, valid] = latents.T
        return maps, parameters

    def reconstruct_image(self, cube: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The cube (bands, rows, cols) as it comes out of the latent space; 0 where not valid."""
        made = np.zeros(cube.shape, np.float32)
        made[:, valid] = self.reconstruct(cube[:, valid].T).T
        return made


def make_autoencoder(
    method: Method,
    settings: dict[str, Any],
    *,
    bands: int,
    wavelength_nm: np.ndarray | None,
    normaliser: Normaliser,
    device: str = "cpu",
    path: str | Path = "",
) -> TrainedAutoencoder:
    """The autoencoder of a method for so many bands, its weights as they start.

    Raises:
        UserError: settings that make no network, or spectra too short for it.
    """
    length = settings.get("resample")
    resampling = None if length is None else make_resampling(bands, length, wavelength_nm=wavelength_nm)
    of_training = {*TrainingSettings.__dataclass_fields__, *AROUND}
    shape = {name: value for name, value in settings.items() if name not in of_training}
    network = method.load().build(bands=length or bands, **shape)
    return TrainedAutoencoder(
        method, settings, network.to(device), normaliser, resampling, bands, wavelength_nm, device=device, path=path
    )


def save_autoencoder(path: str | Path, trained: TrainedAutoencoder, *, key: str, **more: Any) -> None:
    """Write the model file: weights, architecture, settings, normaliser, wavelengths, and `more` of `save_model`."""
    save_model(
        path,
        model_state=trained.network.state_dict(),
        architecture=trained.method.name,
        settings=trained.settings,
        normaliser=trained.normaliser.to_dict(),
        wavelength_nm=trained.wavelength_nm,
        key=key,
        bands=trained.bands,
        task="segmentation",
        **more,
    )


def load_autoencoder(path: str | Path, *, device: str = "cpu") -> TrainedAutoencoder:
    """Read a model file; nothing else is needed to apply it.

    Raises:
        UserError: no model file, that of another task or a classifier, or a network that this version builds otherwise.
    """
    content = load_model(path)
    remedy = "give the model.pt of an autoencoder of spectra"
    if content.get("task") != "segmentation" or "classifier" in content:
        raise UserError("is no autoencoder of spectra", file=path, found=content["architecture"], remedy=remedy)
    method = find_method("segmentation", content["architecture"], file=path)
    normaliser = Normaliser.from_dict(content["normaliser"])
    trained = make_autoencoder(
        method,
        content["settings"],
        bands=content["bands"],
        wavelength_nm=content["wavelength_nm"],
        normaliser=normaliser,
        device=device,
        path=path,
    )
    try:
        trained.network.load_state_dict(content["model_state"])
    except RuntimeError as error:
        raise UserError(
            f"its weights are not of the {method.name} that its settings make",
            file=path,
            found=str(error).splitlines()[-1].strip()[:200],
            remedy="train it anew: it may come from another version",
        ) from error
    trained.network.eval()
    return trained
