"""An image with some labelled pixels, as classifiers are trained on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelledImage:
    """Attributes: cube (bands, rows, cols) float32 in the scene's units; labels (rows, cols) int, a class from 0 on at
    training pixels and -1 elsewhere; valid (rows, cols) bool.
    """

    cube: np.ndarray
    labels: np.ndarray
    valid: np.ndarray
