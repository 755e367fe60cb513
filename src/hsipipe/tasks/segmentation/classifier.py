"""A trained classifier: a cube in, the codes of its classes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.bands.matching import match_bands
from hsipipe.errors import UserError
from hsipipe.methods import Method, find_method
from hsipipe.tasks.segmentation.shared.label_codes import LabelCodes
from hsipipe.training.model_file import load_model, save_model


@dataclass(frozen=True)
class TrainedClassifier:
    """Attributes: method; fitted: what its `fit` made; codes: of the classes, as the label files have them; names: of
    the codes 1, 2, ..., or empty; bands and wavelength_nm ((bands,) or None): of the images that it was trained on;
    path: of its file, for messages.
    """

    method: Method
    fitted: Any
    codes: LabelCodes
    names: list[str]
    bands: int
    wavelength_nm: np.ndarray | None
    path: str | Path = ""

    def predict(
        self, cube: np.ndarray, valid: np.ndarray, *, wavelength_nm: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Classify each pixel of a cube (bands, rows, cols); other bands than those trained on are resampled to them.

        Returns:
            Codes (rows, cols) int32, 0 where not valid; the probability (rows, cols) float32 of the class that was
            chosen, 0 where not valid.

        Raises:
            UserError: bands that it cannot serve, see `match_bands`.
        """
        matching = match_bands(
            self.wavelength_nm, wavelength_nm, needed=self.bands, given=len(cube), path=self.path, back=False
        )
        if matching is not None:
            cube = np.tensordot(matching.there, cube, axes=1)
        probabilities = self.fitted.predict(cube, valid)
        codes = self.codes.decode(np.where(valid, probabilities.argmax(axis=0), -1))
        return codes, np.where(valid, probabilities.max(axis=0), 0).astype(np.float32)


def save_classifier(
    path: str | Path,
    trained: TrainedClassifier,
    *,
    settings: dict[str, Any],
    key: str,
    history: Sequence[Any],
    **more: Any,
) -> None:
    """Write the model file: what was fitted as arrays and plain values, codes, names, wavelengths."""
    save_model(
        path,
        model_state={},
        architecture=trained.method.name,
        settings=settings,
        normaliser=None,
        wavelength_nm=trained.wavelength_nm,
        key=key,
        history=history,
        bands=trained.bands,
        task="segmentation",
        classifier=trained.fitted.to_state(),
        codes=list(trained.codes.codes),
        class_names=list(trained.names),
        **more,
    )


def load_classifier(path: str | Path) -> TrainedClassifier:
    """Read a model file.

    Raises:
        UserError: no model file, or not a classifier's.
    """
    content = load_model(path)
    if content.get("task") != "segmentation" or "classifier" not in content:
        remedy = "give the model.pt of a classifier, see `hsipipe methods --task segmentation`"
        raise UserError("is no classifier of pixels", file=path, found=content["architecture"], remedy=remedy)
    method = find_method("segmentation", content["architecture"], file=path)
    fitted = method.load().from_state(content["classifier"])
    codes = LabelCodes(tuple(int(code) for code in content["codes"]))
    names = [str(name) for name in content["class_names"]]
    return TrainedClassifier(method, fitted, codes, names, content["bands"], content["wavelength_nm"], path)
