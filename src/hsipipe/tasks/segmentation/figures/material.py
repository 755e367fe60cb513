"""What a figure of segmentation is drawn from: scores, records, and the unit that pictures show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hsipipe.errors import UserError
from hsipipe.report.figures.results import Results
from hsipipe.tasks.predictions import read_kept
from hsipipe.tasks.segmentation.case import CaseFile, Image


@dataclass(frozen=True)
class Material(Results):
    """All that a figure can be drawn from.

    Attributes: those of `Results`; case and scenes (paths), kept (variant -> what was kept for pictures).
    """

    task: ClassVar[str] = "segmentation"

    case: str | Path
    scenes: Sequence[str | Path]
    kept: dict[str, str]

    @cached_property
    def arrays(self) -> dict[str, dict[str, Any]]:
        """Variant -> the arrays that were kept of the shown unit, see `KEPT_AXES`."""
        return {variant: read_kept(path) for variant, path in self.kept.items()}

    @cached_property
    def image(self) -> Image:
        """The unit that the kept predictions are of."""
        with CaseFile(self.case, self.scenes) as opened:
            return opened.image(next(iter(self.arrays.values()))["item"])

    @cached_property
    def roles(self) -> tuple[np.ndarray, np.ndarray]:
        """What each spectrum and each labelled pixel of the shown unit is for, (rows, cols) uint8 each."""
        with CaseFile(self.case, self.scenes) as opened:
            return opened.spectra_roles(self.image.name), opened.pixel_roles(self.image.name)

    def reconstructions(self) -> dict[str, np.ndarray]:
        """Variant -> the reconstructed cube (bands, rows, cols), of the autoencoders among the variants."""
        return self._of("an autoencoder", lambda arrays: arrays["prediction"].shape[0] > 1, "prediction")

    def latents(self) -> dict[str, np.ndarray]:
        """Variant -> latents (z, rows, cols), of the autoencoders and of the clusterings of latents."""
        return self._of("an autoencoder or a clustering of latents", lambda arrays: "latents" in arrays, "latents")

    def cluster_maps(self) -> dict[str, np.ndarray]:
        """Variant -> clusters (rows, cols) int, 1 to K and 0, of the clusterings among the variants."""
        found = self._of("a clustering", lambda arrays: "cluster_means" in arrays, "prediction")
        return {variant: labels[0].astype(np.int32) for variant, labels in found.items()}

    def class_maps(self) -> dict[str, np.ndarray]:
        """Variant -> codes (rows, cols) int, 0 where not valid, of the classifiers among the variants."""
        found = self._of("a classifier", lambda arrays: "confidence" in arrays, "prediction")
        return {variant: labels[0].astype(np.int32) for variant, labels in found.items()}

    def _of(self, what: str, suits: Any, key: str) -> dict[str, np.ndarray]:
        found = {variant: arrays[key] for variant, arrays in self.arrays.items() if suits(arrays)}
        if not found:
            raise UserError(
                f"a figure of kind {self.figure['kind']!r} needs {what}",
                key="variants",
                found=", ".join(self.arrays),
                remedy="name variants that are",
            )
        return found
