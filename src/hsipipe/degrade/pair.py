"""A pair for fusion, synthesised from a truth: Y = D_r(P * X) + noise and M = S X + noise."""

from __future__ import annotations

import numpy as np

from hsipipe.degrade.blur import Blur
from hsipipe.errors import UserError
from hsipipe.randomness import generator_for


def degrade_pair(
    cube: np.ndarray,
    *,
    psf: np.ndarray | None,
    srf: np.ndarray,
    ratio: int,
    snr_hsi_db: float | None = None,
    snr_msi_db: float | None = None,
    edge: str = "reflect",
    seed: tuple[object, ...] = (0,),
) -> tuple[np.ndarray, np.ndarray]:
    """Make the low-resolution HSI and the high-resolution MSI of a cube.

    Args:
        cube: (C, H, W), in one radiometric scaling, finite; H and W multiples of the ratio.
        psf: (n, n) kernel in high-resolution pixels, or None (block mean only).
        srf: (m, C) rows of spectral response with sum 1.
        ratio: high-resolution pixels per low-resolution pixel and axis.
        snr_hsi_db, snr_msi_db: signal-to-noise ratios in decibels, see `add_noise`; None: no noise.
        edge: how the image goes on beyond its edges: "reflect" or "zero".
        seed: names and numbers that the noise hangs on. The MSI's does not depend on the PSF or the ratio.

    Returns:
        lr_hsi (C, h, w) and hr_msi (m, H, W), float32.

    Raises:
        UserError: srf columns that do not match the bands, or whatever `Blur` refuses.
    """
    if srf.ndim != 2 or srf.shape[1] != len(cube):
        raise UserError(
            f"must have one column for each of the {len(cube)} bands", key="srf", found=f"shape {srf.shape}"
        )
    cube = np.ascontiguousarray(cube, np.float32)
    bands, rows, cols = cube.shape
    lr_hsi = Blur(psf, ratio, (rows, cols), edge=edge).forward(cube)
    hr_msi = (srf.astype(np.float32) @ cube.reshape(bands, -1)).reshape(len(srf), rows, cols)
    lr_hsi = add_noise(lr_hsi, snr_hsi_db, generator_for(*seed, "hsi"))
    return lr_hsi, add_noise(hr_msi, snr_msi_db, generator_for(*seed, "msi"))


def add_noise(images: np.ndarray, snr_db: float | None, generator: np.random.Generator) -> np.ndarray:
    """Add white noise to (bands, rows, cols) float32: per band sigma = sqrt(mean(x^2) / 10^(SNR / 10)); no clipping."""
    if snr_db is None:
        return images
    power = np.mean(np.square(images), axis=(1, 2), keepdims=True, dtype=np.float64)
    sigma = np.sqrt(power / 10.0 ** (snr_db / 10.0)).astype(np.float32)
    return images + sigma * generator.standard_normal(images.shape, dtype=np.float32)


def peer_normalise(cube: np.ndarray, *, valid: np.ndarray | None = None) -> tuple[np.ndarray, float, float]:
    """The scaling of SpectraMorph: clip to the 1st to 99th percentile of the whole cube, then scale that to [0, 1].

    Args:
        cube: (C, H, W), finite.
        valid: (H, W) bool; the percentiles are taken over these pixels only.

    Returns:
        the cube as float32 in [0, 1]; the two percentiles.

    Raises:
        UserError: a cube without contrast.
    """
    low, high = (float(value) for value in np.percentile(cube if valid is None else cube[:, valid], (1.0, 99.0)))
    if not high > low:
        raise UserError("the cube has no contrast to scale", found=f"1st and 99th percentile {low:g} and {high:g}")
    return ((np.clip(cube, low, high) - low) / (high - low)).astype(np.float32), low, high
