"""The best quadratic function of the MSI's bands, fitted to the truth: the ceiling of such per-pixel maps."""

from __future__ import annotations

import numpy as np

from hsipipe.errors import UserError
from hsipipe.tasks.fusion.shared.pair import ratio_of
from hsipipe.tasks.fusion.shared.regression import apply_fit, fit_ridge, image_moments


def fuse(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    truth: np.ndarray,
    psf: np.ndarray | None = None,  # noqa: ARG001
    srf: np.ndarray | None = None,  # noqa: ARG001
    edge: str = "reflect",  # noqa: ARG001
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
    degree: int = 2,
) -> np.ndarray:
    """Regress the truth on the MSI at full resolution.

    Args:
        lr_hsi: (C, h, w), for its size alone.
        hr_msi: (m, H, W) float32, noise included.
        truth: (C, H, W), the noise-free cube.
        psf: not used.
        srf: not used.
        edge: not used.
        wavelength_nm: not used.
        degree: 1 (linear) or 2 (with squares and products).

    Returns:
        (C, H, W) float32.

    Raises:
        UserError: as `ratio_of`, or a truth whose shape is not (C, H, W).
    """
    ratio_of(lr_hsi, hr_msi)
    wanted = (len(lr_hsi), *hr_msi.shape[1:])
    if truth.shape != wanted:
        raise UserError("the truth must be (HSI bands, MSI rows, MSI cols)", key="truth", found=truth.shape)
    moments = image_moments(hr_msi, truth, degree=degree)
    return apply_fit(fit_ridge(moments, ridge=0.0), hr_msi, degree=degree)
