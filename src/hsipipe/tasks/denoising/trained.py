"""Load a trained denoiser, ready to be applied to cubes of any size."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsipipe.errors import UserError
from hsipipe.methods import Method, find_method

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


class TrainedDenoiser:
    """A network and what it was trained with; call it with a batch (B, C, H, W)."""

    def __init__(self, network: torch.nn.Module, content: dict[str, Any], path: str | Path) -> None:
        self.network, self.content, self.path = network, content, path

    def __call__(self, noisy: torch.Tensor, *, wavelength_nm: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise by overlapped tiles.

        Raises:
            UserError: a network made for another number of bands.
        """
        self._compare(wavelength_nm)
        from hsipipe.training.tiles import apply_tiled

        needed = getattr(self.network, "bands", None)
        if needed is not None and needed != noisy.shape[1]:
            raise UserError(
                f"was trained for {needed} bands",
                file=self.path,
                found=f"{noisy.shape[1]} bands",
                remedy="use a band-agnostic method, or train on this sensor",
            )
        return apply_tiled(self.network, noisy)

    def _compare(self, wavelength_nm: torch.Tensor | None) -> None:
        """Refuse a cube whose wavelengths lie wholly outside those trained on; say so where they differ."""
        trained = self.content.get("wavelength_nm")
        if trained is None or wavelength_nm is None:
            return
        (first, last), (low, high) = ((float(v.min()), float(v.max())) for v in (trained, wavelength_nm))
        if high < first or low > last:
            raise UserError(
                f"was trained on {first:.0f} to {last:.0f} nm",
                file=self.path,
                found=f"{low:.0f} to {high:.0f} nm",
                remedy="use a model of this spectral range, or an untrained method",
            )
        if len(trained) != len(wavelength_nm) or abs(first - low) > 50 or abs(last - high) > 50:
            log.info("%s: trained on %.0f to %.0f nm, applied to %.0f to %.0f nm", self.path, first, last, low, high)


def read_method(path: str | Path) -> tuple[Method, dict[str, Any]]:
    """The method that made a model file, and its settings."""
    from hsipipe.training.model_file import load_model

    content = load_model(path)
    return find_method("denoising", content["architecture"], file=path), content["settings"]


def load_denoiser(path: str | Path, *, device: str = "cpu") -> TrainedDenoiser:
    """Read a model file and build its network in evaluation mode."""
    from hsipipe.tasks.denoising.fit import sort_settings
    from hsipipe.training.model_file import load_model

    content = load_model(path)
    method = find_method("denoising", content["architecture"], file=path)
    network = method.load().build(bands=content["bands"], **sort_settings(content["settings"])[0])
    network.load_state_dict(content["model_state"])
    return TrainedDenoiser(network.to(device).eval(), content, path)


def trained_costs(path: str | Path | None) -> dict[str, Any]:
    """What a model took to train and how large it is, for run.json; nothing without a model."""
    if path is None:
        return {}
    from hsipipe.training.accounting import count_parameters

    denoiser = load_denoiser(path)
    counted = count_parameters(denoiser.network)
    return {
        **denoiser.content["training"],
        "parameters": counted.total,
        "trainable_parameters": counted.trainable,
        "stored_bits": counted.stored_bits,
    }
