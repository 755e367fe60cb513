"""Synthetic noise on an item, in its own units."""

from __future__ import annotations

from dataclasses import replace

from hsipipe.degrade.noise import Noise, noisy_item
from hsipipe.scenes.scaled import normalised_item, scale_item, unscale_item
from hsipipe.scenes.scene import Item


def degrade_item(item: Item, noise: Noise, *, seed: int = 0, normalised: bool = False) -> Item:
    """Add noise to the good bands of an item, each scaled to [0, 1] by its range; invalid pixels stay as they are.

    The item's name is a part of the seed: two images with the same noise would be denoised by their difference.

    Args:
        item: in the units of its file.
        noise: in units of each band's range.
        seed: of the draw.
        normalised: leave the values scaled to [0, 1], and all that is not valid NaN.

    Returns:
        The item with float32 values; its source tells the noise and the seed.
    """
    import torch

    scaled = scale_item(item)
    noisy = noisy_item(torch.from_numpy(scaled.cube), noise, "degrade", seed, item.name).numpy()
    result = normalised_item(item, noisy) if normalised else unscale_item(item, scaled, noisy, keep_type=False)
    return replace(result, source={**result.source, "dtype": "float32", "noise": noise.describe(), "seed": seed})
