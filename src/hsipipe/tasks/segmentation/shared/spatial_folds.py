"""Folds of the training pixels for cross-validation: whole images or blocks, so that neighbours stay together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hsipipe.randomness import seed_for
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage

BUFFER = 4  # pixels; nearer neighbours share the window means of a training pixel for the most part


def spatial_folds(images: Sequence[LabelledImage], *, folds: int = 5, seed: int = 0) -> list[np.ndarray]:
    """Assign each training pixel to a fold, whole groups together, with the classes spread evenly.

    Groups are the images where at least twice as many as folds have training pixels; else squares of each image with a
    sixth of its size as side, at least 4 pixels. Pixels chosen at random would have their neighbours in training, and
    choose too little smoothing and too flexible a classifier. Groups are dealt out from the largest on, each to the
    fold that its classes lack most, in the manner of K. Sechidis, G. Tsoumakas and I. Vlahavas, On the stratification
    of multi-label data, ECML PKDD 2011.

    Args:
        images: training pixels are those with a class of 0 or above that are valid.
        folds: how many.
        seed: orders groups of equal size.

    Returns:
        for each image (rows, cols) int16: the fold, or -1 where there is no training pixel.
    """
    chosen = [(image.labels >= 0) & image.valid for image in images]
    by_image = sum(bool(mask.any()) for mask in chosen) >= 2 * folds
    classes = 1 + max(int(image.labels.max()) for image in images)
    groups: list[tuple[int, np.ndarray, np.ndarray]] = []  # image, flat indices of its pixels, pixels of each class
    for number, (image, mask) in enumerate(zip(images, chosen, strict=True)):
        flat = np.flatnonzero(mask)
        rows, cols = np.divmod(flat, mask.shape[1])
        side = max(4, round(float(np.sqrt(mask.size)) / 6))
        block = np.zeros(len(flat), int) if by_image else rows // side * mask.shape[1] + cols // side
        for name in np.unique(block):
            members = flat[block == name]
            groups.append((number, members, np.bincount(image.labels.ravel()[members], minlength=classes)))
    groups.sort(key=lambda group: (-len(group[1]), seed_for("fold", seed, group[0], int(group[1][0]))))
    total = np.maximum(sum((counts for _, _, counts in groups), np.zeros(classes, int)), 1)
    held = np.zeros((folds, classes))
    result = [np.full(mask.shape, -1, np.int16) for mask in chosen]
    for number, members, counts in groups:
        # The sum of squared shares is smallest when every class is spread evenly over the folds.
        cost = (((held + counts) / total) ** 2).sum(1) - ((held / total) ** 2).sum(1)
        fold = int(cost.argmin())
        held[fold] += counts
        result[number].ravel()[members] = fold
    return result


def kept_for_training(maps: Sequence[np.ndarray], fold: int, *, buffer: int = BUFFER) -> np.ndarray:
    """Which training pixels are left when a fold is held out, with those nearer than `buffer` to it left out too.

    Args:
        maps: from `spatial_folds`.
        fold: the fold that is held out.
        buffer: pixels, along rows and columns.

    Returns:
        (N,) bool, of all training pixels: image after image, row by row.
    """
    from scipy.ndimage import maximum_filter

    kept = []
    for own in maps:
        near = maximum_filter((own == fold).astype(np.uint8), 2 * buffer + 1, mode="constant") > 0
        kept.append(((own != fold) & ~near)[own >= 0])
    return np.concatenate(kept)
