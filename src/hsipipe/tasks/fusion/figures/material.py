"""What a figure of fusion is drawn from: scores, records, and the pair that pictures show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hsipipe.report.figures.results import Results
from hsipipe.tasks.fusion.case import CaseFile
from hsipipe.tasks.fusion.predict import shown_window
from hsipipe.tasks.predictions import read_kept

CONTROLS = ("bicubic",)


@dataclass(frozen=True)
class ShownItem:
    """The part of an item that pictures show.

    Attributes: name, truth and lr_hsi (bands, rows, cols), the latter with each of its pixels repeated to the truth's
    size, valid (rows, cols), wavelength_nm (bands,) or None.
    """

    name: str
    truth: np.ndarray
    lr_hsi: np.ndarray
    valid: np.ndarray
    wavelength_nm: np.ndarray | None


@dataclass(frozen=True)
class Material(Results):
    """All that a figure can be drawn from.

    Attributes: those of `Results`; case and scenes (paths), kept (variant -> what was kept for pictures).
    """

    task: ClassVar[str] = "fusion"
    controls: ClassVar[tuple[str, ...]] = CONTROLS

    case: str | Path
    scenes: Sequence[str | Path]
    kept: dict[str, str]

    def open(self) -> CaseFile:
        """The case."""
        return CaseFile(self.case, self.scenes)

    def kept_arrays(self) -> dict[str, dict[str, Any]]:
        """Variant -> the arrays that were kept of the shown item."""
        return {variant: read_kept(path) for variant, path in self.kept.items()}

    def predictions(self) -> dict[str, np.ndarray]:
        """Variant -> its prediction (bands, rows, cols) of the shown item, where the item has measurements."""
        shown = self.shown()
        good = (shown.truth != 0).any(axis=(1, 2), keepdims=True)
        return {variant: np.where(good, arrays["prediction"], 0) for variant, arrays in self.kept_arrays().items()}

    def shown(self) -> ShownItem:
        """The item that the predictions are of."""
        return read_shown(self.case, self.scenes, read_kept(next(iter(self.kept.values())))["item"])


def read_shown(case: str | Path, scenes: Sequence[str | Path], name: str) -> ShownItem:
    """The part of an item of a case that pictures show."""
    with CaseFile(case, scenes) as opened:
        truth = opened.truth(name)
        lr_hsi = opened.pair(name).lr_hsi.repeat(opened.ratio, axis=1).repeat(opened.ratio, axis=2)
    return ShownItem(
        name=name,
        truth=shown_window(truth.cube),
        lr_hsi=shown_window(lr_hsi),
        valid=shown_window(truth.valid),
        wavelength_nm=truth.wavelength_nm,
    )
