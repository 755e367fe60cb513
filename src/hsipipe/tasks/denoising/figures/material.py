"""What a figure of denoising is drawn from: scores, records, and the cubes of the unit that pictures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hsipipe.report.figures.results import Results
from hsipipe.tasks.denoising.case import CaseFile, Truth
from hsipipe.tasks.predictions import read_kept

CONTROLS = ("noisy", "constant")


@dataclass(frozen=True)
class ShownUnit:
    """The test unit that pictures show: its name, its truth, its noisy cube (bands, rows, cols)."""

    name: str
    truth: Truth
    noisy: np.ndarray


@dataclass(frozen=True)
class Material(Results):
    """All that a figure can be drawn from.

    Attributes: those of `Results`; case and scenes (paths), case_settings (those that `draw` reads), kept (variant ->
    prediction kept for pictures).
    """

    task: ClassVar[str] = "denoising"
    controls: ClassVar[tuple[str, ...]] = CONTROLS

    case: str | Path
    scenes: Sequence[str | Path]
    case_settings: Mapping[str, Any]
    kept: dict[str, str]

    def predictions(self) -> dict[str, np.ndarray]:
        """Variant -> its prediction (bands, rows, cols) of the shown unit."""
        return {variant: read_kept(path)["prediction"] for variant, path in self.kept.items()}

    def shown(self) -> ShownUnit:
        """The unit that the predictions are of."""
        name = read_kept(next(iter(self.kept.values())))["item"]
        with CaseFile(self.case, self.scenes) as opened:
            return ShownUnit(name, opened.truth(name), opened.noisy(name))
