"""k-means on latents whose axes are half-way equalised and which are smoothed within edges: the default clustering.

Sources: S. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 28(2), 1982; D. Arthur
and S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007. Scaling and smoothing:
`shared/scaling.py`, `shared/smoothing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hsipipe.randomness import generator_for
from hsipipe.tasks.segmentation.shared.clusters import Clusters
from hsipipe.tasks.segmentation.shared.count import count_clusters
from hsipipe.tasks.segmentation.shared.k_means import fit_k_means, lloyd, nearest
from hsipipe.tasks.segmentation.shared.preparation import (
    Preparation,
    by_size,
    check_clusters,
    coordinates,
    fit_preparation,
    member_latents,
    to_map,
)


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
    coordinate_weight: float = 0.0,
    starts: int = 10,
    fit_pixels: int = 20000,
    most_clusters: int = 20,
) -> Clusters:
    """Cluster the pixels of an image by k-means on their latents.

    Args:
        latents: (z, H, W) float32.
        valid: (H, W) bool.
        clusters: K, or None to choose it (`count_clusters`).
        seed: of the starts and of the sub-sample.
        scaling: one of `scaling.SCALINGS`.
        smoothing, edge, passes, sigma: as `smoothing.smooth` takes them.
        coordinate_weight: weight of column and row (unit variance each) beside the features; 0 for none.
        starts: runs from different seeds on the sub-sample, of which the best goes on with all pixels.
        fit_pixels: size of the sub-sample.
        most_clusters: the largest K tried when K is chosen.

    Returns:
        Clusters, the largest first; `found`: clusters, inertia (mean squared distance), and the choice of K.

    Raises:
        UserError: latents that are not finite or do not fit, fewer different pixels than clusters, unknown names.
    """
    check_clusters(clusters, int(valid.sum()))
    preparation = fit_preparation(
        latents, valid, scaling=scaling, smoothing=smoothing, edge=edge, passes=passes, sigma=sigma
    )
    samples = np.ascontiguousarray(preparation.maps(latents, valid)[:, valid].T)
    size = samples.shape[1]
    random = generator_for("kmeans", seed)
    found: dict = {}
    chosen = slice(None) if len(samples) <= fit_pixels else random.choice(len(samples), fit_pixels, replace=False)
    if clusters is None:
        clusters, found = count_clusters(samples[chosen], most=most_clusters, random=random, pixels=len(samples))
    if coordinate_weight > 0:
        samples = np.concatenate([samples, coordinate_weight * coordinates(valid)], axis=1)
    best = fit_k_means(samples[chosen], clusters, starts=starts, random=random)
    best = lloyd(samples, best.centres)
    labels = best.labels(samples)
    order = by_size(labels, clusters)
    mapped = to_map(np.argsort(order)[labels], valid)
    centres = best.centres[order]
    found |= {"clusters": clusters, "inertia": best.inertia}
    state = {**preparation.to_state(), "centres": centres[:, :size]}
    return Clusters(mapped, member_latents(latents, mapped), found, state)


def assign(state: Mapping[str, np.ndarray], latents: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Label another image (z, H, W) by the nearest centre: (H, W) int32, 0 where not valid.

    It is scaled as the first image was and smoothed by its own differences. Coordinates are left out: clusters that
    were places of one image mean nothing in another.

    Raises:
        UserError: another number of latents, or values that are not finite.
    """
    maps = Preparation.from_state(state).maps(latents, valid)
    labels = nearest(np.ascontiguousarray(maps[:, valid].T), np.asarray(state["centres"], np.float32))[0]
    return to_map(labels, valid)
