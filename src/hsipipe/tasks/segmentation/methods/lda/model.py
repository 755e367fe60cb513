"""Linear discriminant analysis with a shrunk covariance, on the means of a window round each pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.tasks.segmentation.shared.discriminant import Discriminant, fit_discriminant
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage
from hsipipe.tasks.segmentation.shared.training_pixels import check_bands, gather, predict_maps
from hsipipe.tasks.segmentation.shared.window_means import check_windows, window_means


@dataclass(frozen=True)
class Classifier:
    """A fitted discriminant and the windows that its features are means of."""

    discriminant: Discriminant
    windows: tuple[int, ...]

    @property
    def bands(self) -> int:
        """How many bands the images must have."""
        return self.discriminant.coefficients.shape[1] // len(self.windows)

    def predict(self, cube: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Posterior probabilities (K, rows, cols) float32 of a cube (bands, rows, cols); 0 where not valid.

        Raises:
            UserError: another number of bands.
        """
        check_bands(cube, self.bands)
        features = window_means(cube, valid, windows=self.windows)
        return predict_maps(features, valid, len(self.discriminant.intercepts), self.discriminant.probabilities)

    def to_state(self) -> dict[str, Any]:
        """Arrays and plain values, for `from_state`."""
        return {
            "coefficients": self.discriminant.coefficients,
            "intercepts": self.discriminant.intercepts,
            "shrinkage": self.discriminant.shrinkage,
            "windows": list(self.windows),
        }


def from_state(state: Mapping[str, Any]) -> Classifier:
    """The classifier that `to_state` described."""
    discriminant = Discriminant(
        np.asarray(state["coefficients"]), np.asarray(state["intercepts"]), float(state["shrinkage"])
    )
    return Classifier(discriminant, tuple(int(side) for side in state["windows"]))


def fit(
    images: Sequence[LabelledImage],
    *,
    seed: int = 0,  # noqa: ARG001
    device: str = "cpu",  # noqa: ARG001
    windows: Sequence[int] = (5,),
    shrinkage: float | None = None,
) -> Classifier:
    """Fit to the training pixels of some images.

    Args:
        images: cubes in the scene's units with their training pixels.
        seed, device: not used; the result is a closed form.
        windows: sides in pixels, odd.
        shrinkage: in [0, 1]; None: Ledoit and Wolf's.

    Raises:
        UserError: fewer than two classes, a class without pixels, bands that differ, or wrong settings.
    """
    check_windows(windows)
    pixels = gather(images, lambda cube, valid: window_means(cube, valid, windows=windows))
    return Classifier(fit_discriminant(pixels, shrinkage=shrinkage), tuple(int(side) for side in windows))
