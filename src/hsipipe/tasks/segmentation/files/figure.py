"""A clustering in one picture: the scene, its map, and the spectra of the clusters in the colours of the map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hsipipe.report.figures.spectra import break_at_gaps
from hsipipe.report.style import rgb_bands, save_figure, start_figure
from hsipipe.tasks.segmentation.label_maps import Legend, coloured

if TYPE_CHECKING:
    from hsipipe.tasks.segmentation.files.segment_files import Segmentation

PERCENTILES = (2, 98)  # of the valid pixels: the range of brightness that is shown


def draw_segmentation(path: str | Path, made: Segmentation, *, legend: Legend, title: str, table: bool = False) -> None:
    """Draw the scene in three bands, the map, and the mean spectrum of each cluster (dashed: decoded); of a table the
    spectra alone.

    Args:
        path: .png, .svg or .pdf.
        made: the clustering.
        legend: of its clusters.
        title: heading.
        table: whether it is of a table of spectra.
    """
    rows, cols = made.labels.shape
    if table:
        figure, axis = start_figure(7.5, 4.4)
    else:
        height = float(np.clip(4.2 * rows / cols, 3.2, 7))
        figure, (scene, clusters, axis) = start_figure(14.5, height, ncols=3, width_ratios=(1, 1, 1.25))
        scene.imshow(_picture(made), interpolation="nearest")
        scene.set_title("scene")
        clusters.imshow(coloured(made.labels, legend), interpolation="nearest")
        clusters.set_title("clusters")
        for picture in (scene, clusters):
            picture.set_axis_off()
    wavelength_nm = made.image.wavelength_nm
    centres, order = break_at_gaps(wavelength_nm, len(made.image.cube))

    def line(spectrum: np.ndarray) -> np.ndarray:
        return np.where(order < 0, np.nan, spectrum[order])

    valid = int(made.image.valid.sum())
    for number, spectrum in enumerate(made.spectra["member"]):
        share = 100 * made.sizes[number] / valid
        label = f"{legend.names[number]}, {share:.1f} %"
        axis.plot(centres, line(spectrum), color=legend.colours[number], linewidth=1.8, label=label)
    for spectrum in made.spectra.get("decoded", ()):
        axis.plot(centres, line(spectrum), "--", color="black", linewidth=0.7)
    axis.set_xlabel("band" if wavelength_nm is None else "wavelength [nm]")
    axis.set_ylabel("value")
    dashed = " (dashed: decoded from the mean latent)" if "decoded" in made.spectra else ""
    axis.set_title(f"mean spectra{dashed}")
    # Beside the spectra: with many clusters it would hide them.
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, [path])


def _picture(made: Segmentation) -> np.ndarray:
    """The scene as colours (rows, cols, 3) in [0, 1], white where not valid."""
    cube, valid = made.image.cube, made.image.valid
    bands = cube[rgb_bands(len(cube), made.image.wavelength_nm)]
    low, high = np.percentile(bands[:, valid], PERCENTILES, axis=1)
    span = np.maximum(high - low, 1e-12)
    scaled = np.clip((bands - low[:, None, None]) / span[:, None, None], 0, 1)
    return np.where(valid, scaled, 1.0).transpose(1, 2, 0)
