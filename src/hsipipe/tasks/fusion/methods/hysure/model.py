"""HySure: the HSI's subspace, both images as quadratic terms, and vector total variation.

Sources: Simões, Bioucas-Dias, Almeida and Chanussot, "A convex formulation for hyperspectral image superresolution via
subspace-based regularization", IEEE TGRS 53(6), 2015, doi:10.1109/TGRS.2014.2375320; Afonso, Bioucas-Dias and
Figueiredo, "An augmented Lagrangian approach to the constrained optimization formulation of imaging inverse problems",
IEEE TIP 20(3), 2011, doi:10.1109/TIP.2010.2076294 (SALSA).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.fft

from hsipipe.degrade.blur import EDGES
from hsipipe.degrade.psf import check_kernel
from hsipipe.errors import unknown
from hsipipe.tasks.fusion.methods.hysure.responses import estimate_both
from hsipipe.tasks.fusion.result import Fused
from hsipipe.tasks.fusion.shared.endmembers import vca
from hsipipe.tasks.fusion.shared.pair import ratio_of
from hsipipe.tasks.fusion.shared.upsample import bicubic

BASES = ("svd", "vca")
LARGEST_HALF = 12


def fuse(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
    seed: int = 0,
    rank: int = 10,
    basis: str = "vca",
    msi_weight: float = 1.0,
    variation_weight: float = 5e-4,
    penalty: float = 0.05,
    iterations: int = 200,
    response_smoothness: float = 0.1,
    blur_smoothness: float = 0.01,
    rounds: int = 10,
) -> Fused:
    """Minimise 1/2 |Y - E Z B M|^2 + msi_weight/2 |R E Z - Y_m|^2 + variation_weight VTV(Z) over Z, by SALSA.

    Args:
        lr_hsi: (C, h, w) float32, Y.
        hr_msi: (m, H, W) float32, Y_m.
        psf: (n, n); None: estimated from the pair.
        srf: (m, C), R; None: estimated from the pair.
        edge: how images go on beyond their edges, "reflect" or "zero".
        wavelength_nm: not used.
        seed: of vertex component analysis.
        rank: columns of E, taken down to the number of bands or HSI pixels where those are fewer.
        basis: E holds endmembers of the HSI ("vca") or its leading singular vectors ("svd").
        msi_weight: of the MSI's misfit, lambda_m.
        variation_weight: of the vector total variation, lambda_phi, in the units of Z.
        penalty: of SALSA's splittings, mu.
        iterations: of SALSA.
        response_smoothness: for a response to be estimated, see `estimate_response`.
        blur_smoothness: for a PSF to be estimated, see `BlurProblem`.
        rounds: of PSF and response in turn, where both are to be estimated.

    Returns:
        The cube; endmembers (K, C), E's columns; latents (K, H, W), Z; the PSF used or estimated.

    Raises:
        UserError: an unknown basis or edge, or as `ratio_of` and `check_kernel`.
    """
    if basis not in BASES:
        raise unknown("basis", basis, BASES)
    if edge not in EDGES:
        raise unknown("edge", edge, EDGES)
    ratio = ratio_of(lr_hsi, hr_msi, srf=srf)
    estimated = [name for name, part in (("psf", psf), ("srf", srf)) if part is None]
    found: dict[str, object] = {"estimated": estimated}
    if psf is None or srf is None:
        psf, srf = estimate_both(
            lr_hsi,
            hr_msi,
            psf=psf,
            srf=srf,
            ratio=ratio,
            edge=edge,
            half=min(2 * ratio, LARGEST_HALF, (min(hr_msi.shape[1:]) - 1) // 2),
            response_smoothness=response_smoothness,
            blur_smoothness=blur_smoothness,
            rounds=rounds,
        )
    psf = check_kernel(psf)
    spectra = _basis(lr_hsi, basis, rank, seed)
    found["rank"] = spectra.shape[1]
    latents = _salsa(
        lr_hsi,
        hr_msi,
        psf=psf,
        srf=np.asarray(srf, dtype=np.float64),
        ratio=ratio,
        edge=edge,
        spectra=spectra,
        weights=(msi_weight, variation_weight, penalty),
        iterations=iterations,
    )
    cube = (spectra.astype(np.float32) @ latents.reshape(len(latents), -1)).reshape(-1, *hr_msi.shape[1:])
    return Fused(cube, endmembers=spectra.T.astype(np.float32), latents=latents, psf=psf, found=found)


def _basis(lr_hsi: np.ndarray, kind: str, rank: int, seed: int) -> np.ndarray:
    """E (C, K) float64."""
    spectra = lr_hsi.reshape(len(lr_hsi), -1).astype(np.float64)
    count = max(1, min(rank, *spectra.shape))
    if kind == "vca":
        return vca(spectra.T, count, seed=seed).T.astype(np.float64)
    return np.linalg.eigh(spectra @ spectra.T)[1][:, ::-1][:, :count]


def _salsa(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray,
    srf: np.ndarray,
    ratio: int,
    edge: str,
    spectra: np.ndarray,
    weights: tuple[float, float, float],
    iterations: int,
) -> np.ndarray:
    """Z (K, H, W) float32, on an image continued as `edge` says so far that its periodic ends do not meet the scene."""
    msi_weight, variation_weight, penalty = weights
    reach = -(-(len(psf) // 2) // ratio)
    margin = 2 * reach + 1
    mode: Literal["symmetric", "constant"] = "symmetric" if edge == "reflect" else "constant"
    # Deviation: the paper's images are periodic; ours are continued, and HSI pixels that see the seam do not count.
    hsi, msi = (
        np.pad(images, [(0, 0), (width, width), (width, width)], mode=mode)
        for images, width in ((lr_hsi, margin), (hr_msi, margin * ratio))
    )
    unseen = margin if edge == "zero" else reach
    seen = (slice(None), slice(unseen, hsi.shape[1] - unseen), slice(unseen, hsi.shape[2] - unseen))
    shape = msi.shape[1:]
    blur, down, right = _transfers(psf, ratio, shape)
    power = (1 + sum(np.abs(transfer) ** 2 for transfer in (blur, down, right))).astype(np.float32)
    count = spectra.shape[1]
    eye = np.eye(count)
    seen_hsi = hsi[seen]
    hsi_inverse = np.linalg.inv(spectra.T @ spectra + penalty * eye)
    hsi_part = _mix(hsi_inverse @ spectra.T, seen_hsi)
    hsi_step = penalty * hsi_inverse
    mixed = srf @ spectra
    msi_inverse = np.linalg.inv(msi_weight * mixed.T @ mixed + penalty * eye)
    msi_part = _mix(msi_weight * msi_inverse @ mixed.T, msi)
    msi_step = penalty * msi_inverse
    # The start does not change the minimum: the coordinates of the interpolated HSI.
    latents = bicubic(_mix(np.linalg.pinv(spectra), hsi), ratio)
    blurred = _filter(latents, blur)
    duals = [np.zeros_like(latents) for _ in range(4)]
    for _ in range(iterations):
        split_blurred = blurred - duals[0]
        sampled = split_blurred[:, ::ratio, ::ratio][seen]
        sampled[...] = hsi_part + _mix(hsi_step, sampled)
        split_latents = msi_part + _mix(msi_step, latents - duals[1])
        duals[0] += split_blurred - blurred
        duals[1] += split_latents - latents
        differences = [np.roll(latents, -1, axis=axis) - latents for axis in (1, 2)]
        splits = [difference - dual for difference, dual in zip(differences, duals[2:], strict=True)]
        length = np.sqrt(sum(np.einsum("khw,khw->hw", split, split) for split in splits))
        shrink = np.maximum(1 - np.float32(variation_weight / penalty) / np.maximum(length, 1e-20), 0)
        back = split_latents + duals[1]
        for axis, split, difference, dual in zip((1, 2), splits, differences, duals[2:], strict=True):
            split *= shrink
            dual += split - difference
            wanted = split + dual
            back += np.roll(wanted, 1, axis=axis) - wanted
        rate = scipy.fft.rfft2(back) + np.conj(blur) * scipy.fft.rfft2(split_blurred + duals[0])
        rate /= power
        latents = scipy.fft.irfft2(rate, s=shape)
        blurred = scipy.fft.irfft2(blur * rate, s=shape)
    inside = slice(margin * ratio, -margin * ratio)
    return np.ascontiguousarray(latents[:, inside, inside])


def _transfers(psf: np.ndarray, ratio: int, shape: tuple[int, int]) -> list[np.ndarray]:
    """Transfer functions (H, W // 2 + 1) complex64 of blur and block mean, and of both axes' forward differences.

    The block mean at pixel n is that of the block that begins there, so that every ratio-th of its pixels is a sample.
    """
    kernel, block, down, right = (np.zeros(shape) for _ in range(4))
    half = len(psf) // 2
    offsets = np.arange(-half, half + 1)
    kernel[np.ix_(offsets % shape[0], offsets % shape[1])] = psf
    starts = -np.arange(ratio)
    block[np.ix_(starts % shape[0], starts % shape[1])] = 1 / ratio**2
    down[0, 0] = right[0, 0] = -1
    down[-1, 0] = right[0, -1] = 1
    rates = [scipy.fft.rfft2(image) for image in (kernel, block, down, right)]
    return [rate.astype(np.complex64) for rate in (rates[0] * rates[1], *rates[2:])]


def _filter(images: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    """Images (K, H, W) float32 through a transfer function, periodic."""
    return scipy.fft.irfft2(transfer * scipy.fft.rfft2(images), s=images.shape[1:])


def _mix(matrix: np.ndarray, images: np.ndarray) -> np.ndarray:
    """A matrix (j, k) applied to the spectra of images (k, H, W): (j, H, W) float32."""
    flat = matrix.astype(np.float32) @ images.reshape(len(images), -1)
    return flat.reshape(len(matrix), *images.shape[1:])
