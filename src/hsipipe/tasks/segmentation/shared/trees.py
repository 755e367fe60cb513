"""Random forests: grown by scikit-learn, kept and evaluated as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hsipipe.tasks.segmentation.shared.training_pixels import TrainingPixels


@dataclass(frozen=True)
class Forest:
    """All trees one after the other.

    Attributes: roots (T,): the first node of each tree; left, right (n,): the nodes below, -1 at a leaf; feature,
    threshold (n,): go left where the feature is at most the threshold; shares (n, K): of the classes at a node.
    """

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    shares: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """The mean over the trees of the shares in the leaf that a pixel falls into: (N, K) of features (N, d)."""
        # Trees are grown on float32; what lies between two such numbers must fall on the same side here.
        values = np.ascontiguousarray(features, np.float32)
        total = np.zeros((len(values), self.shares.shape[1]))
        everyone = np.arange(len(values))
        for root in self.roots:
            node = np.full(len(values), root)
            moving = everyone
            while moving.size:
                at = node[moving]
                inner = self.left[at] >= 0
                moving, at = moving[inner], at[inner]
                goes_left = values[moving, self.feature[at]] <= self.threshold[at]
                node[moving] = np.where(goes_left, self.left[at], self.right[at])
            total += self.shares[node]
        return total / len(self.roots)

    def to_state(self) -> dict[str, np.ndarray]:
        """Arrays, for `from_state`."""
        return {f"forest_{item.name}": getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Forest:
        """What `to_state` described."""
        return cls(**{item.name: np.asarray(state[f"forest_{item.name}"]) for item in fields(cls)})


def grow_forest(
    pixels: TrainingPixels, *, trees: int, leaf: int, features_per_split: int | None = None, seed: int = 0
) -> Forest:
    """Grow trees on bootstrap samples, each split the best of some random features (Gini impurity).

    Source: L. Breiman, Random forests, Machine Learning 45, 2001, doi:10.1023/A:1010933404324.

    Args:
        pixels: training pixels.
        trees: how many.
        leaf: least number of pixels in a leaf.
        features_per_split: how many are tried; None: the root of their number.
        seed: of the samples and features.
    """
    from sklearn.ensemble import RandomForestClassifier

    tried = "sqrt" if features_per_split is None else min(features_per_split, pixels.features.shape[1])
    forest = RandomForestClassifier(
        trees, min_samples_leaf=leaf, max_features=tried, random_state=seed % (1 << 32), n_jobs=1
    ).fit(pixels.features.astype(np.float32), pixels.classes)
    parts = [tree.tree_ for tree in forest.estimators_]
    roots = np.cumsum([0] + [part.node_count for part in parts])[:-1]

    def joined(name: str) -> np.ndarray:
        moved = [
            np.where(getattr(part, name) >= 0, getattr(part, name) + root, -1)
            for part, root in zip(parts, roots, strict=True)
        ]
        return np.concatenate(moved).astype(np.int32)

    shares = np.concatenate([part.value[:, 0, :] for part in parts])
    return Forest(
        roots.astype(np.int32),
        joined("children_left"),
        joined("children_right"),
        np.concatenate([np.maximum(part.feature, 0) for part in parts]).astype(np.int32),
        np.concatenate([part.threshold for part in parts]),
        (shares / shares.sum(1, keepdims=True)).astype(np.float64),
    )
