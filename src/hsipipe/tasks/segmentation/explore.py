"""`explore`: what the results explorer shows of a segmentation case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hsipipe.cases.pixels import TEST
from hsipipe.report.explorer.views import CodeMap, CubeView, MapView, View
from hsipipe.tasks.predictions import read_kept
from hsipipe.tasks.segmentation.case import CaseFile, Image
from hsipipe.tasks.segmentation.figures.colours import class_legend, cluster_colours
from hsipipe.tasks.segmentation.figures.training_pixels import picture
from hsipipe.tasks.segmentation.label_maps import Legend


def explore(
    case: str | Path,
    scenes: Sequence[str | Path],
    kept: Mapping[str, str],
) -> list[View]:
    """The shown unit: what autoencoders keep of it, how clusterings divide it, what classifiers call it.

    Args:
        case, scenes: the case file and its scenes.
        kept: variant -> what was kept for pictures.
    """
    autoencoders: list[str] = []
    clusters: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    classes: dict[str, np.ndarray] = {}
    name = ""
    for variant, path in kept.items():
        arrays = read_kept(path)
        name = arrays["item"]
        if "cluster_means" in arrays:
            clusters[variant] = arrays["prediction"][0].astype(np.int32)
            counts[variant] = len(arrays["cluster_means"])
        elif "confidence" in arrays:
            classes[variant] = arrays["prediction"][0].astype(np.int32)
        else:
            autoencoders.append(variant)
    with CaseFile(case, scenes) as opened:
        image, roles = opened.image(name), opened.pixel_roles(name)
    views: list[View] = []
    if autoencoders:
        views.append(_reconstructions(image, autoencoders, kept))
    if clusters:
        colours = cluster_colours(image, clusters, counts).of
        views.append(_maps(image, {name: _coded(codes, colours[name]) for name, codes in clusters.items()}, None))
    if classes:
        legend = class_legend(image, classes)
        tested = (roles == TEST) & (image.labels > 0)
        views.append(_maps(image, {name: _coded(codes, legend) for name, codes in classes.items()}, tested))
    return views


def _reconstructions(image: Image, variants: list[str], kept: Mapping[str, str]) -> CubeView:
    return CubeView(
        item=image.name,
        reference="input",
        truth=image.cube,
        beside={},
        variants=variants,
        read=lambda variant: read_kept(kept[variant])["prediction"],
        good=image.good,
        valid=image.valid,
        wavelength_nm=image.wavelength_nm,
        unit="value, the scene's units",
    )


def _maps(image: Image, maps: dict[str, CodeMap], tested: np.ndarray | None) -> MapView:
    labelled = bool((image.labels > 0).any())
    labels = _coded(image.labels, class_legend(image)) if labelled else None
    return MapView(image.name, picture(image), labels, tested if labelled else None, maps)


def _coded(codes: np.ndarray, legend: Legend) -> CodeMap:
    return CodeMap(
        codes, dict(zip(legend.codes, legend.names, strict=True)), dict(zip(legend.codes, legend.colours, strict=True))
    )
