"""How well a fused cube explains the two images that it was made of: no truth is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Consistency:
    """The difference between an image that was measured and the same image made from the fused cube.

    Attributes:
        rmse: root of the mean square of the difference, in units of the images.
        snr_db: 10 log10 of the measured image's mean square over the difference's; infinite for no difference.
        noise_ratio: root of the mean over bands of (mean square of the difference / noise variance), None if the noise
            is not known. Near 1, the cube explains the image to its noise; below 1, it follows the noise.
    """

    rmse: float
    snr_db: float
    noise_ratio: float | None


def msi_consistency(
    hr_msi: np.ndarray, fused: np.ndarray, srf: np.ndarray, *, noise: np.ndarray | float | None = None
) -> Consistency:
    """Compare the fused cube, seen through the MSI's spectral response, with the MSI.

    Args:
        hr_msi: (m, H, W).
        fused: (C, H, W).
        srf: (m, C), rows of sum 1.
        noise: standard deviation of the MSI's noise, one for all bands or (m,), or None.

    Raises:
        ValueError: shapes that do not fit.
    """
    if np.shape(srf) != (len(hr_msi), len(fused)):
        raise ValueError(f"the response {np.shape(srf)} does not fit {len(hr_msi)} MSI and {len(fused)} HSI bands")
    seen = np.asarray(srf, np.float32) @ fused.reshape(len(fused), -1)
    return compare_images(hr_msi, seen.reshape(-1, *fused.shape[1:]), noise=noise)


def compare_images(
    measured: np.ndarray, explained: np.ndarray, *, noise: np.ndarray | float | None = None
) -> Consistency:
    """The consistency of two images (bands, rows, cols) of one shape.

    Raises:
        ValueError: shapes that differ, or a noise that is not positive or not one per band.
    """
    if measured.ndim != 3 or measured.shape != explained.shape:
        raise ValueError(f"{measured.shape} and {explained.shape} must be (bands, rows, cols) of one shape")
    errors, powers = np.empty((2, len(measured)))
    for band, (expected, found) in enumerate(zip(measured, explained, strict=True)):
        difference = np.subtract(expected, found, dtype=np.float64)
        errors[band] = np.mean(difference * difference)
        powers[band] = np.mean(np.square(expected, dtype=np.float64))
    ratio = None
    if noise is not None:
        deviation = np.asarray(noise, np.float64)
        if deviation.shape not in ((), (len(measured),)) or not (deviation > 0).all():
            raise ValueError(f"noise must be positive, one value or one for each of {len(measured)} bands")
        ratio = float(np.sqrt(np.mean(errors / deviation**2)))
    error, power = errors.mean(), powers.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        snr_db = float(10 * np.log10(power / error))
    return Consistency(float(np.sqrt(error)), snr_db, ratio)
