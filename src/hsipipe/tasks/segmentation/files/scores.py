"""Score label maps of files: classes by their codes, or clusters by the best matching."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.metrics.classification import confusion, score_classes, score_labels
from hsipipe.metrics.clustering import score_clusters
from hsipipe.metrics.registry import METRICS
from hsipipe.scores import Score, write_scores
from hsipipe.tasks.segmentation.files.maps import read_map

Rows = list[tuple[str, float, str]]


def score_maps(truth: np.ndarray, prediction: np.ndarray, *, clusters: bool = False) -> tuple[Rows, dict[str, Any]]:
    """Score a map against labels, at every pixel whose label is above 0.

    Args:
        truth, prediction: (rows, cols) integers of the same shape.
        clusters: the codes of the prediction are clusters, matched to classes so that most pixels are right; otherwise
            they are the classes themselves.

    Returns:
        (metric, value, unit), and for classes further `classes` (code -> recall and precision in percent, pixels) and
        `confusion` (classes; counts of true class by predicted class; missed: pixels given no class).

    Raises:
        UserError: shapes that differ, or no label.
    """
    if clusters:
        return score_clusters(truth, prediction), {}
    table = confusion(truth, prediction)
    each = {
        str(code): {"recall": recall, "precision": precision, "pixels": pixels}
        for code, recall, precision, pixels in score_classes(truth, prediction)
    }
    counted = {"classes": table.classes.tolist(), "counts": table.counts.tolist(), "missed": table.missed.tolist()}
    return score_labels(truth, prediction), {"classes": each, "confusion": counted}


def score_label_files(
    truth: str | Path, prediction: str | Path, *, clusters: bool = False
) -> tuple[Rows, dict[str, Any]]:
    """Score the map of one file against the labels of another, `FILE[:KEY]` each; see `score_maps` and `read_map`.

    Raises:
        UserError: files that hold no label map, maps of different size, or no label.
    """
    labels, found = read_map(truth), read_map(prediction)
    if labels.shape != found.shape:
        sizes = [" x ".join(map(str, values.shape)) for values in (found, labels)]
        remedy = "score maps of the same size"
        raise UserError(
            f"has {sizes[0]} pixels (rows x cols), the truth has {sizes[1]}", file=prediction, remedy=remedy
        )
    if not (labels > 0).any():
        raise UserError("has no label above 0 to score at", file=truth, remedy="is this the label map?")
    return score_maps(labels, found, clusters=clusters)


def write_label_scores(path: str | Path, rows: Rows, more: dict[str, Any], *, truth: str, prediction: str) -> None:
    """Write the scores as a tidy table: the whole map as one item, and each class as an item of its own."""
    scores = [Score(truth, "all", metric, value, unit) for metric, value, unit in rows]
    for code, values in more.get("classes", {}).items():
        for metric in ("recall", "precision"):
            if np.isfinite(values[metric]):
                scores.append(Score(truth, f"class {code}", metric, values[metric], METRICS[metric].unit))
    write_scores(path, scores, task="segmentation", case="files", variant=prediction, seed=0)
