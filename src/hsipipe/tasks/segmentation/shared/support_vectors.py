"""Support vector machines with a Gaussian kernel: training by scikit-learn, everything after that by own arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hsipipe.tasks.segmentation.shared.discriminant import softmax
from hsipipe.tasks.segmentation.shared.spatial_folds import kept_for_training
from hsipipe.tasks.segmentation.shared.training_pixels import TrainingPixels, standardisation

SHARPNESS = 3.0  # of the votes: a class with one vote more is about e^3 times as probable
MOST_FOR_CHOICE = 1500  # training pixels that the choice of the settings looks at


@dataclass(frozen=True)
class SupportVectors:
    """One machine for each pair of classes, all on the same support vectors.

    Attributes: centre, scale (d,): standardisation of the features; vectors (S, d), standardised, class after class;
    counts (K,): how many of each class; dual (K - 1, S): coefficients; intercepts (K (K - 1) / 2,); gamma: the kernel
    is exp(-gamma |x - y|^2).
    """

    centre: np.ndarray
    scale: np.ndarray
    vectors: np.ndarray
    counts: np.ndarray
    dual: np.ndarray
    intercepts: np.ndarray
    gamma: float

    def decisions(self, features: np.ndarray) -> np.ndarray:
        """The score of each class, (N, K): its votes among the pairs, and a part below a half by their margins.

        Equal to scikit-learn's `decision_function` of shape `ovr` (for two classes, where that gives one column: to
        what the same rule makes of two).
        """
        values = (features - self.centre) / self.scale
        distance = (values**2).sum(1)[:, None] + (self.vectors**2).sum(1) - 2 * values @ self.vectors.T
        kernel = np.exp(-self.gamma * np.maximum(distance, 0))
        ends = np.cumsum(self.counts)
        own = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        classes = len(self.counts)
        votes, margins = np.zeros((2, len(values), classes))
        pair = 0
        for first in range(classes):
            for second in range(first + 1, classes):
                # A support vector has a coefficient for each other class; the class's own place is skipped.
                decision = (
                    kernel[:, own[first]] @ self.dual[second - 1, own[first]]
                    + kernel[:, own[second]] @ self.dual[first, own[second]]
                    + self.intercepts[pair]
                )
                won = decision > 0
                votes[:, first] += won
                votes[:, second] += ~won
                margins[:, first] += decision
                margins[:, second] -= decision
                pair += 1
        return votes + margins / (3 * (np.abs(margins) + 1))

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Scores made to sum to 1, (N, K): a softmax of `SHARPNESS` times the decisions. They rank; they are not
        calibrated."""
        return softmax(SHARPNESS * self.decisions(features))

    def to_state(self, prefix: str = "svm_") -> dict[str, Any]:
        """Arrays and numbers, for `from_state`."""
        return {prefix + item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], prefix: str = "svm_") -> SupportVectors:
        """What `to_state` described."""
        content: dict[str, Any] = {item.name: np.asarray(state[prefix + item.name]) for item in fields(cls)}
        return cls(**{**content, "gamma": float(state[prefix + "gamma"])})


def fit_support_vectors(pixels: TrainingPixels, *, penalty: float, width: float) -> SupportVectors:
    """Train on standardised features, by libsvm through scikit-learn.

    Source: C. Cortes and V. Vapnik, Support-vector networks, Machine Learning 20, 1995, doi:10.1007/BF00994018; for
    hyperspectral images F. Melgani and L. Bruzzone, IEEE TGRS 42(8), 2004, doi:10.1109/TGRS.2004.831865.

    Args:
        pixels: training pixels.
        penalty: C, the price of an error.
        width: gamma times the number of features, so that one value serves for any number of bands.
    """
    from sklearn.svm import SVC

    centre, scale = standardisation(pixels.features)
    gamma = width / pixels.features.shape[1]
    machine = SVC(C=penalty, gamma=gamma).fit((pixels.features - centre) / scale, pixels.classes)
    dual, intercepts = machine.dual_coef_, machine.intercept_
    if pixels.count == 2:
        # scikit-learn turns the signs of the single pair, so that positive means the second class.
        dual, intercepts = -dual, -intercepts
    return SupportVectors(
        centre, scale, np.array(machine.support_vectors_), np.array(machine.n_support_), dual, intercepts, gamma
    )


def choose_settings(
    pixels: TrainingPixels,
    maps: Sequence[np.ndarray],
    *,
    penalties: Sequence[float],
    widths: Sequence[float],
    seed: int = 0,
) -> tuple[float, float]:
    """The penalty and the width that are most often right at held-out folds; of equal ones the smoothest.

    At most `MOST_FOR_CHOICE` pixels, drawn at random, are looked at.

    Args:
        pixels: training pixels.
        maps: their folds, from `spatial_folds`.
        penalties, widths: what to choose from.
        seed: which pixels are looked at.

    Returns:
        penalty, width.
    """
    pairs = [(penalty, width) for width in sorted(widths) for penalty in sorted(penalties)]
    if len(pairs) == 1:
        return pairs[0]
    generator = np.random.Generator(np.random.Philox(seed))
    order = generator.permutation(len(pixels.classes))[:MOST_FOR_CHOICE]
    folds = np.concatenate([own[own >= 0] for own in maps])
    features, classes, parts = pixels.features[order], pixels.classes[order], folds[order]
    right = np.zeros(len(pairs), int)
    for part in np.unique(parts):
        inside = kept_for_training(maps, int(part))[order]
        held = parts == part
        if not inside.any():
            continue
        present, numbers = np.unique(classes[inside], return_inverse=True)
        if len(present) < 2:
            continue
        training = TrainingPixels(features[inside], numbers, len(present))
        for index, (penalty, width) in enumerate(pairs):
            machine = fit_support_vectors(training, penalty=penalty, width=width)
            found = present[machine.decisions(features[held]).argmax(1)]
            right[index] += int((found == classes[held]).sum())
    return pairs[int(right.argmax())]
