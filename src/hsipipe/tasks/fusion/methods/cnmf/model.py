"""Coupled non-negative matrix factorisation (CNMF) of the HSI and the MSI.

Source: Yokoya, Yairi and Iwasaki, "Coupled nonnegative matrix factorization unmixing for hyperspectral and
multispectral data fusion", IEEE TGRS 50(2), 2012, doi:10.1109/TGRS.2011.2161320.
"""

from __future__ import annotations

import numpy as np

from hsipipe.degrade.blur import Blur
from hsipipe.tasks.fusion.result import Fused
from hsipipe.tasks.fusion.shared.endmembers import vca
from hsipipe.tasks.fusion.shared.nonnegative import Factors, misfit, update_abundances, update_spectra
from hsipipe.tasks.fusion.shared.pair import hsi_blur, ratio_of, required_srf
from hsipipe.tasks.fusion.shared.upsample import bicubic

CHECK_EVERY = 5


def fuse(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
    seed: int = 0,
    endmembers: int = 30,
    outer_iterations: int = 5,
    inner_iterations: int = 100,
    tolerance: float = 1e-4,
    sum_to_one: float = 1.0,
    start: str = "interpolated",
    nyquist_gain: float = 0.3,
) -> Fused:
    """Unmix both images in turn: the HSI gives the spectra, the MSI their abundances at full resolution.

    The two are tied by MSI spectra = response x spectra, and HSI abundances = blurred abundances.

    Args:
        lr_hsi: (C, h, w) float32; negative values count as 0.
        hr_msi: (m, H, W) float32; negative values count as 0.
        psf: (n, n) of the HSI; None takes a Gaussian, see `nyquist_gain`.
        srf: (m, C), needed.
        edge: how images go on beyond their edges, "reflect" or "zero".
        wavelength_nm: not used.
        seed: of vertex component analysis.
        endmembers: K, taken down to the number of bands or HSI pixels where those are fewer.
        outer_iterations: rounds of HSI and MSI unmixing after the first.
        inner_iterations: most updates in each unmixing.
        tolerance: an unmixing ends when the relative misfit falls by less than this part of itself in five updates.
        sum_to_one: strength of the abundances' sum, in root mean squares of the images.
        start: of the abundances: "flat" (1 / K) or "interpolated" (those of the HSI).
        nyquist_gain: what the HSI's blur passes at its Nyquist rate; used without a PSF.

    Returns:
        The cube, not negative; endmembers (K, C), latents (K, H, W): their abundances; and the PSF used.

    Raises:
        UserError: no response (key "srf"), as `ratio_of`, or a gain out of range.
    """
    response = required_srf(srf, "CNMF").astype(np.float32)
    ratio = ratio_of(lr_hsi, hr_msi, srf=response)
    shape = hr_msi.shape[1:]
    blur = Blur(hsi_blur(psf, ratio, nyquist_gain=nyquist_gain, largest=min(shape)), ratio, shape, edge=edge)
    hsi = np.maximum(lr_hsi.reshape(len(lr_hsi), -1), 0).astype(np.float32)
    msi = np.maximum(hr_msi.reshape(len(hr_msi), -1), 0).astype(np.float32)
    count = max(1, min(endmembers, *hsi.shape))
    # Under dark edges the abundances of the blurred scene sum to less than one there.
    total = blur.forward(np.ones(shape, dtype=np.float32)).ravel()
    strengths = [sum_to_one * float(np.sqrt((image**2).mean(dtype=np.float64))) for image in (hsi, msi)]

    def unmix(factors: Factors, bands: np.ndarray, sums: np.ndarray | float, strength: float, first: str) -> None:
        """Update one factor alone until it settles, then both."""
        for both in (False, True):
            before = misfit(factors, bands)
            for step in range(1, inner_iterations + 1):
                if both or first == "spectra":
                    update_spectra(factors, bands)
                if both or first == "abundances":
                    update_abundances(factors, bands, sums, strength)
                if step % CHECK_EVERY == 0:
                    now = misfit(factors, bands)
                    if before - now < tolerance * before:
                        break
                    before = now

    spectra = np.maximum(vca(hsi.T, count, seed=seed).T, 1e-6)
    coarse = Factors(np.ascontiguousarray(spectra), np.full((count, hsi.shape[1]), 1 / count, dtype=np.float32) * total)
    unmix(coarse, hsi, total, strengths[0], "abundances")
    if start == "flat":
        abundances = np.full((count, msi.shape[1]), 1 / count, dtype=np.float32)
    else:
        spread = bicubic((coarse.abundances / np.maximum(total, 1e-6)).reshape(count, *blur.low_shape), ratio)
        abundances = np.maximum(spread, 1e-4).reshape(count, -1)
    fine = Factors(response @ coarse.spectra, abundances)
    unmix(fine, msi, 1.0, strengths[1], "abundances")
    for _ in range(outer_iterations):
        coarse.abundances = blur.forward(fine.abundances.reshape(count, *shape)).reshape(count, -1)
        unmix(coarse, hsi, total, strengths[0], "spectra")
        fine.spectra = response @ coarse.spectra
        unmix(fine, msi, 1.0, strengths[1], "abundances")
    latents = fine.abundances.reshape(count, *shape)
    cube = (coarse.spectra @ fine.abundances).reshape(-1, *shape)
    return Fused(cube, np.ascontiguousarray(coarse.spectra.T), latents, blur.psf, {"endmembers": count})
