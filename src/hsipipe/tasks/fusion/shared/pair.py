"""The pair of images as the methods see it: checked sizes, and the MSI as it would look at the HSI's resolution."""

from __future__ import annotations

import math

import numpy as np

from hsipipe.degrade.blur import Blur
from hsipipe.errors import UserError

SMALLEST_SIDE = 2


def ratio_of(lr_hsi: np.ndarray, hr_msi: np.ndarray, *, srf: np.ndarray | None = None) -> int:
    """The whole number of MSI pixels per HSI pixel.

    Args:
        lr_hsi: (C, h, w).
        hr_msi: (m, H, W).
        srf: (m, C), checked when given.

    Returns:
        H / h = W / w, at least 2.

    Raises:
        UserError: arrays that are not images of bands, sizes not in one whole ratio of at least 2, an HSI of fewer than
            2 x 2 pixels, values that are not finite, or a response matrix that does not match the bands.
    """
    for name, image in (("lr_hsi", lr_hsi), ("hr_msi", hr_msi)):
        if image.ndim != 3 or 0 in image.shape:
            raise UserError("must be (bands, rows, cols)", key=name, found=image.shape)
        if not np.isfinite(image).all():
            raise UserError("has values that are not finite", key=name, remedy="fill or drop those pixels or bands")
    (bands, rows, cols), (channels, fine_rows, fine_cols) = lr_hsi.shape, hr_msi.shape
    if min(rows, cols) < SMALLEST_SIDE:
        raise UserError(
            f"must have at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels", key="lr_hsi", found=(rows, cols)
        )
    ratio = fine_rows // rows
    if ratio < 2 or (fine_rows, fine_cols) != (ratio * rows, ratio * cols):
        raise UserError(
            "the MSI's size must be a whole multiple (2 or more, the same for rows and columns) of the HSI's",
            found=f"MSI {fine_rows} x {fine_cols}, HSI {rows} x {cols}",
            remedy="crop or resample one of them",
        )
    if srf is not None and np.shape(srf) != (channels, bands):
        raise UserError(
            "the response matrix must be (MSI bands, HSI bands)",
            key="srf",
            found=np.shape(srf),
            remedy=f"expected {(channels, bands)}",
        )
    return ratio


def required_srf(srf: np.ndarray | None, method: str) -> np.ndarray:
    """The response matrix as float64.

    Raises:
        UserError: it is None.
    """
    if srf is None:
        raise UserError(f"{method} needs the spectral response of the MSI", key="srf", remedy="give it, or use GLP")
    return np.asarray(srf, dtype=np.float64)


def nyquist_gaussian(ratio: int, *, gain: float = 0.3, largest: int | None = None) -> np.ndarray:
    """The Gaussian which, with the ratio x ratio block mean after it, passes `gain` at the coarse grid's Nyquist rate.

    Sensors' modulation transfer functions are mostly given by this one number, 0.2 to 0.35 (Aiazzi et al. 2006,
    doi:10.14358/PERS.72.5.591). A block mean alone passes about 2 / pi.

    Args:
        ratio: pixels per block.
        gain: above 0 and below the block mean's own.
        largest: side that the kernel must not exceed; None cuts it at three standard deviations.

    Returns:
        (n, n) float64, sum 1, n odd.

    Raises:
        UserError: a gain out of range.
    """
    rate = 0.5 / ratio
    block = abs(np.exp(-2j * np.pi * rate * np.arange(ratio)).mean())
    if not 0 < gain < block:
        raise UserError(
            f"must be above 0 and below {block:.3f}, that of the block mean", key="nyquist_gain", found=gain
        )
    sigma = math.sqrt(0.5 * math.log(block / gain)) / (math.pi * rate)
    half = math.ceil(3 * sigma)
    if largest is not None:
        half = min(half, (largest - 1) // 2)
    profile = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    kernel = np.outer(profile, profile)
    return kernel / kernel.sum()


def respond(srf: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Spectra seen through a response: (m, C) and (C, h, w) to (m, h, w) float32."""
    flat = np.asarray(srf, dtype=np.float32) @ images.reshape(len(images), -1)
    return flat.reshape(-1, *images.shape[1:])


def simulated_msi(
    lr_hsi: np.ndarray, hr_msi: np.ndarray, *, psf: np.ndarray | None, srf: np.ndarray | None, ratio: int, edge: str
) -> np.ndarray:
    """The MSI at the HSI's resolution: the HSI through the response, or, without one, the MSI degraded like the HSI.

    Args:
        lr_hsi: (C, h, w).
        hr_msi: (m, H, W).
        psf: (n, n), or None: no blur but the block mean.
        srf: (m, C) or None.
        ratio: MSI pixels per HSI pixel.
        edge: how the MSI goes on beyond its edges, "reflect" or "zero".

    Returns:
        (m, h, w) float32.
    """
    if srf is not None:
        return respond(srf, lr_hsi)
    return degraded_msi(hr_msi, psf=psf, ratio=ratio, edge=edge)


def hsi_blur(psf: np.ndarray | None, ratio: int, *, nyquist_gain: float, largest: int) -> np.ndarray:
    """The PSF to blur the MSI with: the given one, or the Gaussian of `nyquist_gaussian`."""
    return nyquist_gaussian(ratio, gain=nyquist_gain, largest=largest) if psf is None else np.asarray(psf)


def degraded_msi(hr_msi: np.ndarray, *, psf: np.ndarray | None, ratio: int, edge: str) -> np.ndarray:
    """The MSI at the HSI's resolution, blurred and decimated like it.

    Args:
        hr_msi: (m, H, W).
        psf: (n, n), or None: no blur but the block mean.
        ratio: MSI pixels per HSI pixel.
        edge: how the image goes on beyond its edges, "reflect" or "zero".

    Returns:
        (m, h, w) float32.
    """
    return Blur(psf, ratio, hr_msi.shape[1:], edge=edge).forward(hr_msi)
