"""The training pixels of several images as one table, and predictions of a whole image in pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage

PIECE = 32768


@dataclass(frozen=True)
class TrainingPixels:
    """Attributes: features (N, d) float64; classes (N,) from 0 on; count: how many classes there are."""

    features: np.ndarray
    classes: np.ndarray
    count: int


def check_images(images: Sequence[LabelledImage]) -> int:
    """The number of classes.

    Raises:
        UserError: shapes that do not fit, another number of bands, fewer than two classes, a class without training
            pixel between others, or values that are not finite at training pixels.
    """
    counts = np.zeros(0, np.int64)
    for image in images:
        if image.cube.ndim != 3 or not image.labels.shape == image.valid.shape == image.cube.shape[1:]:
            raise UserError(
                "labels and mask must have the size of the image",
                found=f"image {image.cube.shape[1:]}, labels {image.labels.shape}, mask {image.valid.shape}",
            )
        if len(image.cube) != len(images[0].cube):
            raise UserError(
                f"all training images must have the same bands: the first has {len(images[0].cube)}",
                found=len(image.cube),
            )
        chosen = (image.labels >= 0) & image.valid
        if not np.isfinite(image.cube[:, chosen]).all():
            raise UserError("training pixels hold values that are not finite", remedy="mask those pixels or bands")
        found = np.bincount(image.labels[chosen].ravel())
        longest = max(len(found), len(counts))
        counts = np.pad(counts, (0, longest - len(counts))) + np.pad(found, (0, longest - len(found)))
    if np.count_nonzero(counts) < 2:
        raise UserError(
            "a classifier needs training pixels of at least two classes", found=f"{np.count_nonzero(counts)} with any"
        )
    if (counts == 0).any():
        missing = ", ".join(str(number) for number in np.flatnonzero(counts == 0))
        raise UserError("classes without a training pixel", found=f"class number {missing}")
    return len(counts)


def gather(
    images: Sequence[LabelledImage], features_of: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> TrainingPixels:
    """The features of all valid training pixels, image after image, row by row.

    Args:
        images: with at least two classes among their training pixels.
        features_of: (cube, valid) to feature maps (d, rows, cols).

    Raises:
        UserError: as `check_images`.
    """
    count = check_images(images)
    features, classes = [], []
    for image in images:
        chosen = (image.labels >= 0) & image.valid
        if chosen.any():
            features.append(features_of(image.cube, image.valid)[:, chosen].T.astype(np.float64))
            classes.append(image.labels[chosen].astype(np.int64))
    return TrainingPixels(np.concatenate(features), np.concatenate(classes), count)


def predict_maps(
    features: np.ndarray, valid: np.ndarray, count: int, probabilities_of: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Probabilities (count, rows, cols) float32 of an image, 0 at pixels that are not valid.

    Args:
        features: (d, rows, cols).
        valid: (rows, cols) bool.
        count: classes.
        probabilities_of: (N, d) float64 to (N, count); it is called for at most `PIECE` pixels at once.
    """
    maps = np.zeros((count, *valid.shape), np.float32)
    rows, cols = np.nonzero(valid)
    for start in range(0, len(rows), PIECE):
        place = (slice(None), rows[start : start + PIECE], cols[start : start + PIECE])
        maps[place] = probabilities_of(features[place].T.astype(np.float64)).T
    return maps


def check_bands(cube: np.ndarray, bands: int) -> None:
    """Raise UserError unless the cube has as many bands as the classifier was trained with."""
    if len(cube) != bands:
        raise UserError(
            f"the classifier was trained with {bands} bands",
            found=len(cube),
            remedy="give it the same bands, or train one on this image",
        )


def standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and standard deviation (d,) of features (N, d); 1 where a feature does not vary."""
    mean, deviation = features.mean(0), features.std(0)
    # Below this a spread is the rounding of float32.
    return mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)
