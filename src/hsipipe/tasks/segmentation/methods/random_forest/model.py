"""A random forest on principal components of the pixel's spectrum and of the means of windows round it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.tasks.segmentation.shared.labelled import LabelledImage
from hsipipe.tasks.segmentation.shared.training_pixels import check_bands, gather, predict_maps
from hsipipe.tasks.segmentation.shared.trees import Forest, grow_forest
from hsipipe.tasks.segmentation.shared.window_means import check_windows, window_means


@dataclass(frozen=True)
class Classifier:
    """Attributes: forest; mean (bands,) and axes (bands, components) of the spectra; windows."""

    forest: Forest
    mean: np.ndarray
    axes: np.ndarray
    windows: tuple[int, ...]

    def predict(self, cube: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Shares of the trees (K, rows, cols) float32 of a cube (bands, rows, cols); 0 where not valid.

        Raises:
            UserError: another number of bands.
        """
        check_bands(cube, len(self.mean))
        features = _features(cube, valid, self.mean, self.axes, self.windows)
        return predict_maps(features, valid, self.forest.shares.shape[1], self.forest.probabilities)

    def to_state(self) -> dict[str, Any]:
        """Arrays and plain values, for `from_state`."""
        return {**self.forest.to_state(), "mean": self.mean, "axes": self.axes, "windows": list(self.windows)}


def from_state(state: Mapping[str, Any]) -> Classifier:
    """The classifier that `to_state` described."""
    windows = tuple(int(side) for side in state["windows"])
    return Classifier(Forest.from_state(state), np.asarray(state["mean"]), np.asarray(state["axes"]), windows)


def fit(
    images: Sequence[LabelledImage],
    *,
    seed: int = 0,
    device: str = "cpu",  # noqa: ARG001
    components: int = 15,
    windows: Sequence[int] = (1, 5),
    trees: int = 200,
    leaf: int = 1,
    features_per_split: int | None = None,
) -> Classifier:
    """Fit to the training pixels of some images; the principal components are those of the training spectra.

    Args:
        images: cubes in the scene's units with their training pixels.
        seed: of the forest.
        device: not used.
        components: at most the number of bands and of training pixels.
        windows: sides in pixels, odd.
        trees, leaf, features_per_split: see `grow_forest`.

    Raises:
        UserError: fewer than two classes, a class without pixels, bands that differ, or wrong settings.
    """
    check_windows(windows)
    spectra = gather(images, lambda cube, _: cube).features
    mean = spectra.mean(0)
    _, _, transposed = np.linalg.svd(spectra - mean, full_matrices=False)
    axes = transposed[:components].T
    # The sign of an axis is a matter of the library; with a fixed one equal data grow equal forests.
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    sides = tuple(int(side) for side in windows)
    pixels = gather(images, lambda cube, valid: _features(cube, valid, mean, axes, sides))
    forest = grow_forest(pixels, trees=trees, leaf=leaf, features_per_split=features_per_split, seed=seed)
    return Classifier(forest, mean, axes, sides)


def _features(
    cube: np.ndarray, valid: np.ndarray, mean: np.ndarray, axes: np.ndarray, windows: tuple[int, ...]
) -> np.ndarray:
    """(windows * components, rows, cols) float32. Means of components are components of means: projected first."""
    known = np.where(valid, cube, 0).reshape(len(cube), -1).T
    maps = np.empty((axes.shape[1], known.shape[0]), np.float32)
    for start in range(0, len(known), 65536):
        piece = slice(start, start + 65536)
        maps[:, piece] = ((known[piece] - mean) @ axes).T
    return window_means(maps.reshape(-1, *valid.shape), valid, windows=windows)
