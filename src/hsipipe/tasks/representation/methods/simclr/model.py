"""Contrastive learning of specimens: two views of one image are to be alike, and unlike those of all others.

T. Chen, S. Kornblith, M. Norouzi and G. Hinton, A simple framework for contrastive learning of visual representations,
ICML 2020, arXiv 2002.05709; for images of hundreds of bands, with losses of places and views of part of the bands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hsipipe.randomness import seed_for
from hsipipe.settings import settings_from
from hsipipe.tasks.representation.augment.settings import Augmentation, augmentation_from
from hsipipe.tasks.representation.augment.views import Views, make_views
from hsipipe.tasks.representation.shared.combined import LossSettings, RepresentationLoss
from hsipipe.tasks.representation.shared.gradient_cache import cached_loss, micro_batches
from hsipipe.tasks.representation.shared.network import EmbeddingNetwork, build_parts, to_all_bands
from hsipipe.tasks.representation.shared.normalise import Normalisation
from hsipipe.tasks.representation.shared.projection import expander, local_head, projection_head
from hsipipe.tasks.representation.shared.stages import Stage, bands_of_stage, stages_from


class ContrastiveNetwork(EmbeddingNetwork):
    """An encoder with the heads that the losses work on; the embedding is what comes before the heads.

    Attributes:
        augmentation, view_size (pixels; None: that of the images), contrast (what the loss is), micro_batch (None: the
        whole batch at once), stages (numbers of bands over the training, empty: always all).
        head, local: projections of embeddings and of places; None where the loss needs none.
    """

    def __init__(
        self,
        *,
        augmentation: Augmentation,
        contrast: LossSettings,
        batch_size: int,
        outputs: int = 128,
        view_size: int | None = None,
        micro_batch: int | None = None,
        stages: Sequence[Stage] = (),
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        contrast.check_batch(batch_size, micro_batches=-(-batch_size // (micro_batch or batch_size)))
        self.augmentation, self.contrast, self.stages = augmentation, contrast, tuple(stages)
        self.view_size, self.micro_batch = view_size, micro_batch
        self.objective = RepresentationLoss(contrast)
        inputs, together = self.encoder.dimension, micro_batch or batch_size
        self.head = self.local = None
        if contrast.is_global and contrast.loss == "vicreg":
            self.head = expander(inputs=inputs, outputs=4 * outputs, batch_size=together)
        elif contrast.is_global:
            self.head = projection_head(inputs=inputs, outputs=outputs, batch_size=together)
        if contrast.is_local:
            self.local = local_head(inputs=inputs, outputs=outputs)

    def views(self, cubes: Tensor, masks: Tensor, *, seed: int, share: float) -> Views:
        """Two views of each image (B, C, H, W), all drawn by `seed`; `share` of the training says which stage it is."""
        centres = self.wavelength_nm
        if centres is None:
            centres = torch.arange(cubes.shape[1], dtype=torch.float32)
        if self.stages:
            chosen = bands_of_stage(self.stages, share, centres)
            cubes, centres = cubes[:, chosen.to(cubes.device)], centres[chosen.to(centres.device)]
        generator = torch.Generator().manual_seed(seed % (1 << 63))
        size = self.view_size or cubes.shape[-1]
        return make_views(cubes, masks, centres, self.augmentation, size=size, generator=generator)

    def project(self, views: Views) -> tuple[Tensor, ...]:
        """What the losses compare, of both views one after the other: embeddings (B, d) and maps (B, d, h, w)."""
        found: list[Tensor] = []
        seen: list[tuple[Tensor, Tensor | None]] = []
        knows_nm = self.wavelength_nm is not None and self.normalisation.name != "pca"
        for view in range(2):
            image, centres = views.images[view], views.wavelength_nm[view]
            if self.encoder.bands is not None or self.normalisation.name in ("band", "pca"):
                full = self.wavelength_nm if self.wavelength_nm is not None else centres
                image, centres = to_all_bands(image, centres, full), full
            shown_nm = centres.to(image) if knows_nm else None
            seen.append((self.normalised(image, views.masks[view], shown_nm), shown_nm))
        if self.head is not None:
            found += [self.head(self.encoder(image, shown_nm)) for image, shown_nm in seen]
        if self.local is not None:
            found += [self.local(self.encoder.feature_map(image, shown_nm)) for image, shown_nm in seen]
        return tuple(found)


def build(
    *,
    wavelength_nm: np.ndarray | None,
    bands: int,
    normalisation: Normalisation,
    batch_size: int,
    augmentation: str | Mapping[str, Any] = "spectral",
    contrast: Mapping[str, Any] | None = None,
    outputs: int = 128,
    view_size: int | None = None,
    micro_batch: int | None = None,
    stages: Sequence[Mapping[str, Any]] = (),
    **encoder: Any,
) -> ContrastiveNetwork:
    """The network, its weights drawn from torch's global generator.

    Args:
        wavelength_nm: (bands,) or None.
        normalisation: fitted, or to be filled by a state.
        batch_size: of the training; small ones are refused where the loss would be useless.
        augmentation, contrast, stages: see `Augmentation`, `LossSettings`, `Stage`.
        outputs: width of the projections.
        view_size: pixels; None: that of the images.
        micro_batch: images that are encoded at once, with exact gradients of the whole batch; None: all.
        encoder: see `build_encoder`.

    Raises:
        UserError: settings that do not fit, or a batch that is too small for the loss.
    """
    parts = build_parts(encoder, wavelength_nm=wavelength_nm, bands=bands, normalisation=normalisation)
    return ContrastiveNetwork(
        augmentation=augmentation_from(augmentation),
        contrast=settings_from(LossSettings, contrast, "settings of simclr", key="contrast"),
        batch_size=batch_size,
        outputs=outputs,
        view_size=view_size,
        micro_batch=micro_batch,
        stages=stages_from(stages, bands=bands),
        **parts,
    )


def loss(network: ContrastiveNetwork, batch: Mapping[str, Tensor]) -> Tensor:
    """The contrastive loss of a batch: cubes (B, C, H, W), masks (B, 1, H, W), seed and share (scalars)."""
    seed, share = int(batch["seed"]), float(batch["share"])
    cubes, masks = batch["cubes"], batch["masks"]
    parts = micro_batches(len(cubes), network.micro_batch or len(cubes))
    grids: dict[int, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def encode(numbered: tuple[int, slice]) -> tuple[Tensor, ...]:
        number, part = numbered
        views = network.views(cubes[part], masks[part], seed=seed_for(seed, number), share=share)
        grids[number] = (*views.grids, *views.masks)
        return network.project(views)

    def compare(*outputs: Tensor) -> Tensor:
        joined = [torch.cat(column) for column in zip(*(grids[number] for number in sorted(grids)), strict=True)]
        given: dict[str, Any] = {}
        if network.head is not None:
            given["embeddings"] = outputs[:2]
        if network.local is not None:
            given |= {"maps": outputs[-2:], "grids": tuple(joined[:2]), "masks": tuple(joined[2:])}
        generator = torch.Generator().manual_seed(seed_for(seed, "places") % (1 << 63))
        return network.objective(**given, generator=generator).total

    if len(parts) == 1:
        return compare(*encode((0, parts[0])))
    return cached_loss(encode, list(enumerate(parts)), compare, model=network)
