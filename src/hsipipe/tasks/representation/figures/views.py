"""What a training sees: images, and the two views of each that are to be alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hsipipe.randomness import seed_for
from hsipipe.report.style import composite, rgb_bands, save_figure, start_figure
from hsipipe.tasks.representation.case import CaseFile

if TYPE_CHECKING:
    from hsipipe.tasks.representation.shared.network import EmbeddingNetwork


def picture(cube: np.ndarray, mask: np.ndarray, wavelength_nm: np.ndarray | None) -> np.ndarray:
    """An image (bands, rows, cols) in three bands, (rows, cols, 3) in [0, 1], white outside its mask."""
    bands = cube[rgb_bands(len(cube), wavelength_nm)]
    inside = bands[:, mask]
    # One limit for all three, so that what reflects most in the red looks red.
    high = max(float(np.percentile(inside, 99)), 1e-6) if inside.size else 1.0
    limits = (np.zeros((3, 1, 1)), np.full((3, 1, 1), high))
    return np.where(mask[..., None], composite(bands, limits), 1.0)


def draw_views(
    case: CaseFile,
    numbers: np.ndarray,
    bands: np.ndarray,
    network: EmbeddingNetwork | None,
    path: str | Path,
    *,
    title: str,
) -> None:
    """Draw some images and, for a contrastive network, two views of each below."""
    images, masks = case.read(numbers, bands=bands)
    centres = None if case.wavelength_nm is None else case.wavelength_nm[bands]
    rows = [[picture(image, mask, centres) for image, mask in zip(images, masks, strict=True)]]
    names = ["image"]
    if network is not None and hasattr(network, "views"):
        rows += _views(network, images, masks, case.name)
        names += ["first view", "second view"]
    figure, axes = start_figure(
        1.6 * len(numbers) + 0.8, 1.7 * len(rows) + 0.7, nrows=len(rows), ncols=len(numbers), squeeze=False
    )
    for line, (name, pictures) in zip(axes, zip(names, rows, strict=True), strict=True):
        for axis, shown in zip(line, pictures, strict=True):
            axis.imshow(shown, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
        line[0].set_ylabel(name)
    for axis, number in zip(axes[0], numbers, strict=True):
        axis.set_title(case.identities[number].species[:22], fontsize=8)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, [path])


def _views(network: EmbeddingNetwork, images: np.ndarray, masks: np.ndarray, name: str) -> list[list[np.ndarray]]:
    import torch

    cubes = torch.from_numpy(images)
    inside = torch.from_numpy(masks[:, None].astype(np.float32))
    with torch.no_grad():
        drawn = network.views(cubes, inside, seed=seed_for(name, "shown views"), share=1.0)  # type: ignore[operator]
    return [
        [
            picture(image.numpy(), mask[0].numpy() > 0, drawn.wavelength_nm[view].numpy().astype(float))
            for image, mask in zip(drawn.images[view], drawn.masks[view], strict=True)
        ]
        for view in range(2)
    ]
