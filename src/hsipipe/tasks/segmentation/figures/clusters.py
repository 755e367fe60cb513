"""Figures `cluster-maps` and `cluster-spectra`: where the clusters lie, and what their spectra are."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np

from hsipipe.metrics.clustering import CLUSTERING_METRICS, score_clusters
from hsipipe.metrics.registry import METRICS
from hsipipe.report.figures.spectra import break_at_gaps
from hsipipe.report.style import start_figure
from hsipipe.tasks.segmentation.figures.colours import (
    ClusterColours,
    balanced,
    class_legend,
    cluster_colours,
    gap_entries,
    legend_entries,
)
from hsipipe.tasks.segmentation.figures.headings import write_heading
from hsipipe.tasks.segmentation.figures.maps import Map, draw_maps
from hsipipe.tasks.segmentation.figures.material import Material
from hsipipe.tasks.segmentation.figures.training_pixels import picture
from hsipipe.tasks.segmentation.label_maps import PALETTE, coloured

COLUMNS = 4  # of stacks of spectra in a line
NAME = 18  # characters of a line of a name
INCHES = 0.7  # of height for each cluster
SPECTRA: dict[str, tuple[str, dict[str, Any]]] = {
    "member_spectra": ("mean of the members", {"linewidth": 3.2, "alpha": 0.75}),
    "medoid_spectra": ("most central member", {"linewidth": 0.7, "color": "#444444"}),
    "decoded_spectra": ("decoded mean latent", {"linewidth": 1.1, "color": "black", "linestyle": ":"}),
}


def draw_cluster_maps(material: Material) -> Any:
    """The image, its label map if there is one, and each clustering in the colours of the classes it fits best."""
    image, maps = material.image, material.cluster_maps()
    colours = _colours(material, maps)
    stacks = [[Map(picture(image), "image")]]
    if (image.labels > 0).any():
        stacks.append([Map(coloured(image.labels, class_legend(image)), "labels")])
    for variant, labels in maps.items():
        stacks.append([Map(coloured(labels, colours.of[variant]), variant, _told(material, labels))])
    # A cluster that fits no class is in no legend unless a map has it.
    entries = [*legend_entries(colours.legend), *colours.further, *gap_entries(image)]
    return draw_maps(stacks, image.valid, title=f"{material.heading}: {image.name}", entries=entries)


def draw_cluster_spectra(material: Material) -> Any:
    """The spectra of each cluster, one above the other: mean and most central member, and the decoded mean latent."""
    image, maps = material.image, material.cluster_maps()
    colours = _colours(material, maps)
    # Measured bands only: the others were interpolated.
    wavelength_nm = None if image.wavelength_nm is None else image.wavelength_nm[image.good]
    centres, order = break_at_gaps(wavelength_nm, int(image.good.sum()))
    most = max(len(legend.codes) for legend in colours.of.values())
    kept = {
        variant: {
            key: material.arrays[variant][key][:, image.good] for key in SPECTRA if key in material.arrays[variant]
        }
        for variant in maps
    }
    step = _step([arrays["member_spectra"] for arrays in kept.values()])
    lines, columns = balanced(len(maps), COLUMNS)
    figure, axes = start_figure(
        max(4.0 * columns, 6.5), lines * (INCHES * (most + 1) + 0.8) + 0.8, nrows=lines, ncols=columns, squeeze=False
    )
    for axis in axes.ravel()[len(maps) :]:
        axis.set_axis_off()
    for axis, (variant, arrays) in zip(axes.ravel(), kept.items(), strict=False):
        legend = colours.of[variant]
        ordered = _by_class(legend.names, colours)
        for place, cluster in enumerate(ordered):
            for name, spectra in arrays.items():
                line = np.where(order < 0, np.nan, spectra[cluster][order])
                axis.plot(centres, line - place * step, **{"color": legend.colours[cluster], **SPECTRA[name][1]})
        names = [f"{fill(legend.names[own], NAME)}\n{_share(maps[variant], own + 1)}" for own in ordered]
        axis.set_yticks(-step * np.arange(len(ordered)), names, fontsize=7.5)
        axis.set_xlabel("band" if wavelength_nm is None else "wavelength [nm]")
        axis.set_title(variant)
    from matplotlib.lines import Line2D

    present = [name for name in SPECTRA if any(name in arrays for arrays in kept.values())]
    handles = [Line2D([], [], label=SPECTRA[name][0], **{"color": PALETTE[0], **SPECTRA[name][1]}) for name in present]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    offset = f"{step:,.0f}" if step >= 10 else f"{step:g}"
    write_heading(
        figure,
        f"{material.heading}: {image.name}\nvalues in the scene's units; each cluster's zero, at its name, is {offset} "
        "below that of the one above",
    )
    return figure


def _colours(material: Material, maps: dict[str, np.ndarray]) -> ClusterColours:
    counts = {variant: len(material.arrays[variant]["cluster_means"]) for variant in maps}
    return cluster_colours(material.image, maps, counts)


def _told(material: Material, labels: np.ndarray) -> str:
    """The figure's metric of a map; that of this picture and not the mean over units and seeds."""
    count = len(np.unique(labels[labels > 0]))
    told = f"{count} clusters" if count != 1 else "1 cluster"
    if not (material.image.labels > 0).any():
        return told
    wanted = material.figure["metric"]
    name = wanted if wanted in CLUSTERING_METRICS and wanted != "clusters" else "nmi"
    value = {metric: value for metric, value, _ in score_clusters(material.image.labels, labels)}[name]
    return f"{METRICS[name].label} {value:.{METRICS[name].decimals}f}, {told}"


def _step(spectra: list[np.ndarray]) -> float:
    """How far spectra are set apart: half the highest value of all (K, bands), at two digits."""
    highest = max(float(np.nanmax(np.abs(each), initial=0.0)) for each in spectra) or 1.0
    return float(f"{highest / 2:.1e}")


def _by_class(names: tuple[str, ...], colours: ClusterColours) -> list[int]:
    """The clusters (from 0) in the order of the classes that they fit, those of none behind."""
    order = [*colours.legend.names, *(name for name, _ in colours.further)]
    return sorted(range(len(names)), key=lambda cluster: order.index(names[cluster]))


def _share(labels: np.ndarray, cluster: int) -> str:
    return f"{100 * float((labels == cluster).sum()) / max(int((labels > 0).sum()), 1):.1f} %"
