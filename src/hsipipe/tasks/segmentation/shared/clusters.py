"""What a clustering returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Clusters:
    """Attributes: labels (rows, cols) int32, 1 to K, 0 where there is no data; means (K, z) in the units of the
    latents; found (JSON-able facts that were estimated, such as the number of clusters); state (arrays that label other
    images).
    """

    labels: np.ndarray
    means: np.ndarray
    found: dict[str, Any] = field(default_factory=dict)
    state: dict[str, np.ndarray] = field(default_factory=dict)
