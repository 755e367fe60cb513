"""Smoothing-filter-based intensity modulation (SFIM), hypersharpening form.

Sources: Liu, "Smoothing filter-based intensity modulation: a spectral preserve image fusion technique for improving
spatial details", International Journal of Remote Sensing 21(18), 2000, doi:10.1080/014311600750037499; Selva, Aiazzi,
Butera, Chiarantini and Baronti, "Hyper-sharpening: a first approach on SIM-GA data", IEEE JSTARS 8(6), 2015,
doi:10.1109/JSTARS.2015.2440092.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hsipipe.tasks.fusion.result import Fused
from hsipipe.tasks.fusion.shared.pair import degraded_msi, hsi_blur, ratio_of
from hsipipe.tasks.fusion.shared.regression import CHUNK, Fit, fit_ridge, image_moments
from hsipipe.tasks.fusion.shared.upsample import bicubic


@dataclass(frozen=True)
class Model:
    """`synthetic`: HSI bands from the MSI's; `floors` (C,) added to both sides of the ratio; the smoothing blur."""

    synthetic: Fit
    floors: np.ndarray
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
    floor: float = 0.05,
) -> Model:
    """Regress the HSI on the MSI blurred like it, over all windows.

    Args:
        pairs: (lr_hsi (C, h, w), hr_msi (m, H, W)) of each window.
        psf: (n, n) of the HSI; None takes a Gaussian, see `nyquist_gain`.
        srf: not used.
        edge: how images go on beyond their edges, "reflect" or "zero".
        wavelength_nm: not used.
        nyquist_gain: what the HSI's blur passes at its Nyquist rate; used without a PSF.
        floor: part of a band's root mean square that is added to both sides of the ratio.

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
    # A band without light is modulated by nothing: its floor only keeps the division defined.
    floors = np.maximum(floor * np.sqrt(moments.targets_targets / moments.count), 1e-6)
    return Model(fit_ridge(moments), floors, kernel, edge, ratio)


def apply(model: Model, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> np.ndarray:
    """The interpolated block times the ratio of synthetic to smoothed synthetic bands: (C, H, W) float32."""
    cube = bicubic(lr_hsi, model.ratio)
    coarse = degraded_msi(hr_msi, psf=model.psf, ratio=model.ratio, edge=model.edge)
    smooth, sharp = bicubic(coarse, model.ratio).reshape(len(hr_msi), -1), hr_msi.reshape(len(hr_msi), -1)
    matrix, offset = model.synthetic.matrix.astype(np.float32), model.synthetic.offset.astype(np.float32)[:, None]
    floors = model.floors.astype(np.float32)[:, None]
    flat = cube.reshape(len(cube), -1)
    for start in range(0, flat.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        # Deviation: plain ratios of small or negative intensities have no bounds.
        above = np.maximum(matrix @ sharp[:, part] + offset, 0) + floors
        flat[:, part] *= above / (np.maximum(matrix @ smooth[:, part] + offset, 0) + floors)
    return cube


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
    floor: float = 0.05,
) -> Fused:
    """Multiply the interpolated HSI by the ratio of its synthetic sharp bands to the same after the HSI's blur.

    Args:
        lr_hsi: (C, h, w) float32.
        hr_msi: (m, H, W) float32.
        psf: (n, n) of the HSI; None takes a Gaussian, see `nyquist_gain`.
        srf: not used; the weights of the MSI's bands are regressed on the pair.
        edge: how images go on beyond their edges, "reflect" or "zero".
        wavelength_nm: not used.
        nyquist_gain: what the HSI's blur passes at its Nyquist rate; used without a PSF.
        floor: part of a band's root mean square that is added to both sides of the ratio.

    Returns:
        The cube and the PSF used.

    Raises:
        UserError: as `ratio_of`, or a gain out of range.
    """
    model = fit(
        [(lr_hsi, hr_msi)],
        psf=psf,
        srf=srf,
        edge=edge,
        wavelength_nm=wavelength_nm,
        nyquist_gain=nyquist_gain,
        floor=floor,
    )
    return Fused(apply(model, lr_hsi, hr_msi), psf=model.psf)
