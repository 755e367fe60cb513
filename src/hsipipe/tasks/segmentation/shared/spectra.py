"""Spectra of clusters as their members have them."""

from __future__ import annotations

import numpy as np


def member_means(cube: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean spectrum of the members of each cluster.

    Args:
        cube: (C, H, W), any units.
        labels: (H, W) integers: 1 to K, 0 where there is no cluster.

    Returns:
        (K, C) float32 in the units of the cube; NaN for a cluster without members.
    """
    inside = labels > 0
    members, clusters = labels[inside] - 1, int(labels.max(initial=0))
    counts = np.bincount(members, minlength=clusters)
    sums = np.stack([np.bincount(members, band[inside], clusters) for band in cube], axis=1)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan).astype(np.float32)


def member_medoids(cube: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most central member of each cluster: a spectrum that was measured, unlike the mean.

    It is the member with the least sum of squared distances to all members, which is the one nearest to their mean.

    Args:
        cube: (C, H, W), any units.
        labels: (H, W) integers: 1 to K, 0 where there is no cluster.

    Returns:
        Spectra (K, C) float32, NaN for a cluster without members; and their places (K, 2), row and column, int64, -1
        without members.
    """
    means = member_means(cube, labels)
    places = np.full((len(means), 2), -1, np.int64)
    spectra = np.full_like(means, np.nan)
    distances = np.zeros(labels.shape, np.float64)
    owner = np.maximum(labels, 1) - 1
    for band, mean in zip(cube, means.T if len(means) else [], strict=False):
        distances += (band - mean[owner]) ** 2
    for cluster in range(len(means)):
        rows, cols = np.nonzero(labels == cluster + 1)
        if len(rows):
            best = int(distances[rows, cols].argmin())
            places[cluster] = rows[best], cols[best]
            spectra[cluster] = cube[:, rows[best], cols[best]]
    return spectra, places
