"""What a network makes of units under fixed noise: its validation loss, and the pictures of a training."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from hsipipe.cases.split import Unit
from hsipipe.degrade.noise import Noise
from hsipipe.randomness import seed_for
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.training.tiles import apply_network


class Judge:
    """Judges a network by the validation units of a case.

    A method of kind `encoder` brings a `validation` of its own; every other is judged by its mean squared error over
    valid pixels and measured bands.

    Args:
        case: the case.
        module: the method's module.
        seed: of the run; seeds what a method's own validation draws.
    """

    def __init__(self, case: CaseFile, module: ModuleType, *, seed: int) -> None:
        self._case, self._module, self._seed = case, module, seed
        self.names = case.names("val")

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The mean loss over the validation units."""
        losses = [self._loss(network, name) for name in self.names]
        return {"loss": sum(losses) / len(losses)}

    def _loss(self, network: nn.Module, name: str) -> float:
        truth = self._case.truth(name)
        where = _device(network)
        noisy = torch.from_numpy(self._case.noisy(name)).to(where)
        if hasattr(self._module, "validation"):
            clean = torch.from_numpy(truth.cube).to(where)
            return float(self._module.validation(network, clean, noisy, self._generator(name, where)))
        error = (_apply(network, noisy).cpu().numpy() - truth.cube) ** 2
        return float(error[truth.good][:, truth.valid].mean())

    def picture(self, network: nn.Module, fallback: Unit, noise: Noise) -> dict[str, np.ndarray]:
        """Images (bands, rows, cols) by title, of the first validation unit.

        Without validation units it is `fallback`, a training unit, with noise drawn for the picture.
        """
        where = _device(network)
        name = self.names[0] if self.names else fallback.name
        generator = self._generator(name, where)
        if self.names:
            clean = torch.from_numpy(self._case.truth(name).cube).to(where)
            noisy = torch.from_numpy(self._case.noisy(name)).to(where)
        else:
            clean = torch.from_numpy(self._case.truth_of(fallback).cube).to(where)
            noisy = noise.apply(clean[None], generator)[0]
        if hasattr(self._module, "picture"):
            images = self._module.picture(network, clean, noisy, generator)
        else:
            images = {"noisy": noisy, "denoised": _apply(network, noisy), "clean": clean}
        return {title: image.float().cpu().numpy() for title, image in images.items()}

    def _generator(self, name: str, where: torch.device) -> torch.Generator:
        return torch.Generator(where).manual_seed(seed_for(self._case.name, self._seed, "validation", name))


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _apply(network: nn.Module, noisy: Tensor) -> Tensor:
    """One denoised cube (bands, rows, cols), float32."""
    return apply_network(network, noisy[None])[0].float()
