"""Spectral signatures of classes: mean and quantiles of reflectance inside the masks, never of embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = (0.1, 0.5, 0.9)


def class_signatures(
    cubes: Iterable[np.ndarray],
    masks: Iterable[np.ndarray],
    labels: Sequence[str],
    wavelength_nm: np.ndarray,
    *,
    quantiles: Sequence[float] = QUANTILES,
    pixels_per_specimen: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Signature of each class over its specimens and over its pixels.

    Over `specimens` each specimen counts once, with the mean spectrum of its masked pixels: the spread is that between
    individuals. Over `pixels` each pixel counts once: the spread holds the wing pattern too, and large specimens weigh
    more. Means over pixels are exact; quantiles are of at most `pixels_per_specimen` pixels of each, drawn by seed.

    Args:
        cubes: (C, H, W) reflectance each, of any sizes; may be a generator, one is held at a time.
        masks: (H, W) each, above 0 inside.
        labels: class of each specimen.
        wavelength_nm: (C,).
        quantiles: in [0, 1].
        pixels_per_specimen: at least 1.
        seed: of the pixels that are drawn.

    Returns:
        One row per class, population and band, bands by rising wavelength: `class`, `over` (`specimens` or `pixels`),
        `wavelength_nm`, `mean`, `sd` (n - 1; 0 for one), `q10`, `q50`, `q90` (as the quantiles), `specimens`, `pixels`
        (how many, all of them).

    Raises:
        UserError: shapes that do not fit, a specimen without a finite pixel in its mask, or wrong settings.
    """
    import pandas as pd

    if not quantiles or min(quantiles) < 0 or max(quantiles) > 1:
        raise UserError("must lie in [0, 1]", key="quantiles", found=list(quantiles))
    if pixels_per_specimen < 1:
        raise UserError("must be at least 1", key="pixels_per_specimen", found=pixels_per_specimen)
    wavelengths = np.asarray(wavelength_nm, np.float64)
    gathered: dict[str, list[_Specimen]] = {}
    for number, (cube, mask, label) in enumerate(zip(cubes, masks, labels, strict=True)):
        generator = generator_for("signature pixels", seed, number)
        one = _Specimen(_masked_spectra(cube, mask, len(wavelengths), number), pixels_per_specimen, generator)
        gathered.setdefault(label, []).append(one)
    order = np.argsort(wavelengths, kind="stable")
    parts = []
    for label in sorted(gathered):
        members = gathered[label]
        means = np.stack([one.mean for one in members])
        pixels = sum(one.pixels for one in members)
        # Mean and spread of all pixels from those of each specimen.
        mean = sum(one.mean * one.pixels for one in members) / pixels
        squares = sum(one.squares + one.pixels * (one.mean - mean) ** 2 for one in members)
        kept = np.concatenate([one.kept for one in members])
        populations = {
            "specimens": (means.mean(0), means.std(0, ddof=1) if len(means) > 1 else 0 * mean, means),
            "pixels": (mean, np.sqrt(squares / max(pixels - 1, 1)), kept),
        }
        for over, (centre, spread, values) in populations.items():
            columns = {f"q{100 * q:02.0f}": np.quantile(values, q, axis=0)[order] for q in quantiles}
            parts.append(
                pd.DataFrame(
                    {
                        "class": label,
                        "over": over,
                        "wavelength_nm": wavelengths[order],
                        "mean": centre[order],
                        "sd": spread[order],
                        **columns,
                        "specimens": len(members),
                        "pixels": pixels,
                    }
                )
            )
    if not parts:
        raise UserError("there is no specimen to take a signature of")
    return pd.concat(parts, ignore_index=True)


class _Specimen:
    """Mean, sum of squared deviations and some pixels of one specimen."""

    def __init__(self, spectra: np.ndarray, limit: int, generator: np.random.Generator) -> None:
        self.pixels = len(spectra)
        self.mean = spectra.mean(0)
        self.squares = ((spectra - self.mean) ** 2).sum(0)
        few = len(spectra) <= limit
        self.kept = spectra if few else spectra[generator.choice(len(spectra), limit, replace=False)]


def _masked_spectra(cube: np.ndarray, mask: np.ndarray, bands: int, number: int) -> np.ndarray:
    """Spectra (N, C) float64 of the pixels in the mask whose bands are all finite."""
    if cube.ndim != 3 or cube.shape[0] != bands or mask.shape != cube.shape[1:]:
        raise UserError(
            f"specimen {number}: a cube of {cube.shape} and a mask of {mask.shape} do not fit {bands} wavelengths"
        )
    spectra = cube[:, mask > 0].T.astype(np.float64)
    spectra = spectra[np.isfinite(spectra).all(1)]
    if not len(spectra):
        raise UserError(f"specimen {number} has no finite pixel in its mask", remedy="leave it out or mend its mask")
    return spectra
