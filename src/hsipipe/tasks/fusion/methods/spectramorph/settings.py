"""The settings of SpectraMorph; names and defaults are those of the paper's own program where it has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hsipipe.errors import UserError
from hsipipe.settings import check

# The variant `spectramorph-fast`: about the paper's quality in 2 CPU seconds, whatever the size of the scene. The
# closed-form start leaves the network little to learn, orthonormal coordinates let Adam take the same step for every
# latent, and a fixed number of steps on small batches does not grow with the number of LR pixels.
FAST: dict[str, Any] = {
    "extraction": "vca",
    "hidden_size": 256,
    "start": "linear",
    "coordinates": "orthonormal",
    "training_batch_size": 512,
    "training_steps": 1600,
}


def _setting(default: Any, meaning: str, **limits: Any) -> Any:
    return field(default=default, metadata={"meaning": meaning, **limits})


@dataclass(frozen=True)
class SpectraMorphSettings:
    """What can be set; every value is checked when the object is made."""

    num_endmembers: int | None = _setting(None, "endmembers K; null estimates them", minimum=1)
    extraction: Literal["nmf", "vca"] = _setting("nmf", "where the endmembers come from")
    representatives: int | None = _setting(None, "factorise at most so many LR spectra; null: all", minimum=1)
    hidden_size: int = _setting(1024, "units of a hidden layer", minimum=1)
    hidden_layers: int = _setting(1, "hidden layers; 0 is a linear head alone", minimum=0)
    activation: Literal["relu", "leaky_relu", "gelu", "tanh"] = _setting("relu", "of the hidden layers")
    head: Literal["linear", "nonnegative", "simplex"] = _setting("linear", "range of the latents")
    start: Literal["none", "linear"] = _setting("none", "linear: add the closed-form linear fit to the latents")
    coordinates: Literal["endmembers", "orthonormal"] = _setting("endmembers", "in which the latents are trained")
    loss: Literal["mae", "mse", "huber", "spectral_norm"] = _setting("mae", "what the training minimises")
    schedule: Literal["one_cycle", "flat"] = _setting("one_cycle", "learning rate over the training")
    init_lr: float = _setting(1e-3, "learning rate at the start; that of the flat schedule", above=0)
    max_lr: float = _setting(1e-2, "learning rate after 30 % of the training", above=0)
    final_lr: float = _setting(1e-6, "learning rate at the end", minimum=0)
    epochs: int = _setting(2500, "passes over the LR pixels", minimum=1)
    training_steps: int | None = _setting(
        None, "steps of the whole training; null: as many as the epochs have", minimum=1
    )
    training_batch_size: int | None = _setting(None, "pixels of a step, shuffled; null: all", minimum=1)
    inference_batch_size: int | None = _setting(None, "pixels at once when applied; null: fits the cache", minimum=1)
    spectral_prior: bool = _setting(False, "coarse spectral prior: also give the network the LR spectrum")
    prior_downsample: int = _setting(4, "how much coarser than the LR-HSI the prior is in training", minimum=2)
    clip: bool = _setting(True, "clip the result to [0, 1]")

    def __post_init__(self) -> None:
        check(self)
        if self.start == "linear" and self.head != "linear":
            raise UserError("the linear start needs the linear head", key="start", found=f"head {self.head!r}")
        if self.coordinates == "orthonormal" and self.head != "linear":
            raise UserError(
                "orthonormal coordinates need the linear head", key="coordinates", found=f"head {self.head!r}"
            )
        if self.max_lr < max(self.init_lr, self.final_lr) and self.schedule == "one_cycle":
            raise UserError("must be the largest of the three learning rates", key="max_lr", found=self.max_lr)
