"""Noise synthesis: `parse_noise` makes a `Noise` from a name or a specification, `Noise.apply` adds it.

Importing this module does not import torch, so a configuration can be checked without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hsipipe.degrade import draws
from hsipipe.degrade.noise_components import Clip, Component, Gaussian, Stripe
from hsipipe.degrade.noise_spec import components_of
from hsipipe.randomness import seed_for

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Noise:
    """A noise: components applied one after the other.

    Components that touch a part of the bands take disjoint parts, in their order, as long as the bands suffice (then
    from the start again), as in the field's mixed noise.

    Attributes:
        components: the steps.
        name: the preset it came from, or "" (not part of what it is).
    """

    components: tuple[Component, ...]
    name: str = field(default="", compare=False)

    def apply(self, clean: torch.Tensor, generator: torch.Generator | Sequence[torch.Generator]) -> torch.Tensor:
        """A noisy copy of `clean`.

        Args:
            clean: (B, C, H, W) on any device, in the units of the noise's settings (presets: [0, 1]).
            generator: one generator for the batch, or one per image; with one per image an image's noise does not
                depend on the batch that it is in. Draws are made on the generator's device and moved to the image's.

        Returns:
            (B, C, H, W), on the device and of the type of `clean`.

        Raises:
            ValueError: not a floating-point batch of four axes, or a number of generators other than B.
        """
        if clean.ndim != 4 or not clean.is_floating_point():
            raise ValueError(f"expected a floating-point batch (B, C, H, W), got {clean.dtype} {tuple(clean.shape)}")
        noisy = clean.clone()
        if not isinstance(generator, Sequence):
            return self._corrupt(noisy, generator)
        if len(generator) != len(clean):
            raise ValueError(f"{len(generator)} generators for {len(clean)} images")
        for index, own in enumerate(generator):
            target = noisy[index : index + 1]
            result = self._corrupt(target, own)
            if result is not target:
                target.copy_(result)
        return noisy

    def _corrupt(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        batch, bands = image.shape[:2]
        order: torch.Tensor | None = None
        position = 0
        for component in self.components:
            if component.bands >= 1:
                image = component.corrupt(image, generator)
                continue
            if order is None:
                order = draws.subsets((batch,), bands, bands, generator, image.device)
            count = max(1, math.floor(component.bands * bands + 1e-6))
            if position + count > bands:
                position = 0
            chosen = order[:, position : position + count]
            rows = chosen.new_tensor(range(batch))[:, None]
            image[rows, chosen] = component.corrupt(image[rows, chosen], generator)
            position += count
        return image

    def describe(self) -> dict[str, Any]:
        """Name and components as JSON-able values; `parse_noise(noise.describe())` gives the noise back."""
        return {"name": self.name, "components": [component.describe() for component in self.components]}

    def known(self) -> dict[str, Any]:
        """What a denoiser may be told about this noise when the noise is taken as known.

        Returns:
            `sigma`: the standard deviation of the Gaussian noise if it is the same in every image and band, 0.0 without
            any, else None. `clip`: (low, high) or None. `stripes`: None, or a dictionary with `fraction`, `intensity`,
            `per_band_columns`, `bands`. `other`: types of the remaining components.
        """
        variance: float | None = 0.0
        clip: tuple[float, float] | None = None
        stripes: dict[str, Any] | None = None
        other: list[str] = []
        for component in self.components:
            if isinstance(component, Gaussian) and component.sigma_high is None and component.bands >= 1:
                variance = None if variance is None else variance + component.sigma**2
            elif isinstance(component, Clip):
                clip = (component.low, component.high)
            elif isinstance(component, Stripe):
                stripes = {key: value for key, value in component.describe().items() if key != "type"}
            else:
                other.append(component.type)
                if component.type in ("gaussian", "noniid-gaussian", "poisson-gaussian"):
                    variance = None
        sigma = None if variance is None else math.sqrt(variance)
        return {"sigma": sigma, "clip": clip, "stripes": stripes, "other": other}


def parse_noise(spec: str | dict[str, Any] | Sequence[Any]) -> Noise:
    """The noise of a specification.

    Args:
        spec: a preset's name (`hyspecnet`); a short text, `gaussian:sigma=0.1+stripe:fraction=0.4,intensity=0.5+clip`,
            where a number may be a fraction (`30/255`) and a list has colons (`levels=0.1:0.3`); one component as a
            dictionary `{type: gaussian, sigma: 0.27}`; a list of these; or what `Noise.describe` returned.

    Raises:
        UserError: unknown name, type or setting (naming the nearest), or a value out of range.
    """
    name = ""
    if isinstance(spec, dict) and "components" in spec:
        name, spec = str(spec.get("name", "")), spec["components"]
    elif isinstance(spec, str):
        name = spec.strip()
    components = components_of(spec)
    return Noise(tuple(components), name)


def noisy_item(clean: torch.Tensor, noise: Noise, *parts: object) -> torch.Tensor:
    """A noisy copy of one image (C, H, W), the same on every device: drawn on the CPU, seeded by `seed_for(*parts)`.

    `parts` name the draw, for example ("case", seed, item name).
    """
    import torch

    generator = torch.Generator().manual_seed(seed_for(*parts))
    return noise.apply(clean[None], generator)[0]
