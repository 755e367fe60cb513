"""An encoder with its normalisation: images of a specimen in, embeddings out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hsipipe.bands.resample import interpolation
from hsipipe.tasks.representation.shared.encoder import Encoder, build_encoder
from hsipipe.tasks.representation.shared.normalise import Normalisation

ENCODER_SETTINGS = ("backbone", "stem", "pretrained", "attention", "maps", "width", "checkpointing")


class EmbeddingNetwork(nn.Module):
    """A normalisation fitted to the training part, and an encoder.

    Attributes:
        normalisation, encoder.
        wavelength_nm: (C,) of the bands that it was made for, or None if not known.
    """

    wavelength_nm: Tensor | None

    def __init__(self, *, normalisation: Normalisation, encoder: Encoder, wavelength_nm: np.ndarray | None) -> None:
        super().__init__()
        self.normalisation, self.encoder = normalisation, encoder
        centres = None if wavelength_nm is None else torch.as_tensor(np.asarray(wavelength_nm, np.float32))
        self.register_buffer("wavelength_nm", centres, persistent=False)

    def normalised(self, images: Tensor, masks: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:
        """Reflectance (B, C, H, W) as the encoder takes it."""
        normalised: Tensor = self.normalisation(images, masks, wavelength_nm)
        return normalised

    def embed(self, images: Tensor, masks: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:
        """Embeddings (B, D) of reflectance (B, C, H, W) under masks (B, 1, H, W)."""
        normalised = self.normalised(images, masks, self.wavelength_nm if wavelength_nm is None else wavelength_nm)
        if self.normalisation.name == "pca":
            wavelength_nm = None  # components have none
        embeddings: Tensor = self.encoder(normalised, wavelength_nm)
        return embeddings

    forward = embed


def build_parts(
    settings: Mapping[str, Any], *, wavelength_nm: np.ndarray | None, bands: int, normalisation: Normalisation
) -> dict[str, Any]:
    """The normalisation, the encoder and the wavelengths of an `EmbeddingNetwork`, by name."""
    chosen = {name: settings[name] for name in ENCODER_SETTINGS if name in settings}
    components = normalisation.components
    centres = None if components is not None else wavelength_nm
    encoder = build_encoder(
        wavelength_nm=centres,
        bands=components if components is not None else bands if centres is None else None,
        **chosen,
    )
    return {"normalisation": normalisation, "encoder": encoder, "wavelength_nm": wavelength_nm}


def to_all_bands(images: Tensor, shown_nm: Tensor, all_nm: Tensor) -> Tensor:
    """Views (B, n, H, W) of some bands as images (B, C, H, W) of all, the others interpolated over wavelength.

    For encoders that are made for a number of bands; beyond the outermost band shown its value is kept.
    """
    if len(shown_nm) == len(all_nm):
        return images
    matrix = interpolation(shown_nm.cpu().numpy().astype(np.float64), all_nm.cpu().numpy().astype(np.float64))
    return torch.einsum("cn,bnhw->bchw", torch.from_numpy(matrix).to(images), images)
