"""`explore`: what the results explorer shows of a representation case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hsipipe.metrics.embedding_map import embedding_map
from hsipipe.report.explorer.views import PointView, View
from hsipipe.tasks.representation.case import CaseFile
from hsipipe.tasks.representation.figures.views import picture
from hsipipe.tasks.representation.prediction import read_embeddings

MOST_POINTS = 300
MOST_SIDE = 32  # pixels of a picture


def explore(
    case: str | Path,
    scenes: Sequence[str | Path],  # noqa: ARG001 -- the case file holds the images
    kept: Mapping[str, str],
) -> list[View]:
    """The tested images of the first seed, where each encoder puts them, by t-SNE.

    Args:
        case, scenes: the case file and its scenes.
        kept: variant -> its embeddings.
    """
    made = {variant: read_embeddings(path) for variant, path in kept.items()}
    with CaseFile(case) as opened:
        _, test = opened.fold(next(iter(made.values())).seed)
        shown = test[:: max(1, -(-len(test) // MOST_POINTS))]
        images, masks = opened.read(shown)
        step = -(-max(images.shape[-2:]) // MOST_SIDE)
        pictures = [
            picture(image, mask, opened.wavelength_nm)[::step, ::step]
            for image, mask in zip(images, masks, strict=True)
        ]
        who = [opened.identities[number] for number in shown]
    groups = {
        heading: [getattr(one, name) for one in who]
        for heading, name in (("class", "species"), ("session", "session"), ("side", "side"))
        if len({getattr(one, name) for one in who}) > 1
    }
    # An encoder that gives all images the same has no map.
    places = {
        variant: embedding_map(embeddings.values[shown], method="tsne", seed=0)
        for variant, embeddings in made.items()
        if np.ptp(embeddings.values[shown], axis=0).any()
    }
    return [PointView("t-SNE", [one.name for one in who], groups, pictures, places)]
