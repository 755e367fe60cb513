"""What a fusion method returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Fused:
    """A fused cube, and what the method found on the way.

    Attributes:
        cube: (bands, rows, cols) float32 at the resolution of the MSI, in the pair's common scaling.
        endmembers: (K, bands) spectra that the method mixes, or None.
        latents: (K, rows, cols) maps that go with them, or None.
        psf: the point-spread function that was used or estimated, (n, n), or None.
        found: JSON-able facts that the method estimated or chose, such as its rank.
    """

    cube: np.ndarray
    endmembers: np.ndarray | None = None
    latents: np.ndarray | None = None
    psf: np.ndarray | None = None
    found: dict[str, Any] = field(default_factory=dict)
