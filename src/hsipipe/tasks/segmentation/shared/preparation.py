"""From latents to the features that a clustering works on: scaled, smoothed, with coordinates if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.scaling import Scaler, fit_scaler
from hsipipe.tasks.segmentation.shared.smoothing import SMOOTHINGS, smooth


@dataclass(frozen=True)
class Preparation:
    """Attributes: scaler; smoothing (one of `SMOOTHINGS`); edge, passes and sigma, as `smooth` takes them."""

    scaler: Scaler
    smoothing: str
    edge: float
    passes: int
    sigma: float

    def maps(self, latents: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Feature maps (d, H, W) float32 of latents (z, H, W); 0 where not valid.

        Raises:
            UserError: another number of latents than the scaler was fitted to, or values that are not finite.
        """
        check_latents(latents, valid)
        if len(latents) != len(self.scaler.offset):
            raise UserError(
                f"the clusters were found in {len(self.scaler.offset)} latents, this image has {len(latents)}",
                remedy="encode it with the same model",
            )
        values = self.scaler.apply(latents[:, valid].T)
        maps = np.zeros((values.shape[1], *valid.shape), np.float32)
        maps[:, valid] = values.T
        return smooth(maps, valid, self.smoothing, edge=self.edge, passes=self.passes, sigma=self.sigma)

    def to_state(self) -> dict[str, np.ndarray]:
        """Plain arrays, for `from_state`."""
        numbers = [SMOOTHINGS.index(self.smoothing), self.edge, self.passes, self.sigma]
        return {**self.scaler.to_state(), "smoothing": np.array(numbers, np.float64)}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Preparation:
        """The preparation that `to_state` described."""
        kind, edge, passes, sigma = (float(value) for value in state["smoothing"])
        return cls(Scaler.from_state(state), SMOOTHINGS[int(kind)], edge, int(passes), sigma)


def fit_preparation(
    latents: np.ndarray,
    valid: np.ndarray,
    *,
    scaling: str,
    smoothing: str,
    edge: float,
    passes: int,
    sigma: float,
) -> Preparation:
    """Fit the scaling to the valid pixels of latents (z, H, W).

    Raises:
        UserError: as `fit_scaler` and `check_latents`.
    """
    check_latents(latents, valid)
    return Preparation(fit_scaler(scaling, latents[:, valid].T), smoothing, edge, passes, sigma)


def check_latents(latents: np.ndarray, valid: np.ndarray) -> None:
    """Refuse shapes that do not fit, images without a valid pixel, and values that are not finite.

    Raises:
        UserError: one of these.
    """
    if latents.ndim != 3 or latents.shape[1:] != valid.shape:
        raise UserError(f"latents of {latents.shape} do not fit valid pixels of {valid.shape}")
    if not valid.any():
        raise UserError("there is no valid pixel to cluster")
    wrong = int((~np.isfinite(latents).all(axis=0) & valid).sum())
    if wrong:
        raise UserError("latents must be finite at valid pixels", found=f"{wrong} pixels that are not")


def check_clusters(clusters: int | None, pixels: int) -> None:
    """Refuse a number of clusters below 1 or above that of the pixels.

    Raises:
        UserError: one of these.
    """
    if clusters is not None and clusters < 1:
        raise UserError("must be at least 1", key="clusters", found=clusters)
    if clusters is not None and pixels < clusters:
        raise UserError(f"{pixels} valid pixels cannot make {clusters} clusters", key="clusters")


def coordinates(valid: np.ndarray) -> np.ndarray:
    """Columns and rows (N, 2) float32 of the valid pixels, each of zero mean and unit variance over the image."""
    rows, cols = valid.shape
    row, col = np.mgrid[:rows, :cols].astype(np.float32)
    spread = [max(float(np.sqrt((size**2 - 1) / 12)), 1.0) for size in (cols, rows)]
    return np.stack([(col[valid] - (cols - 1) / 2) / spread[0], (row[valid] - (rows - 1) / 2) / spread[1]], axis=1)


def to_map(labels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Labels 0 to K-1 of the valid pixels (N,) as a map (H, W) int32 of 1 to K, 0 where not valid."""
    result = np.zeros(valid.shape, np.int32)
    result[valid] = labels + 1
    return result


def by_size(labels: np.ndarray, clusters: int) -> np.ndarray:
    """The order of clusters from the most members to the fewest: indices (K,) of the old clusters."""
    return np.argsort(-np.bincount(labels, minlength=clusters), kind="stable")


def member_latents(latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean latents (K, z) float32 over the members of each cluster of a map (H, W) of 1 to K; NaN without members."""
    inside = labels > 0
    members, clusters = labels[inside] - 1, int(labels.max())
    sums = np.stack([np.bincount(members, band[inside], clusters) for band in latents], axis=1)
    counts = np.bincount(members, minlength=clusters)[:, None]
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)
