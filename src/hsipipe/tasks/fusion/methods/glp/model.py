"""Generalised Laplacian pyramid matched to the HSI's modulation transfer function (MTF-GLP), hypersharpening form.

Sources: Aiazzi, Alparone, Baronti, Garzelli and Selva, "MTF-tailored multiscale fusion of high-resolution MS and Pan
imagery", PE&RS 72(5), 2006, doi:10.14358/PERS.72.5.591; Selva, Aiazzi, Butera, Chiarantini and Baronti,
"Hyper-sharpening: a first approach on SIM-GA data", IEEE JSTARS 8(6), 2015, doi:10.1109/JSTARS.2015.2440092.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hsipipe.tasks.fusion.result import Fused
from hsipipe.tasks.fusion.shared.hypersharpening import inject, injection_gains
from hsipipe.tasks.fusion.shared.pair import degraded_msi, hsi_blur, ratio_of
from hsipipe.tasks.fusion.shared.regression import fit_ridge, image_moments
from hsipipe.tasks.fusion.shared.upsample import bicubic


@dataclass(frozen=True)
class Model:
    """`weights` (C, m): of each MSI band's details in each HSI band; `gains` (C,); and the blur that makes details."""

    weights: np.ndarray
    gains: np.ndarray
    psf: np.ndarray
    edge: str
    ratio: int


def fit(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,  # noqa: ARG001
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
    nyquist_gain: float = 0.3,
) -> Model:
    """Regress the HSI on the MSI blurred like it, over all windows.

    Args:
        pairs: (lr_hsi (C, h, w), hr_msi (m, H, W)) of each window.
        psf: (n, n) of the HSI; None takes a Gaussian, see `nyquist_gain`.
        srf: not used.
        edge: how images go on beyond their edges, "reflect" or "zero".
        wavelength_nm: not used.
        nyquist_gain: what the HSI's blur passes at its Nyquist rate; used without a PSF.

    Raises:
        UserError: as `ratio_of`, or a gain out of range.
    """
    ratios = [ratio_of(lr_hsi, hr_msi) for lr_hsi, hr_msi in pairs]
    ratio = ratios[0]
    kernel = hsi_blur(psf, ratio, nyquist_gain=nyquist_gain, largest=min(pairs[0][1].shape[1:]))
    parts = [
        image_moments(degraded_msi(hr_msi, psf=kernel, ratio=ratio, edge=edge), lr_hsi, degree=1)
        for lr_hsi, hr_msi in pairs
    ]
    moments = sum(parts[1:], start=parts[0])
    synthetic = fit_ridge(moments)
    gains = injection_gains(moments, synthetic)
    return Model(gains[:, None] * synthetic.matrix, gains, kernel, edge, ratio)


def apply(model: Model, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> np.ndarray:
    """The interpolated block with the MSI's details, weighted: (C, H, W) float32."""
    coarse = degraded_msi(hr_msi, psf=model.psf, ratio=model.ratio, edge=model.edge)
    return inject(bicubic(lr_hsi, model.ratio), model.weights, hr_msi - bicubic(coarse, model.ratio))


def halo(model: Model) -> int:
    """Coarse pixels of context that a block needs: the interpolation's two, and the blur's radius."""
    return 2 - (-(len(model.psf) // 2) // model.ratio)


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
    """Add to the interpolated HSI what the synthetic bands lose by the HSI's blur, times regression gains.

    Args:
        lr_hsi: (C, h, w) float32.
        hr_msi: (m, H, W) float32.
        psf: (n, n) of the HSI; None takes a Gaussian, see `nyquist_gain`.
        srf: not used; the weights of the MSI's bands are regressed on the pair.
        edge: how images go on beyond their edges, "reflect" or "zero".
        wavelength_nm: not used.
        nyquist_gain: what the HSI's blur passes at its Nyquist rate; used without a PSF.

    Returns:
        The cube, the PSF used, and the median gain over the bands as `found["gain"]`.

    Raises:
        UserError: as `ratio_of`, or a gain out of range.
    """
    model = fit([(lr_hsi, hr_msi)], psf=psf, srf=srf, edge=edge, wavelength_nm=wavelength_nm, nyquist_gain=nyquist_gain)
    return Fused(apply(model, lr_hsi, hr_msi), psf=model.psf, found={"gain": float(np.median(model.gains))})
