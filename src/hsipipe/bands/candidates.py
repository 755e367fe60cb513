"""What a strategy chooses from: the good bands, their wavelengths, and a sample of training spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError

Choice = tuple[np.ndarray, np.ndarray | None]
"""Positions among the candidates, in any order, and their scores or None."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The bands that may be chosen.

    Attributes:
        strategy: name of the strategy that asks, for messages.
        indices: (C,) positions of the good bands among all bands of the scene.
        good_bands: (all bands,) bool.
        wavelength_nm: (C,) or None.
        spectra: (N, C) sample of the training part, or None.
    """

    strategy: str
    indices: np.ndarray
    good_bands: np.ndarray
    wavelength_nm: np.ndarray | None
    spectra: np.ndarray | None

    def __len__(self) -> int:
        return len(self.indices)

    def need_wavelengths(self) -> np.ndarray:
        """The wavelengths (C,), or the error that there are none."""
        if self.wavelength_nm is None:
            raise UserError(
                f"the strategy {self.strategy!r} needs wavelengths, which the scene does not have",
                key="bands.strategy",
                remedy="give the scene wavelengths, or choose by `list`, `random`, `variance`, `pca`, `issc` or `opbs`",
            )
        return self.wavelength_nm

    def covariance(self) -> np.ndarray:
        """Covariance (C, C) of the bands over the sample, float64; spectra with a missing value are left out."""
        if self.spectra is None:
            raise UserError(f"the strategy {self.strategy!r} needs training spectra", key="bands.strategy")
        rows = self.spectra[np.isfinite(self.spectra).all(axis=1)].astype(np.float64)
        if len(rows) < 2:
            raise UserError(
                f"the strategy {self.strategy!r} needs at least two training spectra",
                key="bands.strategy",
                found=f"{len(rows)} of {len(self.spectra)} without a missing value",
            )
        rows -= rows.mean(axis=0)
        return rows.T @ rows / len(rows)

    def check_count(self, count: object) -> int:
        """`count` as a number of bands, or the error that it is none, or more than there are."""
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise UserError("must be a whole number of at least 1", key="bands.count", found=repr(count))
        if count > len(self):
            total = len(self.good_bands)
            raise UserError(
                f"asks for {count} bands",
                key="bands.count",
                found=f"{len(self)} usable ones among {total}",
                remedy=f"ask for at most {len(self)}",
            )
        return int(count)
