"""Two classifiers' probabilities pooled, and smoothed within the edges of the image.

The discriminant analysis sees window means of several sizes, the support vector machine the pixel alone: one gains from
the surroundings, the other keeps small objects. How strongly the result is smoothed is chosen by cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.tasks.segmentation.methods.svm.model import PENALTIES, WIDTHS
from hsipipe.tasks.segmentation.shared.discriminant import Discriminant, fit_discriminant
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage
from hsipipe.tasks.segmentation.shared.probability_smoothing import neighbourhood, smooth_probabilities
from hsipipe.tasks.segmentation.shared.spatial_folds import kept_for_training, spatial_folds
from hsipipe.tasks.segmentation.shared.support_vectors import SupportVectors, choose_settings, fit_support_vectors
from hsipipe.tasks.segmentation.shared.training_pixels import (
    TrainingPixels,
    check_bands,
    gather,
    predict_maps,
)
from hsipipe.tasks.segmentation.shared.window_means import check_windows, window_means

FLOOR = np.float32(1e-6)  # least probability that a member gives a class
STRENGTHS = (0.0, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Pair:
    """The two members, fitted, and which windows each sees."""

    discriminant: Discriminant
    machine: SupportVectors
    windows: tuple[int, ...]
    machine_windows: tuple[int, ...]

    def predict(self, cube: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The geometric mean of the members' probabilities, made to sum to 1: (K, rows, cols) float32.

        A logarithmic pool: unlike in the arithmetic mean, either member can rule a class out. Source: C. Genest and J.
        V. Zidek, Combining probability distributions, Statistical Science 1(1), 1986, doi:10.1214/ss/1177013825.
        """
        count = len(self.machine.counts)
        features = window_means(cube, valid, windows=self.windows)
        first = predict_maps(features, valid, count, self.discriminant.probabilities)
        features = window_means(cube, valid, windows=self.machine_windows)
        second = predict_maps(features, valid, count, self.machine.probabilities)
        pooled = np.sqrt((first + FLOOR) * (second + FLOOR)) * valid
        return pooled / np.maximum(pooled.sum(0), FLOOR)


