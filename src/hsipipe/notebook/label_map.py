"""`LabelMap`: what clustering and classification make of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hsipipe.scenes.scene import Item
from hsipipe.tasks.segmentation.label_maps import Legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class LabelMap:
    """A map of codes with their names.

    Attributes:
        labels: (rows, cols) integers, 0 where nothing was measured.
        legend: names and colours of the codes.
        item: the image that it is a map of.
        spectra: (codes, bands) mean spectra of clusters, or None.
        confidence: (rows, cols) probability of the class, or None.
    """

    labels: np.ndarray
    legend: Legend
    item: Item = field(repr=False)
    spectra: np.ndarray | None = field(default=None, repr=False)
    confidence: np.ndarray | None = field(default=None, repr=False)

    @property
    def shares(self) -> dict[str, float]:
        """The share in percent of each name among the labelled pixels."""
        total = max(int((self.labels > 0).sum()), 1)
        named = zip(self.legend.codes, self.legend.names, strict=True)
        return {name: 100 * int((self.labels == code).sum()) / total for code, name in named}

    def __repr__(self) -> str:
        rows, cols = self.labels.shape
        told = ", ".join(f"{name} {share:.1f} %" for name, share in list(self.shares.items())[:6])
        more = "" if len(self.legend.codes) <= 6 else ", ..."
        return f"<LabelMap {self.item.name!r}: {rows} x {cols} pixels, {len(self.legend.codes)} names: {told}{more}>"

    def save(self, path: str | Path) -> Path:
        """Write it: .tif (georeferenced, coloured, names), .png (with a legend), .npy, .mat."""
        from hsipipe.tasks.segmentation.label_maps import write_label_map

        write_label_map(path, self.labels, self.legend, source=self.item.source, title=self.item.name)
        return Path(path)

    def plot(self) -> Figure:
        """A picture with a legend."""
        from hsipipe.tasks.segmentation.label_maps import draw_label_map

        return draw_label_map(self.labels, self.legend, title=self.item.name)
