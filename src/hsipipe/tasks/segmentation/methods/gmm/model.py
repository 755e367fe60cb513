"""A Gaussian mixture of the latents, after deepHSI, with coordinates if wanted.

Source: A. P. Dempster, N. M. Laird and D. B. Rubin, "Maximum likelihood from incomplete data via the EM algorithm",
Journal of the Royal Statistical Society B 39(1), 1977; and the text of deepHSI (J. Huang, 2025), whose program, unlike
its text, leaves the coordinates out and runs from one start only: settings `scaling: standard`, `smoothing: none`,
`coordinate_weight: 0`, `starts: 1`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hsipipe.errors import unknown
from hsipipe.randomness import generator_for
from hsipipe.tasks.segmentation.shared.clusters import Clusters
from hsipipe.tasks.segmentation.shared.count import count_clusters
from hsipipe.tasks.segmentation.shared.mixture import COVARIANCES, Mixture, fit_mixture
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
    covariance: str = "full",
    floor: float = 1e-3,
    scaling: str = "standard",
    smoothing: str = "none",
    edge: float = 2.0,
    passes: int = 10,
    sigma: float = 1.0,
    coordinate_weight: float = 0.0,
    starts: int = 5,
    fit_pixels: int = 20000,
    most_clusters: int = 20,
) -> Clusters:
    """Cluster the pixels of an image by the most probable component of a Gaussian mixture of their latents.

    Args:
        latents: (z, H, W) float32.
        valid: (H, W) bool.
        clusters: K, or None to choose it (`count_clusters`).
        seed: of the starts and of the sub-sample.
        covariance: full, tied (one for all components) or diagonal.
        floor: added to the variances, as a share of the mean variance of the features.
        scaling: one of `scaling.SCALINGS`.
        smoothing, edge, passes, sigma: as `smoothing.smooth` takes them.
        coordinate_weight: weight of column and row (unit variance each) beside the features; 0 for none.
        starts: short runs, of which the best goes on.
        fit_pixels: size of the sub-sample that the mixture is fitted to; all pixels are labelled.
        most_clusters: the largest K tried when K is chosen.

    Returns:
        Clusters, the largest first. `found`: clusters, log_likelihood (nats per pixel), bic, iterations, converged, and
        the choice of K.

    Raises:
        UserError: latents that are not finite or do not fit, fewer different pixels than clusters, unknown names.
    """
    if covariance not in COVARIANCES:
        raise unknown("covariance", covariance, COVARIANCES)
    check_clusters(clusters, int(valid.sum()))
    preparation = fit_preparation(
        latents, valid, scaling=scaling, smoothing=smoothing, edge=edge, passes=passes, sigma=sigma
    )
    samples = np.ascontiguousarray(preparation.maps(latents, valid)[:, valid].T)
    size = samples.shape[1]
    random = generator_for("gmm", seed)
    found: dict = {}
    chosen = slice(None) if len(samples) <= fit_pixels else random.choice(len(samples), fit_pixels, replace=False)
    if clusters is None:
        clusters, found = count_clusters(
            samples[chosen], most=most_clusters, random=random, pixels=len(samples), covariance=covariance
        )
    if coordinate_weight > 0:
        samples = np.concatenate([samples, coordinate_weight * coordinates(valid)], axis=1)
    mixture = fit_mixture(samples[chosen], clusters, random=random, covariance=covariance, floor=floor, starts=starts)
    labels = mixture.labels(samples)
    order = by_size(labels, clusters)
    mapped = to_map(np.argsort(order)[labels], valid)
    mixture = mixture.permuted(order)
    found |= {
        "clusters": clusters,
        "log_likelihood": mixture.log_likelihood,
        "bic": mixture.bic(),
        "iterations": mixture.iterations,
        "converged": mixture.converged,
    }
    means = member_latents(latents, mapped)
    return Clusters(mapped, means, found, {**preparation.to_state(), **mixture.marginal(size).to_state()})


def assign(state: Mapping[str, np.ndarray], latents: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Label another image (z, H, W) by the most probable component: (H, W) int32, 0 where not valid.

    It is scaled as the first image was and smoothed by its own differences. Coordinates are left out: the mixture kept
    is that of the features alone, as places of one image mean nothing in another.

    Raises:
        UserError: another number of latents, or values that are not finite.
    """
    maps = Preparation.from_state(state).maps(latents, valid)
    return to_map(Mixture.from_state(state).labels(np.ascontiguousarray(maps[:, valid].T)), valid)
