"""`score`: compare reconstructions, clusters or classes with what is known of the test units, nothing averaged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.cases.pixels import TEST, touching_share
from hsipipe.metrics.classification import score_classes, score_labels
from hsipipe.metrics.clustering import score_clusters
from hsipipe.metrics.reconstruction import score_spectra
from hsipipe.metrics.registry import METRICS
from hsipipe.progress import progress
from hsipipe.scores import Score
from hsipipe.tasks.predictions import PredictionFile, open_predictions
from hsipipe.tasks.segmentation.case import CaseFile, Image

Measured = list[tuple[str, float, str]]


def score(
    case: str | Path,
    scenes: Sequence[str | Path],
    prediction: str | Path,
    *,
    case_settings: dict[str, Any],  # noqa: ARG001
) -> list[Score]:
    """Score all test units; what counts depends on what was predicted.

    Reconstructions: the test spectra of each unit, in the scene's units, measured bands only. Clusters: all labelled
    pixels of each unit, which no clustering has seen the labels of. Classes: the test pixels, pooled over the units of
    a scene, since a small unit need not have every class; and recall and precision of each class as an item of its own.

    Args:
        case, scenes: the case file and its scenes.
        prediction: the predictions of all its test units.
    """
    with CaseFile(case, scenes) as opened, open_predictions(prediction) as predictions:
        if predictions.content == "labels":
            return _score_classes(opened, predictions)
        measure = _score_reconstruction if predictions.content == "reconstruction" else _score_clusters
        scores = []
        for name in progress(predictions.names, "scoring"):
            measured = measure(opened, opened.image(name), predictions.read(name))
            scores += [Score(opened.units[name].scene, name, metric, value, unit) for metric, value, unit in measured]
        return scores


def _score_reconstruction(opened: CaseFile, image: Image, cube: np.ndarray) -> Measured:
    counted = (opened.spectra_roles(image.name) == TEST) & image.valid
    if not counted.any():
        return []
    truth, made = (values[image.good][:, counted].T for values in (image.cube, cube))
    span = np.ptp(image.cube[image.good][:, image.valid])
    return score_spectra(truth, made, data_range=float(span) if span > 0 else None)


def _score_clusters(opened: CaseFile, image: Image, labels: np.ndarray) -> Measured:
    del opened
    found = labels[0].astype(np.int32)
    if (image.labels > 0).any():
        return score_clusters(image.labels, found)
    return [("clusters", float(found.max()), METRICS["clusters"].unit)]


def _score_classes(opened: CaseFile, predictions: PredictionFile) -> list[Score]:
    pooled: dict[str, list[tuple[str, np.ndarray, np.ndarray, float]]] = defaultdict(list)
    names: dict[str, list[str]] = {}
    for name in progress(predictions.names, "scoring"):
        counted = opened.test_labels(name)
        if counted.any():
            image = opened.image(name)
            touching = touching_share(opened.pixel_roles(name)) * counted.sum()
            found = predictions.read(name)[0].astype(np.int32)[counted]
            scene = opened.units[name].scene
            pooled[scene].append((name, image.labels[counted], found, float(touching)))
            names[scene] = image.class_names
    scores = []
    for scene, parts in pooled.items():
        item = parts[0][0] if len(parts) == 1 else scene
        truth, found = (np.concatenate([part[place] for part in parts]) for place in (1, 2))
        touching = 100 * sum(part[3] for part in parts) / len(truth)
        measured = [*score_labels(truth, found), ("touching", touching, METRICS["touching"].unit)]
        scores += [Score(scene, item, metric, value, unit) for metric, value, unit in measured]
        for code, recall, precision, _ in score_classes(truth, found):
            called = names[scene][code - 1] if code <= len(names[scene]) else f"class {code}"
            # A class that was never predicted has no precision.
            for metric, value in (("recall", recall), *([("precision", precision)] if precision == precision else ())):
                scores.append(Score(scene, f"{item}: {code} {called}", metric, value, METRICS[metric].unit))
    return scores
