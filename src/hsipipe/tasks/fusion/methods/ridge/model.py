"""Closed-form regression of the HSI's bands on the MSI's, learnt at the HSI's resolution.

Source: Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics 12(1), 1970,
doi:10.1080/00401706.1970.10488634. A trivial rival: per-pixel networks learn the same map by gradient descent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hsipipe.degrade.blur import block_mean
from hsipipe.tasks.fusion.result import Fused
from hsipipe.tasks.fusion.shared.pair import ratio_of, simulated_msi
from hsipipe.tasks.fusion.shared.regression import Fit, Moments, across_scales, apply_fit, fit_ridge, image_moments


@dataclass(frozen=True)
class Model:
    """A polynomial of the MSI's bands for each band of the HSI."""

    regression: Fit
    degree: int


def fit(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
    degree: int = 1,
    ridge: float | None = None,
) -> Model:
    """Fit one regression to the pixels of all windows.

    Args:
        pairs: (lr_hsi (C, h, w), hr_msi (m, H, W)) of each window.
        psf: (n, n), used without a response only, to blur the MSI like the HSI; None: no blur but the block mean.
        srf: (m, C); None takes the degraded MSI in place of the HSI's response.
        edge: how the MSI goes on beyond its edges where it is degraded, "reflect" or "zero".
        wavelength_nm: not used.
        degree: 1 (linear) or 2 (with squares and products).
        ridge: weight of the penalty on standardised features; None: chosen for each band by the step from a
            coarser scale, or, where the image is too small for that, by generalised cross-validation.

    Raises:
        UserError: as `ratio_of`.
    """
    images = []
    for lr_hsi, hr_msi in pairs:
        ratio = ratio_of(lr_hsi, hr_msi, srf=srf)
        images.append((simulated_msi(lr_hsi, hr_msi, psf=psf, srf=srf, ratio=ratio, edge=edge), lr_hsi))
    moments = _moments(images, degree)
    factor = _coarser_factor([lr_hsi.shape[1:] for lr_hsi, _ in pairs], len(moments.features))
    if ridge is None and factor > 1:
        coarse = [(_coarser(msi, factor), _coarser(lr_hsi, factor)) for msi, lr_hsi in images]
        return Model(fit_ridge(moments, ridge=across_scales(_moments(coarse, degree), moments)), degree)
    return Model(fit_ridge(moments, ridge=ridge), degree)


def _moments(images: list[tuple[np.ndarray, np.ndarray]], degree: int) -> Moments:
    """The moments of all windows together."""
    parts = [image_moments(msi, lr_hsi, degree=degree) for msi, lr_hsi in images]
    return sum(parts[1:], start=parts[0])


def _coarser_factor(sizes: list[tuple[int, int]], features: int) -> int:
    """The largest step to a coarser scale, up to 4, that leaves two samples for each feature; 1 where none does."""
    for factor in (4, 3, 2):
        if sum((rows // factor) * (cols // factor) for rows, cols in sizes) >= 2 * features + 2:
            return factor
    return 1


def _coarser(images: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor blocks; what is left over at the far edges is dropped."""
    rows, cols = (size // factor * factor for size in images.shape[1:])
    return block_mean(images[:, :rows, :cols], factor)


def apply(model: Model, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """The fused cube of a block: (C, H, W) float32."""
    return apply_fit(model.regression, hr_msi, degree=model.degree)


def halo(model: Model) -> int:  # noqa: ARG001
    """Coarse pixels of context that a block needs: none, each pixel stands alone."""
    return 0


def fuse(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,
    degree: int = 1,
    ridge: float | None = None,
) -> Fused:
    """Regress the HSI on its own view through the MSI's response; apply to every MSI pixel.

    Args:
        lr_hsi: (C, h, w) float32.
        hr_msi: (m, H, W) float32.
        psf: (n, n), used without a response only, to blur the MSI like the HSI; None: no blur but the block mean.
        srf: (m, C); None takes the degraded MSI in place of the HSI's response.
        edge: how the MSI goes on beyond its edges where it is degraded, "reflect" or "zero".
        wavelength_nm: not used.
        degree: 1 (linear) or 2 (with squares and products).
        ridge: weight of the penalty on standardised features; None: chosen for each band by the step from a
            coarser scale, or, where the image is too small for that, by generalised cross-validation.

    Returns:
        The cube, and the median weight over the bands as `found["ridge"]`.

    Raises:
        UserError: as `ratio_of`.
    """
    model = fit(
        [(lr_hsi, hr_msi)], psf=psf, srf=srf, edge=edge, wavelength_nm=wavelength_nm, degree=degree, ridge=ridge
    )
    cube = apply(model, lr_hsi, hr_msi)
    return Fused(cube, found={"ridge": float(np.median(model.regression.ridge))})
