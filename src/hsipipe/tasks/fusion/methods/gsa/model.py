"""Gram-Schmidt adaptive component substitution (GSA), hypersharpening form.

Sources: Aiazzi, Baronti and Selva, "Improving component substitution pansharpening through multivariate regression of
MS+Pan data", IEEE TGRS 45(10), 2007, doi:10.1109/TGRS.2007.901007; Selva, Aiazzi, Butera, Chiarantini and Baronti,
"Hyper-sharpening: a first approach on SIM-GA data", IEEE JSTARS 8(6), 2015, doi:10.1109/JSTARS.2015.2440092.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hsipipe.tasks.fusion.result import Fused
from hsipipe.tasks.fusion.shared.hypersharpening import inject, injection_gains
from hsipipe.tasks.fusion.shared.pair import degraded_msi, hsi_blur, ratio_of, respond
from hsipipe.tasks.fusion.shared.regression import Fit, fit_ridge, image_moments, predict
from hsipipe.tasks.fusion.shared.upsample import bicubic


@dataclass(frozen=True)
class Model:
    """`weights` (C, m): of MSI bands' details in HSI bands; `gains` (C,); `intensity`: MSI bands from the HSI's."""

    weights: np.ndarray
    gains: np.ndarray
    intensity: Fit
    ratio: int


def fit(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
    nyquist_gain: float = 0.3,
) -> Model:
    """Regress the coarse MSI on the HSI (the intensities) and the HSI on the coarse MSI, over all windows.

    Args:
        pairs: (lr_hsi (C, h, w), hr_msi (m, H, W)) of each window.
        psf: (n, n) of the HSI, which makes the coarse MSI; None: the HSI through `srf` is the coarse MSI.
        srf: (m, C), used without a PSF; None as well: a Gaussian blur, see `nyquist_gain`.
        edge: how images go on beyond their edges, "reflect" or "zero".
        wavelength_nm: not used.
        nyquist_gain: what the HSI's blur passes at its Nyquist rate; used without PSF and response.

    Raises:
        UserError: as `ratio_of`, or a gain out of range.
    """
    ratios = [ratio_of(lr_hsi, hr_msi, srf=srf) for lr_hsi, hr_msi in pairs]
    ratio = ratios[0]
    cubes = [np.asarray(lr_hsi, dtype=np.float32) for lr_hsi, _ in pairs]
    if psf is None and srf is not None:
        intensity = Fit(np.asarray(srf, dtype=np.float64), np.zeros(len(srf)), np.zeros(len(srf)))
        coarse = [respond(srf, cube) for cube in cubes]
    else:
        kernel = hsi_blur(psf, ratio, nyquist_gain=nyquist_gain, largest=min(pairs[0][1].shape[1:]))
        coarse = [degraded_msi(hr_msi, psf=kernel, ratio=ratio, edge=edge) for _, hr_msi in pairs]
        parts = [image_moments(cube, msi, degree=1) for cube, msi in zip(cubes, coarse, strict=True)]
        intensity = fit_ridge(sum(parts[1:], start=parts[0]))
    parts = [image_moments(msi, cube, degree=1) for cube, msi in zip(cubes, coarse, strict=True)]
    synthetic = fit_ridge(sum(parts[1:], start=parts[0]))
    parts = [image_moments(predict(intensity, cube), cube, degree=1) for cube in cubes]
    gains = injection_gains(sum(parts[1:], start=parts[0]), synthetic)
    return Model(gains[:, None] * synthetic.matrix, gains, intensity, ratio)


def apply(model: Model, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> np.ndarray:
    """The interpolated block plus weighted differences of the MSI and its intensities: (C, H, W) float32."""
    cube = bicubic(lr_hsi, model.ratio)
    return inject(cube, model.weights, hr_msi - bicubic(predict(model.intensity, lr_hsi), model.ratio))


def halo(model: Model) -> int:  # noqa: ARG001
    """Coarse pixels of context that a block needs: the interpolation's two."""
    return 2


def fuse(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,
    nyquist_gain: float = 0.3,
) -> Fused:
    """Substitute, in each HSI band, the MSI's synthetic band for the intensity that the HSI's bands make of it.

    Args:
        lr_hsi: (C, h, w) float32.
        hr_msi: (m, H, W) float32.
        psf: (n, n) of the HSI, which makes the coarse MSI; None: the HSI through `srf` is the coarse MSI.
        srf: (m, C), used without a PSF; None as well: a Gaussian blur, see `nyquist_gain`.
        edge: how images go on beyond their edges, "reflect" or "zero".
        wavelength_nm: not used.
        nyquist_gain: what the HSI's blur passes at its Nyquist rate; used without PSF and response.

    Returns:
        The cube, and the median gain over the bands as `found["gain"]`.

    Raises:
        UserError: as `ratio_of`, or a gain out of range.
    """
    model = fit([(lr_hsi, hr_msi)], psf=psf, srf=srf, edge=edge, wavelength_nm=wavelength_nm, nyquist_gain=nyquist_gain)
    return Fused(apply(model, lr_hsi, hr_msi), found={"gain": float(np.median(model.gains))})
