"""The spectral subspace of an HSI in which noise is white: coefficients with unit noise, and the way back.

Sources: Bioucas-Dias and Nascimento, "Hyperspectral subspace identification", IEEE TGRS 46(8), 2008,
doi:10.1109/TGRS.2008.918089; Marchenko and Pastur, "Distribution of eigenvalues for some sets of random matrices",
Math. USSR Sbornik 1(4), 1967, doi:10.1070/SM1967v001n04ABEH001994 (the edge of noise eigenvalues).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError

MARGIN = 1.1  # how far above the largest eigenvalue of pure noise a variance must lie to be signal


@dataclass(frozen=True)
class Subspace:
    """Spectra as mean + basis A; noise in the coefficients A is white with variance 1.

    Attributes:
        mean: (C,).
        basis: (C, K), orthogonal columns, of falling length: an error of 1 in coefficient k is one of |basis_k|.
        analysis: (K, C), with analysis @ basis = identity; weighs the bands by their noise.
    """

    mean: np.ndarray
    basis: np.ndarray
    analysis: np.ndarray

    @property
    def rank(self) -> int:
        """K."""
        return self.basis.shape[1]

    def coefficients(self, cube: np.ndarray, *, constant: np.ndarray | float = 1.0) -> np.ndarray:
        """Coefficients (K, h, w) float32 of a cube (C, h, w).

        Args:
            cube: (C, h, w).
            constant: the image (h, w) that a constant one has become on the way to this cube. It is 1 unless the
                blur loses light at the borders; the mean spectrum must lose the same.
        """
        flat = self.analysis.astype(np.float32) @ cube.reshape(len(cube), -1).astype(np.float32, copy=False)
        shift = (self.analysis @ self.mean).astype(np.float32)
        centred = flat.reshape(-1, *cube.shape[1:])
        centred -= shift[:, None, None] * np.asarray(constant, np.float32)
        return centred


def noise_edge(bands: int, pixels: int) -> float:
    """Largest variance that white noise of unit variance shows along any direction, with a margin."""
    return MARGIN * (1.0 + math.sqrt(bands / max(1, pixels))) ** 2


def find_subspace(lr_hsi: np.ndarray, noise: np.ndarray, *, rank: int | None = None) -> Subspace:
    """The directions of noise-whitened spectra that rise above the noise.

    Args:
        lr_hsi: (C, h, w) or (C, n).
        noise: (C,) level per band, above 0.
        rank: K, instead of the count of eigenvalues above the Marchenko-Pastur edge.

    Returns:
        At least one direction, at most min(C, n - 1).

    Raises:
        UserError: a rank below 1 or above the number of bands.
    """
    spectra = lr_hsi.reshape(len(lr_hsi), -1)
    bands, pixels = spectra.shape
    if rank is not None and not 1 <= rank <= bands:
        raise UserError(
            "must be at least 1 and at most the number of bands", key="rank", found=rank, remedy=f"choose 1 to {bands}"
        )
    mean = spectra.mean(1, dtype=np.float64)
    white = (spectra - mean[:, None]) / noise[:, None]
    values, vectors = np.linalg.eigh(white @ white.T / max(pixels - 1, 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    above = int((values > noise_edge(bands, pixels)).sum())
    count = min(bands, max(1, pixels - 1), max(1, above if rank is None else rank))
    # Among all bases with white noise, the one in which errors of the coefficients do not mix in the cube.
    left, lengths, right = np.linalg.svd(noise[:, None] * vectors[:, :count], full_matrices=False)
    sign = np.sign(left[np.abs(left).argmax(0), np.arange(count)])
    left, right = left * sign, right * sign[:, None]
    return Subspace(mean=mean, basis=left * lengths, analysis=right @ (vectors[:, :count].T / noise))
