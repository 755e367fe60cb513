"""SLIC superpixels of the latents, whose means are clustered spectrally.

Sources: R. Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods", IEEE TPAMI 34(11), 2012;
A. Ng, M. Jordan and Y. Weiss, "On spectral clustering: analysis and an algorithm", NIPS 2001; L. Zelnik-Manor and
P. Perona, "Self-tuning spectral clustering", NIPS 2004.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for
from hsipipe.tasks.segmentation.shared.clusters import Clusters
from hsipipe.tasks.segmentation.shared.count import count_clusters
from hsipipe.tasks.segmentation.shared.k_means import nearest
from hsipipe.tasks.segmentation.shared.preparation import (
    Preparation,
    by_size,
    check_clusters,
    fit_preparation,
    member_latents,
    to_map,
)
from hsipipe.tasks.segmentation.shared.slic import region_means, superpixels
from hsipipe.tasks.segmentation.shared.spectral_clustering import spectral_clusters

SMALLEST_STEP = 3


def cluster(
    latents: np.ndarray,
    *,
    valid: np.ndarray,
    clusters: int | None = None,
    seed: int = 0,
    scaling: str = "half",
    smoothing: str = "edges",
    edge: float = 2.0,
    passes: int = 10,
    sigma: float = 1.0,
    step: int | None = None,
    most_superpixels: int = 4000,
    compactness: float = 0.5,
    neighbours: int = 10,
    starts: int = 10,
    most_clusters: int = 20,
) -> Clusters:
    """Cluster an image by spectral clustering of its superpixels' mean features.

    Args:
        latents: (z, H, W) float32.
        valid: (H, W) bool.
        clusters: K, or None to choose it (`count_clusters`).
        seed: of the starts.
        scaling: one of `scaling.SCALINGS`.
        smoothing, edge, passes, sigma: as `smoothing.smooth` takes them.
        step: side of a superpixel, pixels; None: 3, or as many more as keep their number below `most_superpixels`.
        most_superpixels: see `step`.
        compactness: weight of position against features within a superpixel.
        neighbours: of each superpixel in the graph.
        starts: of the k-means on the eigenvectors.
        most_clusters: the largest K tried when K is chosen.

    Returns:
        Clusters, the largest first. `found`: clusters, superpixels, step, and the choice of K.

    Raises:
        UserError: latents that are not finite or do not fit, fewer superpixels than clusters, unknown names.
    """
    pixels = int(valid.sum())
    check_clusters(clusters, pixels)
    preparation = fit_preparation(
        latents, valid, scaling=scaling, smoothing=smoothing, edge=edge, passes=passes, sigma=sigma
    )
    maps = preparation.maps(latents, valid)
    random = generator_for("superpixels", seed)
    found: dict = {}
    if clusters is None:
        samples = np.ascontiguousarray(maps[:, valid].T)
        clusters, found = count_clusters(samples, most=most_clusters, random=random, pixels=pixels)
    if step is None:
        step = max(SMALLEST_STEP, math.ceil(math.sqrt(pixels / most_superpixels)))
    regions = superpixels(maps, valid, step=step, compactness=compactness)
    count = int(regions.max()) + 1
    if count < clusters:
        remedy = "give a smaller step or fewer clusters"
        raise UserError(f"{count} superpixels cannot make {clusters} clusters", key="clusters", remedy=remedy)
    points = region_means(maps, regions, count)
    groups = spectral_clusters(points, clusters, random=random, neighbours=neighbours, starts=starts)
    labels = groups[regions[valid]]
    order = by_size(labels, clusters)
    mapped = to_map(np.argsort(order)[labels], valid)
    found |= {"clusters": clusters, "superpixels": count, "step": step}
    centres = member_latents(maps, mapped)
    return Clusters(mapped, member_latents(latents, mapped), found, {**preparation.to_state(), "centres": centres})


def assign(state: Mapping[str, np.ndarray], latents: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Label another image (z, H, W) pixel by pixel by the nearest cluster mean: (H, W) int32, 0 where not valid.

    The graph of superpixels does not reach beyond the image it was made of, so that this is an approximation: on the
    first image itself it does not give quite the same labels.

    Raises:
        UserError: another number of latents, or values that are not finite.
    """
    maps = Preparation.from_state(state).maps(latents, valid)
    labels = nearest(np.ascontiguousarray(maps[:, valid].T), np.asarray(state["centres"], np.float32))[0]
    return to_map(labels, valid)
