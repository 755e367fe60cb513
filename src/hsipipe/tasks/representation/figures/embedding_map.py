"""Embeddings of the tested images on a plane, with pictures of some."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.metrics.embedding_map import embedding_map
from hsipipe.report.style import start_figure
from hsipipe.tasks.representation.figures.material import Material, class_colours
from hsipipe.tasks.representation.figures.views import picture

THUMBNAILS = 24
MOST_POINTS = 1500


def draw_embedding_map(material: Material) -> Any:
    """One map (t-SNE) a variant: tested images in the colours of their classes, a few of them as pictures."""
    variants = list(material.embeddings)
    columns = min(3, len(variants))
    lines = -(-len(variants) // columns)
    figure, axes = start_figure(5.0 * columns + 1.8, 4.8 * lines, nrows=lines, ncols=columns, squeeze=False)
    with material.open() as case:
        labels, species = case.labels, case.species
        _, test = case.fold(next(iter(material.embeddings.values())).seed)
        shown = test[:: max(1, -(-len(test) // MOST_POINTS))]
        some = _spread(labels[shown])
        images, masks = case.read(shown[some])
        pictures = [picture(image, mask, case.wavelength_nm) for image, mask in zip(images, masks, strict=True)]
        colours = class_colours(len(species))
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, variant in zip(axes.ravel(), variants, strict=False):
        places = embedding_map(material.embeddings[variant].values[shown], method="tsne", seed=0)
        axis.set_axis_on()
        axis.set(xticks=[], yticks=[], title=variant)
        axis.grid(visible=False)
        for number, name in enumerate(species):
            own = labels[shown] == number
            axis.scatter(*places[own].T, s=14, color=colours[number], label=name, linewidths=0)
        _put_pictures(axis, places[some], pictures, [colours[labels[shown][one]] for one in some])
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", fontsize=8, markerscale=1.6)
    figure.suptitle(
        f"{material.heading}: {len(shown)} tested images, t-SNE; distances between groups mean little", fontsize=10
    )
    return figure


def _spread(labels: np.ndarray) -> np.ndarray:
    """Some of the images, as many of each class as can be."""
    each = max(1, THUMBNAILS // max(1, len(np.unique(labels))))
    return np.concatenate([np.flatnonzero(labels == one)[:each] for one in np.unique(labels)])


def _put_pictures(axis: Any, places: np.ndarray, pictures: list[np.ndarray], colours: list[Any]) -> None:
    """Pictures at their places, each framed in the colour of its class."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    for place, shown, colour in zip(places, pictures, colours, strict=True):
        box = AnnotationBbox(
            OffsetImage(shown, zoom=22 / max(shown.shape[:2])),
            place,
            frameon=True,
            pad=0.1,
            bboxprops={"edgecolor": colour, "linewidth": 1.2},
        )
        axis.add_artist(box)
