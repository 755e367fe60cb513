"""Classify files and arrays of spectra with a trained model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers import check_output
from hsipipe.tasks.segmentation.files.inputs import (
    check_distinct,
    check_spectra_output,
    image_of,
    read_spectra,
    write_spectra,
)
from hsipipe.tasks.segmentation.files.maps import check_form, check_map_output, write_labels
from hsipipe.tasks.segmentation.files.tables import is_csv, is_table, item_of_spectra
from hsipipe.tasks.segmentation.label_maps import Legend, make_legend

if TYPE_CHECKING:
    from hsipipe.tasks.segmentation.classifier import TrainedClassifier

# Classifiers look at the neighbours of a pixel, which the rows of a table have none of: rows this far apart, with
# nothing between them, are in no window of one another (the widest has 13 pixels, of which 6 lie on one side).
APART = 16
ROWS = 4096  # of a table, classified at once

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classified:
    """Attributes: codes (rows, cols) int32 as the label files have them, 0 where nothing was measured; confidence
    (rows, cols) float32, the probability of the class chosen, 0 there; legend: of all classes of the model.
    """

    codes: np.ndarray
    confidence: np.ndarray
    legend: Legend

    def shares(self) -> dict[str, float]:
        """The share in percent of each class that was found among the classified pixels, the largest first."""
        counts = {
            name: int((self.codes == code).sum())
            for code, name in zip(self.legend.codes, self.legend.names, strict=True)
        }
        total = max(sum(counts.values()), 1)
        ordered = sorted(counts.items(), key=lambda pair: -pair[1])
        return {name: 100 * count / total for name, count in ordered if count}


def classify_spectra(
    trained: TrainedClassifier, spectra: np.ndarray, *, wavelength_nm: np.ndarray | None = None
) -> Classified:
    """Classify an array: a table of spectra (N, bands), whose codes are (N, 1), or a cube (bands, rows, cols).

    Args:
        trained: from `load_classifier`.
        spectra: in the units that it was trained on; spectra with NaN, or zero throughout, get the code 0.
        wavelength_nm: (bands,), or None if not known.

    Raises:
        UserError: bands that the model cannot serve, or nothing valid.
    """
    return classify_item(item_of_spectra(spectra, wavelength_nm=wavelength_nm), trained)


def classify_item(item: Item, trained: TrainedClassifier) -> Classified:
    """Classify an item; of a table each spectrum by itself, as a pixel without neighbours."""
    image = image_of(item)
    if is_table(item):
        codes, confidence = _classify_rows(image.cube, image.valid, image.wavelength_nm, trained)
    else:
        codes, confidence = trained.predict(image.cube, image.valid, wavelength_nm=image.wavelength_nm)
    return Classified(codes, confidence, make_legend(trained.codes.codes, trained.names))


def _classify_rows(
    cube: np.ndarray, valid: np.ndarray, wavelength_nm: np.ndarray | None, trained: TrainedClassifier
) -> tuple[np.ndarray, np.ndarray]:
    codes, confidence = np.zeros(valid.shape, np.int32), np.zeros(valid.shape, np.float32)
    for start in range(0, len(valid), ROWS):
        rows = slice(start, min(start + ROWS, len(valid)))
        count = rows.stop - start
        spaced = np.zeros((len(cube), count * APART, 1), np.float32)
        measured = np.zeros((count * APART, 1), bool)
        spaced[:, ::APART], measured[::APART] = cube[:, rows], valid[rows]
        if measured.any():
            found, sure = trained.predict(spaced, measured, wavelength_nm=wavelength_nm)
            codes[rows], confidence[rows] = found[::APART], sure[::APART]
    return codes, confidence


def classify_file(
    source: str | Path,
    target: str | Path,
    trained: TrainedClassifier,
    *,
    confidence: str | Path | None = None,
    key: str | None = None,
    layout: str | None = None,
    table: bool = False,
) -> Classified:
    """Classify a file and write its label map with the names of the model's classes.

    Args:
        source, key, layout, table: as in `read_spectra`.
        target: .tif (georeferenced, colour table, names), .png (with a legend), .npy, .mat; of a table .npy, .csv or
            .mat.
        trained: from `load_classifier`.
        confidence: where the probability of the chosen class goes, an image format (.csv of a table).

    Raises:
        UserError: files that cannot be read or written, or bands that the model cannot serve.
    """
    check_map_output(target)
    if confidence is not None:
        check_spectra_output(confidence) if is_csv(confidence) else check_output(confidence)
    check_distinct((source, trained.path or None), (target, confidence))
    item = read_spectra(source, key=key, layout=layout, table=table)
    check_form(item, target)
    if is_table(item) and _looks_around(trained):
        log.warning(
            "%s: %s was trained on pixels with their neighbours, and spectra of a table have none",
            source,
            trained.method.name,
        )
    made = classify_item(item, trained)
    write_labels(target, made.codes, made.legend, item=item, title=f"{item.name}: {trained.method.name}")
    if confidence is not None:
        kept: dict[str, Any] = {
            name: item.source[name]
            for name in ("path", "format", "layout", "crs", "transform", "simulated")
            if name in item.source
        }
        told = {**kept, "dtype": "float32", "nodata": None, "fill": "nan"}
        write_spectra(
            confidence, Item(made.confidence[None], item.name, made.codes > 0, source=told), column="confidence"
        )
    return made


def _looks_around(trained: TrainedClassifier) -> bool:
    """Whether a classifier sees more than the pixel, as its fitted windows tell; in doubt it does."""
    windows = getattr(trained.fitted, "windows", None)
    if windows is not None:
        return max(windows) > 1
    return trained.method.name != "cnn_classifier"
