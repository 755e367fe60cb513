"""How well a label map agrees with the true one: OA, AA, Cohen's kappa, recall and precision of each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError
from hsipipe.metrics.registry import METRICS

CLASSIFICATION_METRICS = ("oa", "aa", "kappa")


@dataclass(frozen=True)
class Confusion:
    """How many pixels of each class were given which.

    Attributes: classes (K,): the codes, rising; counts (K, K): of true class (row) and predicted class (column); missed
    (K,): pixels of a class that were given none (a code of 0 or below).
    """

    classes: np.ndarray
    counts: np.ndarray
    missed: np.ndarray

    @property
    def total(self) -> int:
        """How many pixels were scored."""
        return int(self.counts.sum() + self.missed.sum())

    @property
    def overall_accuracy(self) -> float:
        """OA: the share of pixels that are right, in [0, 1]."""
        return float(np.trace(self.counts) / self.total)

    @property
    def recall(self) -> np.ndarray:
        """The share of a class's pixels that are right (producer's accuracy), (K,); NaN for a class without pixels."""
        return _shares(np.diag(self.counts), self.counts.sum(1) + self.missed)

    @property
    def precision(self) -> np.ndarray:
        """The share right of the pixels given a class (user's accuracy), (K,); NaN for a class never given."""
        return _shares(np.diag(self.counts), self.counts.sum(0))

    @property
    def average_accuracy(self) -> float:
        """AA: the mean recall of the classes that have pixels, in [0, 1]."""
        recall = self.recall
        return float(recall[np.isfinite(recall)].mean())

    @property
    def kappa(self) -> float:
        """Cohen's kappa: agreement beyond that of independent maps with the same shares; 1 at best.

        Where chance alone would always agree (one class in both), it is 1 for a perfect map.

        Source: J. Cohen, Educational and Psychological Measurement 20(1), 1960, doi:10.1177/001316446002000104.
        """
        truth = (self.counts.sum(1) + self.missed) / self.total
        chance = float(truth @ (self.counts.sum(0) / self.total))
        observed = self.overall_accuracy
        return (observed - chance) / (1 - chance) if chance < 1 else float(observed == 1)


def confusion(truth: np.ndarray, prediction: np.ndarray, counted: np.ndarray | None = None) -> Confusion:
    """Count agreements of two label maps.

    Args:
        truth: integers of any shape, the codes of the file; 0 and below is background and is not counted.
        prediction: the same shape, codes.
        counted: bool of the same shape, such as the test pixels; None: every labelled pixel.

    Raises:
        UserError: shapes that differ, or no labelled pixel to score.
    """
    if truth.shape != prediction.shape or (counted is not None and counted.shape != truth.shape):
        raise UserError(f"a prediction of {prediction.shape} does not fit labels of {truth.shape}")
    chosen = truth > 0
    if counted is not None:
        chosen &= counted.astype(bool)
    if not chosen.any():
        raise UserError("there is no labelled pixel to score", remedy="give labels above 0 at test pixels")
    true_codes, found_codes = truth[chosen], prediction[chosen]
    classes = np.unique(np.concatenate([true_codes, found_codes[found_codes > 0]]))
    # A code that is no class of the truth counts as a class of its own: it is wrong, and shows in the matrix.
    rows = np.searchsorted(classes, true_codes)
    given = found_codes > 0
    size = len(classes)
    places = rows[given] * size + np.searchsorted(classes, found_codes[given])
    counts = np.bincount(places, minlength=size * size).reshape(size, size)
    return Confusion(classes, counts, np.bincount(rows[~given], minlength=size))


def score_labels(
    truth: np.ndarray, prediction: np.ndarray, counted: np.ndarray | None = None
) -> list[tuple[str, float, str]]:
    """OA and AA in percent, and Cohen's kappa, at the labelled pixels that count.

    Args:
        truth, prediction, counted: as for `confusion`.

    Returns:
        (metric, value, unit) in the order of `CLASSIFICATION_METRICS`.

    Raises:
        UserError: as `confusion`.
    """
    table = confusion(truth, prediction, counted)
    scores = {"oa": 100 * table.overall_accuracy, "aa": 100 * table.average_accuracy, "kappa": table.kappa}
    return [(name, scores[name], METRICS[name].unit) for name in CLASSIFICATION_METRICS]


def score_classes(
    truth: np.ndarray, prediction: np.ndarray, counted: np.ndarray | None = None
) -> list[tuple[int, float, float, int]]:
    """Code, recall in percent, precision in percent and number of pixels of each class that has pixels.

    Precision is NaN for a class that was never predicted.
    """
    table = confusion(truth, prediction, counted)
    pixels = table.counts.sum(1) + table.missed
    rows = zip(table.classes, table.recall, table.precision, pixels, strict=True)
    return [(int(code), 100 * float(r), 100 * float(p), int(n)) for code, r, p, n in rows if n]


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
