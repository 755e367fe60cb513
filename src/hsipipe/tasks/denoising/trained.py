"""Load a trained denoiser, ready to be applied to cubes of any size."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.bands.matching import MARGIN_NM, Matching, match_bands
from hsipipe.errors import UserError
from hsipipe.methods import Method, find_method, methods_of

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


class TrainedDenoiser:
    """A network and what it was trained with; call it with a batch (B, C, H, W)."""

    def __init__(self, network: torch.nn.Module, content: dict[str, Any], path: str | Path) -> None:
        self.network, self.content, self.path = network, content, path

    def __call__(self, noisy: torch.Tensor, *, wavelength_nm: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise by overlapped tiles.

        A network made for certain bands gets a cube of other wavelengths resampled to them, linearly, and what it makes
        of that is resampled back.

        Raises:
            UserError: wavelengths that lie outside those trained on, or another number of bands without wavelengths.
        """
        from hsipipe.training.tiles import apply_network

        trained = self.content.get("wavelength_nm")
        given = None if wavelength_nm is None else np.asarray(wavelength_nm.cpu(), np.float64)
        needed = getattr(self.network, "bands", None)
        if needed is not None:
            matching = match_bands(trained, given, needed=needed, given=noisy.shape[1], path=self.path)
            if matching is not None:
                return self._resampled(noisy, matching)
        network: Any = self.network
        if hasattr(network, "for_wavelengths"):  # it knows what of it serves at other wavelengths, and says so
            network = network.for_wavelengths(trained, given)
        elif needed is None and trained is not None and given is not None:
            self._compare(trained, given)
        return apply_network(network, noisy)

    def _resampled(self, noisy: torch.Tensor, matching: Matching) -> torch.Tensor:
        """Denoise a cube of other bands by way of the network's own."""
        import torch

        from hsipipe.training.tiles import apply_network

        there, back = (torch.from_numpy(matrix).to(noisy) for matrix in (matching.there, matching.back))
        own = torch.einsum("tc,bchw->bthw", there, noisy)
        return torch.einsum("ct,bthw->bchw", back, apply_network(self.network, own).to(noisy))

    def _compare(self, trained: np.ndarray, given: np.ndarray) -> None:
        """Refuse a cube whose wavelengths lie wholly outside those trained on; say so where they differ."""
        first, last, low, high = trained.min(), trained.max(), given.min(), given.max()
        if high < first or low > last:
            raise UserError(
                f"was trained on {first:.0f} to {last:.0f} nm",
                file=self.path,
                found=f"{low:.0f} to {high:.0f} nm",
                remedy="use a model of this spectral range, or an untrained method",
            )
        if len(trained) != len(given) or abs(first - low) > MARGIN_NM or abs(last - high) > MARGIN_NM:
            log.info("%s: trained on %.0f to %.0f nm, applied to %.0f to %.0f nm", self.path, first, last, low, high)


def read_method(path: str | Path) -> tuple[Method, dict[str, Any]]:
    """The method that made a model file, and its settings."""
    from hsipipe.training.model_file import load_model

    content = load_model(path)
    name = content["architecture"]
    for task, verb in (("segmentation", "classify, encode or segment"), ("representation", "embed")):
        if name in methods_of(task) and name not in methods_of("denoising"):
            raise UserError(f"is a model of {task}", file=path, found=name, remedy=f"use hsipipe {verb}")
    return find_method("denoising", name, file=path), content["settings"]


def load_denoiser(path: str | Path, *, device: str = "cpu") -> TrainedDenoiser:
    """Read a model file and build its network in evaluation mode.

    Raises:
        UserError: no model file, an encoder, or a network that this version builds otherwise.
    """
    from hsipipe.tasks.denoising.fit import build, sort_settings
    from hsipipe.training.model_file import load_model

    content = load_model(path)
    method = find_method("denoising", content["architecture"], file=path)
    if method.kind == "encoder":
        raise UserError("is an encoder, which denoises nothing", file=path, remedy="give a model that started from it")
    try:
        network = build(method.load(), None, content["bands"], sort_settings(content["settings"])[0])
        network.load_state_dict(content["model_state"])
    except (KeyError, RuntimeError, TypeError) as error:
        # The first line of torch's message only names the class; the ones that follow say what differs.
        lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
        raise UserError(
            f"its weights are not of the {method.name} that its settings make",
            file=path,
            found=lines[1 if len(lines) > 1 else 0][:200],
            remedy="train it anew: it may come from another version",
        ) from error
    return TrainedDenoiser(network.to(device).eval(), content, path)


def trained_costs(path: str | Path | None) -> dict[str, Any]:
    """What a model took to train and how large it is, for run.json; nothing without a model."""
    if path is None:
        return {}
    from hsipipe.training.model_file import load_model

    return dict(load_model(path)["training"])
