"""Scaling of latents before they are clustered: how much each direction counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hsipipe.errors import unknown

SCALINGS = ("none", "common", "half", "standard", "whiten")
CHUNK = 65536
NEGLIGIBLE = 1e-10  # variance of a direction, relative to the largest, below which it holds rounding errors only


@dataclass(frozen=True)
class Scaler:
    """An affine map from latents (N, z) to features (N, d), d <= z: (latents - offset) @ matrix.

    Attributes: offset (z,) and matrix (z, d), float64.
    """

    offset: np.ndarray
    matrix: np.ndarray

    def apply(self, latents: np.ndarray) -> np.ndarray:
        """Features (N, d) float32 of latents (N, z)."""
        # The offset is taken off the product: latents need no copy, and their mean is small beside their range.
        shift = (self.offset @ self.matrix).astype(np.float32)
        return latents.astype(np.float32, copy=False) @ self.matrix.astype(np.float32) - shift

    def to_state(self) -> dict[str, np.ndarray]:
        """Plain arrays, for `from_state`."""
        return {"scaler_offset": self.offset, "scaler_matrix": self.matrix}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Scaler:
        """The scaler that `to_state` described."""
        return cls(np.asarray(state["scaler_offset"], float), np.asarray(state["scaler_matrix"], float))


def fit_scaler(name: str, latents: np.ndarray) -> Scaler:
    """Fit a scaling to latents.

    With the covariance of the latents S = V diag(s_1^2 >= s_2^2 >= ...) V^T, features have the standard deviations

    - `none`: those of the latents, s_k, not centred;
    - `common`: s_k / s_1, one factor for all, so that distances are those between spectra;
    - `half`: sqrt(s_k / s_1) along the axes of S: the geometric mean of `common` and `whiten`. In `common` brightness
      hides all else, in `whiten` directions that hold noise count as much as any. On scenes without labels the clusters
      found with `half` agree best with those of all other scalings, smoothed or not;
    - `standard`: 1 for each latent by itself;
    - `whiten`: 1 along the axes of S (Mahalanobis distances).

    `common`, `half` and `whiten` do not change when the latents are rotated, `whiten` not with any invertible map.

    Args:
        name: one of `SCALINGS`.
        latents: (N, z), N >= 2, finite.

    Raises:
        UserError: an unknown name.
    """
    if name not in SCALINGS:
        raise unknown("scaling of the latents", name, SCALINGS)
    size = latents.shape[1]
    if name == "none":
        return Scaler(np.zeros(size), np.eye(size))
    mean, covariance = moments(latents)
    if name == "standard":
        deviations = np.sqrt(np.diag(covariance))
        return Scaler(mean, np.diag(1 / np.where(deviations > 0, deviations, 1)))
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1], axes[:, ::-1]
    largest = variances[0] if variances[0] > 0 else 1.0
    kept = variances > NEGLIGIBLE * largest
    kept[0] = True
    relative, axes = np.maximum(variances[kept], NEGLIGIBLE * largest) / largest, axes[:, kept]
    exponent = {"common": 0, "half": -0.25, "whiten": -0.5}[name]
    return Scaler(mean, axes * relative**exponent / np.sqrt(largest))


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of values (N, d), in double precision without a double copy of the values."""
    chunks = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
    mean = sum(chunk.sum(0, dtype=np.float64) for chunk in chunks) / len(values)
    covariance = np.zeros((values.shape[1],) * 2)
    for chunk in chunks:
        centred = chunk - mean
        covariance += centred.T @ centred
    return mean, covariance / len(values)
