"""A support vector machine with a Gaussian kernel, on spectra or on the means of windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.tasks.segmentation.shared.labelled import LabelledImage
from hsipipe.tasks.segmentation.shared.spatial_folds import spatial_folds
from hsipipe.tasks.segmentation.shared.support_vectors import SupportVectors, choose_settings, fit_support_vectors
from hsipipe.tasks.segmentation.shared.training_pixels import check_bands, gather, predict_maps
from hsipipe.tasks.segmentation.shared.window_means import check_windows, window_means

PENALTIES = (10.0, 100.0, 1000.0)
WIDTHS = (0.1, 1.0)


@dataclass(frozen=True)
class Classifier:
    """Attributes: machine; windows; found: penalty and width, as given or as chosen."""

    machine: SupportVectors
    windows: tuple[int, ...]
    found: dict[str, float]

    @property
    def bands(self) -> int:
        """How many bands the images must have."""
        return len(self.machine.centre) // len(self.windows)

    def predict(self, cube: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Scores that sum to 1 (K, rows, cols) float32 of a cube (bands, rows, cols); 0 where not valid.

        Raises:
            UserError: another number of bands.
        """
        check_bands(cube, self.bands)
        features = window_means(cube, valid, windows=self.windows)
        return predict_maps(features, valid, len(self.machine.counts), self.machine.probabilities)

    def to_state(self) -> dict[str, Any]:
        """Arrays and plain values, for `from_state`."""
        return {**self.machine.to_state(), "windows": list(self.windows), "found": dict(self.found)}


def from_state(state: Mapping[str, Any]) -> Classifier:
    """The classifier that `to_state` described."""
    windows = tuple(int(side) for side in state["windows"])
    return Classifier(SupportVectors.from_state(state), windows, dict(state["found"]))


def fit(
    images: Sequence[LabelledImage],
    *,
    seed: int = 0,
    device: str = "cpu",  # noqa: ARG001
    windows: Sequence[int] = (1,),
    penalty: float | None = None,
    width: float | None = None,
) -> Classifier:
    """Fit to the training pixels of some images.

    Args:
        images: cubes in the scene's units with their training pixels.
        seed: of the folds, and of the pixels that the cross-validation looks at.
        device: not used.
        windows: sides in pixels, odd.
        penalty: C; None: one of `PENALTIES` by cross-validation.
        width: gamma times the number of features; None: one of `WIDTHS` likewise.

    Raises:
        UserError: fewer than two classes, a class without pixels, bands that differ, or wrong settings.
    """
    check_windows(windows)
    pixels = gather(images, lambda cube, valid: window_means(cube, valid, windows=windows))
    chosen = choose_settings(
        pixels,
        spatial_folds(images, seed=seed),
        penalties=PENALTIES if penalty is None else (penalty,),
        widths=WIDTHS if width is None else (width,),
        seed=seed,
    )
    machine = fit_support_vectors(pixels, penalty=chosen[0], width=chosen[1])
    return Classifier(machine, tuple(int(side) for side in windows), {"penalty": chosen[0], "width": chosen[1]})
