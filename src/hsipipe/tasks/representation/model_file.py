"""The model file of an encoder or of a fitted rival, and what is needed to embed images with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.methods import Method, find_method

if TYPE_CHECKING:
    from hsipipe.tasks.representation.case import CaseFile
    from hsipipe.tasks.representation.shared.network import EmbeddingNetwork

BATCH = 64  # images embedded at once
Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Embedder:
    """Attributes: method; bands: places (n,) among the bands of the case that it was trained on; wavelength_nm (n,) of
    them or None; embed: images (N, n, H, W) float32 reflectance and masks (N, H, W) to embeddings (N, D) float32;
    network (None for a rival of NumPy); content: what else the model file told.
    """

    method: Method
    bands: np.ndarray
    wavelength_nm: np.ndarray | None
    embed: Embed
    network: EmbeddingNetwork | None
    content: dict[str, Any]


def save_embedder(
    path: str | Path,
    method: Method,
    *,
    case: CaseFile,
    bands: np.ndarray,
    settings: dict[str, Any],
    key: str,
    network: EmbeddingNetwork | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    normaliser: dict[str, Any] | None = None,
    history: Any = (),
    training: dict[str, Any],
) -> None:
    """Write a model file: weights or arrays, settings, normalisation, bands and wavelengths, size of the images."""
    from hsipipe.training.model_file import save_model

    save_model(
        path,
        model_state={} if network is None else network.state_dict(),
        architecture=method.name,
        settings=settings,
        normaliser=normaliser,
        wavelength_nm=None if case.wavelength_nm is None else case.wavelength_nm[bands],
        key=key,
        history=history,
        task="representation",
        bands=bands,
        arrays=dict(arrays or {}),
        classes=case.species,
        size=case.shape[1],
        patches=case.patches,
        training=training,
    )


def load_embedder(path: str | Path, *, device: str = "cpu") -> Embedder:
    """Read a model file, ready to embed.

    Raises:
        UserError: no model file, that of another task, or a network that this version builds otherwise.
    """
    from hsipipe.training.model_file import load_model

    content = load_model(path)
    if content.get("task") != "representation":
        remedy = "give the model.pt of an encoder, see `hsipipe methods --task representation`"
        raise UserError("embeds no images", file=path, found=content["architecture"], remedy=remedy)
    method = find_method("representation", content["architecture"], file=path)
    bands = np.asarray(content["bands"], np.int64)
    if method.backend == "numpy":
        module, arrays = method.load(), content["arrays"]

        def embed_arrays(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
            found: np.ndarray = module.embed(images, masks, state=arrays)
            return found

        return Embedder(method, bands, content["wavelength_nm"], embed_arrays, None, content)
    network = _network(method, content, path).to(device).eval()
    return Embedder(method, bands, content["wavelength_nm"], network_embed(network, device), network, content)


def network_embed(network: EmbeddingNetwork, device: str = "cpu", *, wavelength_nm: np.ndarray | None = None) -> Embed:
    """The function of a network that embeds arrays, in batches and without gradients.

    Args:
        network: in evaluation mode.
        device: where it is.
        wavelength_nm: of the images, where they have other bands than the network was made for.
    """
    import torch

    centres = None if wavelength_nm is None else torch.as_tensor(wavelength_nm, dtype=torch.float32, device=device)

    @torch.inference_mode()
    def embed(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        pieces = []
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            cubes = torch.from_numpy(np.ascontiguousarray(images[part], np.float32)).to(device)
            inside = torch.from_numpy(np.ascontiguousarray(masks[part][:, None], np.float32)).to(device)
            pieces.append(network.embed(cubes, inside, centres).float().cpu().numpy())
        return np.concatenate(pieces)

    return embed


def _network(method: Method, content: dict[str, Any], path: str | Path) -> EmbeddingNetwork:
    from hsipipe.tasks.representation.fit import network_settings
    from hsipipe.tasks.representation.shared.normalise import Normalisation

    # The weights stand in the file; what a pretrained backbone makes of the stem's width must stay.
    settings = {**content["settings"], "pretrained": None}
    if settings.get("maps") is None and content["settings"].get("pretrained"):
        settings["maps"] = 3
    settings = {name: value for name, value in settings.items() if name in method.settings}
    try:
        network: EmbeddingNetwork = method.load().build(
            wavelength_nm=content["wavelength_nm"],
            bands=len(content["bands"]),
            normalisation=Normalisation(**content["normaliser"]),
            **network_settings(method, settings, classes=len(content["classes"])),
        )
        network.load_state_dict(content["model_state"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise UserError(
            f"its weights are not of the {method.name} that its settings make",
            file=path,
            found=str(error).splitlines()[-1].strip()[:200],
            remedy="train it anew: it may come from another version",
        ) from error
    return network
