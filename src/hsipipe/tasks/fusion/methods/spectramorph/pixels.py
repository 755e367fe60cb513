"""The pixels of a pair as the network sees them: what it is trained on, and the coarse spectral prior."""

from __future__ import annotations

import numpy as np

from hsipipe.errors import UserError
from hsipipe.tasks.fusion.shared.pair import ratio_of, simulated_msi


def training_pixels(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None,
    srf: np.ndarray | None,
    edge: str,
    prior_downsample: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of the training: the LR pixels of a pair.

    Args:
        lr_hsi: (C, h, w).
        hr_msi: (m, H, W).
        psf: used without an SRF only.
        srf: (m, C) or None; see `simulated_msi`.
        edge: used without an SRF only.
        prior_downsample: how much coarser than the LR-HSI the prior is; None gives the network no prior.

    Returns:
        (n, m) or with the prior (n, m + C), and (n, C), float32.

    Raises:
        UserError: arrays that do not fit together, or values that are not finite.
    """
    ratio = ratio_of(lr_hsi, hr_msi, srf=srf)
    lr_hsi = np.asarray(lr_hsi, np.float32)
    inputs = simulated_msi(lr_hsi, hr_msi, psf=psf, srf=srf, ratio=ratio, edge=edge)
    if prior_downsample is not None:
        inputs = np.concatenate([inputs, coarse_prior(lr_hsi, prior_downsample)])
    return as_rows(inputs), as_rows(lr_hsi)


def as_rows(image: np.ndarray) -> np.ndarray:
    """The pixels (n, C) of an image (C, rows, cols), row by row, float32."""
    return np.ascontiguousarray(image.reshape(len(image), -1).T, np.float32)


def coarse_prior(lr_hsi: np.ndarray, factor: int) -> np.ndarray:
    """(C, h, w) as means over blocks of `factor` x `factor` pixels, each value repeated over its block.

    Deviation: where the factor does not divide the size, the last blocks are smaller; the paper's program resamples to
    h // factor rows, so that its blocks drift away from their pixels.
    """
    means = lr_hsi
    for axis in (1, 2):
        size = means.shape[axis]
        firsts = np.arange(0, size, factor)
        lengths = np.diff([*firsts, size])
        shape = [-1 if other == axis else 1 for other in range(3)]
        means = np.add.reduceat(means, firsts, axis=axis) / lengths.reshape(shape)
        means = means.repeat(lengths, axis=axis)
    return means.astype(np.float32)


def prior_pixels(lr_hsi: np.ndarray, size: tuple[int, ...], places: np.ndarray) -> np.ndarray:
    """The LR spectra in which pixels of the MSI lie.

    Args:
        lr_hsi: (C, h, w).
        size: (H, W) of the MSI.
        places: (n,) indices of its pixels, counted row by row.

    Returns:
        (n, C) float32.

    Raises:
        UserError: the sizes are not in one whole ratio.
    """
    ratio = size[0] // lr_hsi.shape[1]
    if tuple(size) != (ratio * lr_hsi.shape[1], ratio * lr_hsi.shape[2]):
        raise UserError("must be a whole multiple of the HSI's size", key="hr_msi", found=f"{size}, {lr_hsi.shape[1:]}")
    rows, cols = np.divmod(places, size[1])
    return lr_hsi[:, rows // ratio, cols // ratio].T.astype(np.float32, copy=False)
