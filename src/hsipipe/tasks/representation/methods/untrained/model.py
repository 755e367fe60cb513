"""The control of every trained encoder: the same network with the weights that it starts from."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.tasks.representation.shared.network import EmbeddingNetwork, build_parts
from hsipipe.tasks.representation.shared.normalise import Normalisation


def build(
    *, wavelength_nm: np.ndarray | None, bands: int, normalisation: Normalisation, **encoder: Any
) -> EmbeddingNetwork:
    """The network; arguments as of `simclr`."""
    return EmbeddingNetwork(
        **build_parts(encoder, wavelength_nm=wavelength_nm, bands=bands, normalisation=normalisation)
    )
