"""Bicubic interpolation of the HSI: what no use of the MSI at all gives.

Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981,
doi:10.1109/TASSP.1981.1163711.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hsipipe.tasks.fusion.shared.pair import ratio_of
from hsipipe.tasks.fusion.shared.upsample import bicubic


def fit(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    psf: np.ndarray | None = None,  # noqa: ARG001
    srf: np.ndarray | None = None,  # noqa: ARG001
    edge: str = "reflect",  # noqa: ARG001
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
) -> int:
    """The ratio of the windows: all that there is to know.

    Args:
        pairs: (lr_hsi (C, h, w), hr_msi (m, H, W)) of each window.
        psf: not used.
        srf: not used.
        edge: not used.
        wavelength_nm: not used.

    Raises:
        UserError: as `ratio_of`.
    """
    ratios = [ratio_of(lr_hsi, hr_msi) for lr_hsi, hr_msi in pairs]
    return ratios[0]


def apply(model: int, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """The interpolated block: (C, H, W) float32."""
    return bicubic(lr_hsi, model)


def halo(model: int) -> int:  # noqa: ARG001
    """Coarse pixels of context that a block needs: those under the kernel's four taps."""
    return 2


def fuse(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,
) -> np.ndarray:
    """Interpolate each band of the HSI to the MSI's grid.

    Args:
        lr_hsi: (C, h, w) float32.
        hr_msi: (m, H, W), for its size alone.
        psf: not used.
        srf: not used.
        edge: not used.
        wavelength_nm: not used.

    Returns:
        (C, H, W) float32.

    Raises:
        UserError: as `ratio_of`.
    """
    pairs = [(lr_hsi, hr_msi)]
    return apply(fit(pairs, psf=psf, srf=srf, edge=edge, wavelength_nm=wavelength_nm), lr_hsi, hr_msi)
