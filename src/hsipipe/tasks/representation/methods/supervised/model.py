"""The rival that is told the classes: the same encoder, trained to name the species of augmented images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hsipipe.tasks.representation.augment.settings import Augmentation, augmentation_from
from hsipipe.tasks.representation.augment.views import make_views
from hsipipe.tasks.representation.shared.network import EmbeddingNetwork, build_parts, to_all_bands
from hsipipe.tasks.representation.shared.normalise import Normalisation


class SupervisedNetwork(EmbeddingNetwork):
    """Attributes: augmentation; view_size (pixels; None: that of the images); classify, from embeddings to classes."""

    def __init__(
        self, *, augmentation: Augmentation, classes: int, view_size: int | None, label_smoothing: float, **parts: Any
    ) -> None:
        super().__init__(**parts)
        self.augmentation, self.view_size, self.label_smoothing = augmentation, view_size, label_smoothing
        self.classify = nn.Linear(self.encoder.dimension, classes)


def build(
    *,
    wavelength_nm: np.ndarray | None,
    bands: int,
    normalisation: Normalisation,
    classes: int,
    augmentation: str | Mapping[str, Any] = "spectral",
    view_size: int | None = None,
    label_smoothing: float = 0.1,
    **encoder: Any,
) -> SupervisedNetwork:
    """The network for so many classes; other arguments as of `simclr`."""
    parts = build_parts(encoder, wavelength_nm=wavelength_nm, bands=bands, normalisation=normalisation)
    return SupervisedNetwork(
        augmentation=augmentation_from(augmentation),
        classes=classes,
        view_size=view_size,
        label_smoothing=label_smoothing,
        **parts,
    )


def loss(network: SupervisedNetwork, batch: Mapping[str, Tensor]) -> Tensor:
    """Cross-entropy of one augmented view of each image."""
    cubes, masks = batch["cubes"], batch["masks"]
    centres = network.wavelength_nm
    if centres is None:
        centres = torch.arange(cubes.shape[1], dtype=torch.float32)
    generator = torch.Generator().manual_seed(int(batch["seed"]) % (1 << 63))
    size = network.view_size or cubes.shape[-1]
    views = make_views(cubes, masks, centres, network.augmentation, size=size, generator=generator)
    image = to_all_bands(views.images[0], views.wavelength_nm[0], centres)
    shown = centres.to(image) if network.wavelength_nm is not None else None
    logits = network.classify(network.embed(image, views.masks[0], shown))
    return nn.functional.cross_entropy(logits, batch["labels"], label_smoothing=network.label_smoothing)