@dataclass(frozen=True)
class Classifier:
    """Attributes: pair; strength of the smoothing; found: what was chosen, and the shares right in cross-validation."""

    pair: Pair
    strength: float
    found: dict[str, Any]

    @property
    def bands(self) -> int:
        """How many bands the images must have."""
        return len(self.pair.machine.centre) // len(self.pair.machine_windows)

    def predict(self, cube: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Smoothed probabilities (K, rows, cols) float32 of a cube (bands, rows, cols); 0 where not valid.

        Raises:
            UserError: another number of bands.
        """
        check_bands(cube, self.bands)
        probabilities = self.pair.predict(cube, valid)
        if self.strength == 0:
            return probabilities
        return smooth_probabilities(probabilities, neighbourhood(cube, valid), strength=self.strength)

    def to_state(self) -> dict[str, Any]:
        """Arrays and plain values, for `from_state`."""
        discriminant = self.pair.discriminant
        return {
            **self.pair.machine.to_state(),
            "coefficients": discriminant.coefficients,
            "intercepts": discriminant.intercepts,
            "shrinkage": discriminant.shrinkage,
            "windows": list(self.pair.windows),
            "machine_windows": list(self.pair.machine_windows),
            "strength": self.strength,
            "found": dict(self.found),
        }


def from_state(state: Mapping[str, Any]) -> Classifier:
    """The classifier that `to_state` described."""
    discriminant = Discriminant(
        np.asarray(state["coefficients"]), np.asarray(state["intercepts"]), float(state["shrinkage"])
    )
    windows, own = (tuple(int(side) for side in state[name]) for name in ("windows", "machine_windows"))
    pair = Pair(discriminant, SupportVectors.from_state(state), windows, own)
    return Classifier(pair, float(state["strength"]), dict(state["found"]))


def fit(
    images: Sequence[LabelledImage],
    *,
    seed: int = 0,
    device: str = "cpu",  # noqa: ARG001
    windows: Sequence[int] = (1, 5, 9, 13),
    machine_windows: Sequence[int] = (1,),
    penalty: float | None = 1000.0,
    width: float | None = 0.1,
    strength: float | None = None,
) -> Classifier:
    """Fit to the training pixels of some images.

    Args:
        images: cubes in the scene's units with their training pixels.
        seed: of the folds, and of the pixels that the choice of the machine's settings looks at.
        device: not used.
        windows, machine_windows: sides in pixels, odd, for the discriminant analysis and for the machine.
        penalty, width: see method `svm`; None: by cross-validation.
        strength: see `smooth_probabilities`; None: one of `STRENGTHS` by cross-validation.

    Raises:
        UserError: fewer than two classes, a class without pixels, bands that differ, or wrong settings.
    """
    check_windows(windows)
    check_windows(machine_windows)
    sides = (tuple(int(side) for side in windows), tuple(int(side) for side in machine_windows))
    whole = tuple(_gathered(images, own) for own in sides)
    maps = spatial_folds(images, seed=seed)
    folds = np.concatenate([fold[fold >= 0] for fold in maps])
    penalty, width = choose_settings(
        whole[1],
        maps,
        penalties=PENALTIES if penalty is None else (penalty,),
        widths=WIDTHS if width is None else (width,),
        seed=seed,
    )
    found: dict[str, Any] = {"penalty": penalty, "width": width}
    if strength is None:
        held_out = {}
        for fold in np.unique(folds):
            present, parts = _subset(whole, kept_for_training(maps, int(fold)))
            if len(present) > 1:
                held_out[int(fold)] = (present, _fit_pair(parts, sides, penalty, width))
        right = _right_when_held_out(images, maps, held_out)
        found["held_out_accuracy"] = {
            str(value): float(count / len(folds)) for value, count in zip(STRENGTHS, right, strict=True)
        }
        # Of equal ones the strongest, which leaves the least noise.
        strength = max(value for value, count in zip(STRENGTHS, right, strict=True) if count == right.max())
    found["strength"] = float(strength)
    return Classifier(_fit_pair(whole, sides, penalty, width), float(strength), found)


def _gathered(images: Sequence[LabelledImage], windows: tuple[int, ...]) -> TrainingPixels:
    return gather(images, lambda cube, valid: window_means(cube, valid, windows=windows))


def _subset(tables: tuple[TrainingPixels, ...], inside: np.ndarray) -> tuple[np.ndarray, tuple[TrainingPixels, ...]]:
    """Some of the pixels, and which classes they have: classes that are missing are left out of the numbering."""
    present, numbers = np.unique(tables[0].classes[inside], return_inverse=True)
    return present, tuple(TrainingPixels(table.features[inside], numbers, len(present)) for table in tables)


def _fit_pair(
    tables: tuple[TrainingPixels, ...], sides: tuple[tuple[int, ...], tuple[int, ...]], penalty: float, width: float
) -> Pair:
    return Pair(fit_discriminant(tables[0]), fit_support_vectors(tables[1], penalty=penalty, width=width), *sides)


def _right_when_held_out(
    images: Sequence[LabelledImage], maps: Sequence[np.ndarray], held_out: Mapping[int, tuple[np.ndarray, Pair]]
) -> np.ndarray:
    """How many training pixels each of `STRENGTHS` gets right where they were held out, (len(STRENGTHS),).

    As at prediction, the whole image is classified and smoothed; only the held-out pixels are counted.
    """
    right = np.zeros(len(STRENGTHS), int)
    for image, folds in zip(images, maps, strict=True):
        neighbours = neighbourhood(image.cube, image.valid) if (folds >= 0).any() else None
        for fold in np.unique(folds[folds >= 0]):
            if neighbours is None or int(fold) not in held_out:
                continue
            present, pair = held_out[int(fold)]
            probabilities = pair.predict(image.cube, image.valid)
            counted = folds == fold
            for index, strength in enumerate(STRENGTHS):
                smoothed = smooth_probabilities(probabilities, neighbours, strength=strength)
                found = present[smoothed[:, counted].argmax(0)]
                right[index] += int((found == image.labels[counted]).sum())
    return right
