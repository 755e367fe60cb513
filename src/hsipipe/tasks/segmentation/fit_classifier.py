"""Train a classifier on the labelled training pixels of a case."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.cases.pixels import TRAIN
from hsipipe.devices.claim import current_device
from hsipipe.errors import UserError
from hsipipe.keys import step_key
from hsipipe.methods import Method
from hsipipe.report.style import save_figure
from hsipipe.tasks.segmentation.case import CaseFile, Image
from hsipipe.tasks.segmentation.classifier import TrainedClassifier, save_classifier
from hsipipe.tasks.segmentation.figures.training_pixels import draw_training_pixels
from hsipipe.tasks.segmentation.shared.label_codes import LabelCodes
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage
from hsipipe.training.history import draw_history


def fit_classifier(
    case: CaseFile,
    method: Method,
    settings: dict[str, Any],
    *,
    seed: int,
    key: str,
    output: str | Path,
    curves: str | Path,
    samples: str | Path,
) -> None:
    """Train on the case's labelled training pixels and write the model; see `hsipipe.tasks.segmentation.fit`."""
    images, labels = _training_images(case)
    if not images:
        raise UserError(
            f"{method.name!r} is trained, and the case has no labelled training pixel",
            file=case.path,
            key="scenes",
            remedy="give a scene with labels, or choose the case's `variants`",
        )
    codes = LabelCodes.of(labels)
    labelled = [
        LabelledImage(image.cube, codes.encode(own), image.valid) for image, own in zip(images, labels, strict=True)
    ]
    began = time.monotonic()
    fitted = method.load().fit(labelled, seed=seed, device=current_device().torch_name, **settings)
    seconds = time.monotonic() - began
    found = dict(getattr(fitted, "found", {}))
    losses = found.pop("losses", [])
    history = [
        {
            "epoch": epoch,
            "step": epoch,
            "learning_rate": settings["learning_rate"],
            "train_loss": loss,
            "seconds": seconds / len(losses),
        }
        for epoch, loss in enumerate(losses, start=1)
    ]
    trained = TrainedClassifier(
        method, fitted, codes, images[0].class_names, len(case.band_index), case.wavelength_nm, output
    )
    pixels = int(sum((own > 0).sum() for own in labels))
    save_classifier(
        output,
        trained,
        settings=settings,
        key=step_key(key, case.content, settings, seed),
        history=history,
        training={"seconds_to_train": seconds, "training_pixels": pixels, **({"found": found} if found else {})},
    )
    draw_history(history, curves)
    title = f"{method.name}, {case.name}: {pixels:,} training pixels"
    save_figure(draw_training_pixels(images[0], labels[0], title=title), [samples])


def _training_images(case: CaseFile) -> tuple[list[Image], list[np.ndarray]]:
    """The images with labelled training pixels, and maps of the codes of these, 0 elsewhere."""
    images, labels = [], []
    for name in case.names("train"):
        chosen = case.pixel_roles(name) == TRAIN
        if chosen.any():
            image = case.image(name)
            images.append(image)
            labels.append(np.where(chosen, image.labels, 0))
    return images, labels
