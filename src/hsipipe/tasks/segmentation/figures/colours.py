"""Which colour classes and clusters have: the same in all figures of a unit, a cluster that of the class it fits."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsipipe.metrics.clustering import contingency
from hsipipe.report.figures.panels import GAP_COLOUR
from hsipipe.tasks.segmentation.case import Image
from hsipipe.tasks.segmentation.label_maps import BACKGROUND, PALETTE, Legend, make_legend

GOLDEN_SHARE = 0.618034  # of the circle of hues: the next colour is far from those before it


@dataclass(frozen=True)
class ClusterColours:
    """Names and colours of the clusters of several maps.

    Attributes:
        legend: of the classes, or without labels of the clusters of the first map.
        further: names and colours of the clusters that fit none of these, by their rank.
        of: variant -> a legend of its clusters 1 to K.
    """

    legend: Legend
    further: list[tuple[str, str]]
    of: dict[str, Legend]


def class_legend(image: Image, maps: Mapping[str, np.ndarray] | None = None) -> Legend:
    """Names and colours of the classes that the unit's labels or maps of predicted codes have."""
    found = [image.labels, *(maps or {}).values()]
    codes = {int(code) for labels in found for code in np.unique(labels) if code > 0}
    return make_legend(sorted(codes), image.class_names)


def match_clusters(truth: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Cluster -> code: each cluster with at most one code, such that most pixels are of the code of their cluster.

    Source: H. W. Kuhn, Naval Research Logistics Quarterly 2, 1955, doi:10.1002/nav.3800020109.

    Args:
        truth: (rows, cols) codes; pixels of 0 and below do not count.
        labels: (rows, cols) clusters; 0 is none.

    Returns:
        only pairs that share a pixel.
    """
    from scipy.optimize import linear_sum_assignment

    known = (truth > 0) & (labels > 0)
    if not known.any():
        return {}
    table = contingency(np.where(known, truth, 0), labels)
    codes, clusters = np.unique(truth[known]), np.unique(labels[known])
    rows, cols = linear_sum_assignment(table, maximize=True)
    return {int(clusters[col]): int(codes[row]) for row, col in zip(rows, cols, strict=True) if table[row, col] > 0}


def cluster_colours(image: Image, maps: Mapping[str, np.ndarray], counts: Mapping[str, int]) -> ClusterColours:
    """Colours for the clusters of several maps of one unit, matched to its classes.

    Without labels the clusters of the first map stand for the classes, so that colours agree among maps all the same.

    Args:
        image: the unit.
        maps: variant -> clusters (rows, cols), 1 to K, and 0.
        counts: variant -> K.
    """
    first = next(iter(maps))
    labelled = bool((image.labels > 0).any())
    reference = image.labels if labelled else maps[first]
    legend = class_legend(image) if labelled else make_legend(range(1, counts[first] + 1), word="cluster")
    colour_of = dict(zip(legend.codes, legend.colours, strict=True))
    name_of = dict(zip(legend.codes, legend.names, strict=True))
    matched = {variant: match_clusters(reference, labels) for variant, labels in maps.items()}
    if not labelled:  # also clusters without a pixel are those of the first map
        matched[first] = {code: code for code in legend.codes}
    most = max(counts[variant] - len(matched[variant]) for variant in maps)
    colours = spare_colours(legend.colours, most)
    further = [(f"further cluster {number}", colour) for number, colour in enumerate(colours, start=1)]
    of = {}
    for variant, labels in maps.items():
        codes = list(range(1, counts[variant] + 1))
        rest = [cluster for cluster in codes if cluster not in matched[variant]]
        rest.sort(key=lambda cluster: -int((labels == cluster).sum()))
        told = {cluster: (name_of[code], colour_of[code]) for cluster, code in matched[variant].items()}
        told |= dict(zip(rest, further, strict=False))
        of[variant] = Legend(tuple(codes), *zip(*(told[code] for code in codes), strict=True))
    return ClusterColours(legend, further, of)


def spare_colours(taken: Sequence[str], count: int) -> list[str]:
    """Colours of the palette that are not taken; beyond them pale ones around the circle of hues."""
    spare = [colour for colour in PALETTE if colour not in taken][:count]
    for number in range(count - len(spare)):
        rgb = colorsys.hls_to_rgb((number * GOLDEN_SHARE) % 1, 0.72 if number % 2 else 0.5, 0.55)
        spare.append("#" + "".join(f"{round(255 * value):02x}" for value in rgb))
    return spare


def patches(entries: Sequence[tuple[str, str]]) -> list[Any]:
    """Handles of a legend from (name, colour)."""
    from matplotlib.patches import Patch

    return [Patch(facecolor=colour, edgecolor="#444444", linewidth=0.5, label=name) for name, colour in entries]


def legend_entries(legend: Legend) -> list[tuple[str, str]]:
    """(name, colour) of each code of a legend."""
    return list(zip(legend.names, legend.colours, strict=True))


def gap_entries(image: Image) -> list[tuple[str, str]]:
    """(name, colour) of what has no class in the pictures of a unit: no label, no valid data, where there are such."""
    entries = []
    if (image.labels > 0).any() and (image.valid & (image.labels == 0)).any():
        entries.append(("no label", BACKGROUND))
    if not image.valid.all():
        entries.append(("no valid data", GAP_COLOUR))
    return entries


def balanced(count: int, most: int) -> tuple[int, int]:
    """Lines and columns for so many panels, at most `most` in a line, lines as equal as can be."""
    lines = -(-count // most)
    return lines, -(-count // lines)
