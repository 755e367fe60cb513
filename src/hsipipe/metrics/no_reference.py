"""Scores of a fused cube without a truth: consistency with both images, and the hybrid QNR for an HSI and an MSI."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hsipipe.metrics.consistency import Consistency, compare_images, msi_consistency
from hsipipe.metrics.q2n import block_slices, q2n
from hsipipe.metrics.registry import METRICS
from hsipipe.metrics.spatial import PSNR_CEILING_DB

if TYPE_CHECKING:
    from hsipipe.degrade.blur import Blur

log = logging.getLogger(__name__)

_BLOCK = 32
_LEAST_COARSE_BLOCK = 8


@dataclass(frozen=True)
class Hqnr:
    """Hybrid quality with no reference: the distortions `d_lambda` and `d_s` are 0 at best, `hqnr` is 1 at best."""

    d_lambda: float
    d_s: float
    hqnr: float


def score_without_truth(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    fused: np.ndarray,
    *,
    blur: Blur,
    srf: np.ndarray | None,
    hsi_noise: np.ndarray | float | None = None,
    msi_noise: np.ndarray | float | None = None,
) -> list[tuple[str, float, str]]:
    """All scores that need no truth.

    They tell whether a cube agrees with what was measured, not whether it is right: where neither image looks, it may
    be wrong and have the best values. A cube that explains an image better than to its noise has followed the noise.

    Args:
        lr_hsi: (C, h, w); hr_msi: (m, H, W); fused: (C, H, W): in one radiometric scaling.
        blur: the `Blur` of the pair, PSF known or estimated.
        srf: (m, C), rows of sum 1, or None (not known: no scores of the MSI's consistency).
        hsi_noise, msi_noise: standard deviation of the noise, one for all bands or one per band, or None.

    Returns:
        (metric, value, unit): `hsi_rmse`, `hsi_snr` and, if the noise is given, `hsi_noise_ratio`, likewise for `msi_`
        (see `Consistency`; SNR at most 150 dB); `d_lambda`, `d_s`, `hqnr` (see `hybrid_qnr`). NaN where not defined,
        which the log tells.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(lr_hsi, hr_msi, fused, blur)
    low = blur.forward(fused)
    rows = _consistency_rows("hsi", compare_images(lr_hsi, low, noise=hsi_noise))
    if srf is not None:
        rows += _consistency_rows("msi", msi_consistency(hr_msi, fused, srf, noise=msi_noise))
    quality = hybrid_qnr(lr_hsi, hr_msi, fused, blur, low=low)
    rows += [("d_lambda", quality.d_lambda), ("d_s", quality.d_s), ("hqnr", quality.hqnr)]
    undefined = [name for name, value in rows if not np.isfinite(value)]
    if undefined:
        log.warning("not defined for this image: %s", ", ".join(undefined))
    return [(name, value, METRICS[name].unit) for name, value in rows]


def hybrid_qnr(lr_hsi: np.ndarray, hr_msi: np.ndarray, fused: np.ndarray, blur: Blur, *, low: np.ndarray) -> Hqnr:
    """HQNR = (1 - D_lambda) (1 - D_S), for an HSI and an MSI in the places of an MSI and a panchromatic image.

    D_lambda = 1 - Q2n(fused at low resolution, HSI), with the sensor's own blur (M. M. Khan, L. Alparone, J. Chanussot,
    "Pansharpening Quality Assessment Using the Modulation Transfer Functions of Instruments", IEEE TGRS 47(11), 2009).
    D_S = mean over pairs of an HSI band c and an MSI band j of |Q(fused_c, MSI_j) - Q(HSI_c, MSI_j at low resolution)|
    (L. Alparone et al., "Multispectral and Panchromatic Data Fusion Assessment Without Reference", PE&RS 74(2), 2008,
    with exponent 1), Q the universal quality index of blocks. Their product is that of B. Aiazzi et al., "Full Scale
    Assessment of Pansharpening Methods and Data Products", Proc. SPIE 9244, 2014.

    The images' own noise and the change of scale keep even the truth from 1, and another cube may come nearer: compare
    methods on one pair, and only where they differ clearly.

    Args:
        lr_hsi: (C, h, w); hr_msi: (m, H, W); fused: (C, H, W): in one radiometric scaling.
        blur: the `Blur` of the pair.
        low: (C, h, w), the fused cube at low resolution: `blur.forward(fused)`.

    Returns:
        NaN in all three if the HSI has a side below 2 or a value is not finite.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(lr_hsi, hr_msi, fused, blur)
    rows, cols = lr_hsi.shape[1:]
    if min(rows, cols) < 2:
        return Hqnr(*[float("nan")] * 3)
    d_lambda = 1 - q2n(lr_hsi, low, window=min(_BLOCK, rows, cols))
    # Deviation: 32 x 32 fine pixels are a single coarse one at ratio 32, which has no variance. Blocks have at least 8
    # coarse pixels a side, or as many as the image has; at ratios up to 4 they are those of the paper.
    window = min(max(_LEAST_COARSE_BLOCK, _BLOCK // blur.ratio), rows, cols)
    # Deviation: the mean over all pairs of bands takes the place of the mean over the bands beside one panchromatic
    # image; the MSI is brought to low resolution by the HSI's blur, as the fused cube is.
    fine = pair_quality(fused, hr_msi, window=window, ratio=blur.ratio)
    coarse = pair_quality(lr_hsi, blur.forward(hr_msi), window=window)
    d_s = float(np.abs(fine - coarse).mean())
    return Hqnr(d_lambda, d_s, (1 - d_lambda) * (1 - d_s))


def pair_quality(first: np.ndarray, second: np.ndarray, *, window: int, ratio: int = 1) -> np.ndarray:
    """The universal quality index of each band of one image with each of another: (C, m), in [-1, 1].

    It is the mean over blocks, side by side, of 4 cov(x, y) mean(x) mean(y) / ((var x + var y) (mean(x)^2 +
    mean(y)^2)) (Wang and Bovik, 2002). A factor of two constant bands, or of two of zero mean, is 1.

    Args:
        first: (C, H, W); second: (m, H, W).
        window: side of the blocks in coarse pixels; ratio: fine pixels in a coarse one.
    """
    total, count = np.zeros((len(first), len(second))), 0
    rows, cols = (block_slices(length // ratio, window) for length in first.shape[1:])
    for row in rows:
        for col in cols:
            block = (slice(row.start * ratio, row.stop * ratio), slice(col.start * ratio, col.stop * ratio))
            x, y = (image[:, *block].reshape(len(image), -1).astype(np.float64) for image in (first, second))
            mean_x, mean_y = x.mean(1), y.mean(1)
            x -= mean_x[:, None]
            y -= mean_y[:, None]
            size = x.shape[1]
            spread = (np.einsum("cn,cn->c", x, x)[:, None] + np.einsum("cn,cn->c", y, y)) / size
            power = mean_x[:, None] ** 2 + mean_y**2
            with np.errstate(divide="ignore", invalid="ignore"):
                structure = np.where(spread <= 1e-24 * power, 1.0, 2 * (x @ y.T) / size / spread)
                luminance = np.where(power > 0, 2 * np.outer(mean_x, mean_y) / power, 1.0)
            total += structure * luminance
            count += 1
    return total / count


def _consistency_rows(image: str, found: Consistency) -> list[tuple[str, float]]:
    rows = [(f"{image}_rmse", found.rmse), (f"{image}_snr", min(found.snr_db, PSNR_CEILING_DB))]
    return rows if found.noise_ratio is None else [*rows, (f"{image}_noise_ratio", found.noise_ratio)]


def _check(lr_hsi: np.ndarray, hr_msi: np.ndarray, fused: np.ndarray, blur: Blur) -> None:
    coarse = tuple(length * blur.ratio for length in lr_hsi.shape[1:])
    if len(fused) != len(lr_hsi) or not fused.shape[1:] == hr_msi.shape[1:] == coarse:
        raise ValueError(
            f"HSI {lr_hsi.shape}, MSI {hr_msi.shape} and fused cube {fused.shape} do not fit at ratio {blur.ratio}"
        )
