"""One radiometric scaling for a pair: the MSI in the HSI's units, and both divided by one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hsipipe.degrade.blur import Blur, block_mean
from hsipipe.degrade.psf import make_psf
from hsipipe.errors import UserError
from hsipipe.tasks.fusion.files.alignment import leading_components
from hsipipe.tasks.fusion.files.pair_files import PairWindow

BLURS = (0.0, 0.25, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)  # standard deviations tried first, LR pixels
MATCHED_WINDOWS = 4
SAME_GAIN = 0.02  # a pair whose gains all differ from 1 by less, or by less than three errors, is in one scaling,
SAME_OFFSET = 0.01  # if the levels of its bands also differ by less than this share of the HSI's range
LEAST_R2 = 0.05  # below, a band's regression tells nothing
POORLY = 0.5  # r^2 below which a band is said to fit badly
CLEARLY = 0.1  # by which a correlation must be the greater to be chosen though it is negative
PERCENTILE = 99.9
HUBER = 1.345  # times the residuals' standard deviation: 95 % efficient for normal errors (Huber 1981)
ROUNDS = 20
NEIGHBOURS = 4  # residuals of so many neighbouring pixels count as one: they have the same cause

# The LR HSI (C, h, w), the MSI as the HSI would see it (m, h, w), and where both are valid (h, w), of one window.
Sample = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Scaling:
    """MSI band b = gain_b (srf X)_b + offset_b, X in the HSI's units; both are then divided by `factor`.

    Attributes:
        gain, offset, r2: (m,): the line of the MSI, at the HSI's resolution, over the HSI seen through the response.
        factor: HSI units per unit of the common scaling: 99.9 % of the HSI's pixels have no band above it.
        changed: False if the pair was in one scaling already, so that gain and offset are left alone.
    """

    gain: np.ndarray
    offset: np.ndarray
    r2: np.ndarray
    factor: float
    changed: bool

    def scale_hsi(self, cube: np.ndarray) -> np.ndarray:
        """(C, h, w) in the HSI's units into the common scaling, float32."""
        return (cube / np.float32(self.factor)).astype(np.float32, copy=False)

    def scale_msi(self, cube: np.ndarray) -> np.ndarray:
        """(m, H, W) in the MSI's units into the common scaling, float32."""
        if not self.changed:
            return self.scale_hsi(cube)
        slope = (1 / (self.gain * self.factor)).astype(np.float32)[:, None, None]
        start = (self.offset / (self.gain * self.factor)).astype(np.float32)[:, None, None]
        return cube * slope - start

    def restore(self, cube: np.ndarray) -> np.ndarray:
        """A fused cube back in the HSI's units, float32."""
        return cube * np.float32(self.factor)

    @property
    def poor_bands(self) -> list[int]:
        """0-based MSI bands that the HSI explains badly."""
        return np.flatnonzero(self.r2 < POORLY).tolist()


def match_blur(parts: Sequence[PairWindow], *, edge: str = "reflect") -> np.ndarray | None:
    """The Gaussian PSF under which the MSI, blurred and decimated, explains most of the HSI.

    Without it, the finer detail of the MSI would make the regression's gains too large. The HSI is what is explained
    because it stays as it is: a softer image is always the easier to explain.

    Args:
        parts: windows of the pair; a few of the largest are looked at.
        edge: as in `Blur`.

    Returns:
        (n, n) kernel in HR pixels, or None where block means fit best.
    """
    from scipy.optimize import minimize_scalar

    chosen = sorted(parts, key=lambda part: -int(part.both_valid.sum()))[:MATCHED_WINDOWS]
    chosen = [part for part in chosen if part.both_valid.sum() > MATCHED_WINDOWS]
    if not chosen:
        return None
    targets = [leading_components(part.lr_hsi, part.both_valid)[:, part.both_valid] for part in chosen]
    ratio, side = chosen[0].ratio, min(min(part.hr_msi.shape[1:]) for part in chosen)

    def unexplained(blur: float) -> float:
        kernel = _gaussian(blur * ratio, side)
        features = [low_resolution(part, kernel, edge=edge)[1][:, part.both_valid] for part in chosen]
        return float(np.mean([_unexplained(*pair) for pair in zip(targets, features, strict=True)]))

    best = min(range(len(BLURS)), key=[unexplained(blur) for blur in BLURS].__getitem__)
    if best == 0:
        return None
    bounds = (BLURS[best - 1], BLURS[min(best + 1, len(BLURS) - 1)])
    found = minimize_scalar(unexplained, bounds=bounds, method="bounded", options={"xatol": 0.01}).x
    return _gaussian(float(found) * ratio, side)


def _gaussian(sigma: float, side: int) -> np.ndarray | None:
    """A Gaussian kernel of `sigma` pixels out to three of it, or as far as an image of `side` pixels allows."""
    half = min(int(np.ceil(3 * sigma)), (side - 1) // 2)
    return make_psf({"name": "gaussian", "sigma": sigma, "size": 2 * half + 1}) if sigma > 0.1 and half else None


def low_resolution(part: PairWindow, psf: np.ndarray | None, *, edge: str, margin: bool = False) -> Sample:
    """A window with the MSI blurred and decimated.

    Args:
        part: the window.
        psf: (n, n) kernel in HR pixels; None takes block means.
        edge: as in `Blur`.
        margin: leave out what the window's surroundings, unknown here, have a part in.
    """
    size, valid = part.hr_msi.shape[1:], part.both_valid
    if psf is None or len(psf) > min(size):
        return part.lr_hsi, block_mean(part.hr_msi, part.ratio), valid
    low = Blur(psf, part.ratio, (size[0], size[1]), edge=edge).forward(part.hr_msi)
    if margin:
        cut = -(-(len(psf) // 2) // part.ratio)
        inner = np.zeros_like(valid)
        inner[cut : len(valid) - cut, cut : valid.shape[1] - cut] = True
        valid = valid & inner
    return part.lr_hsi, low, valid


def _unexplained(target: np.ndarray, features: np.ndarray) -> float:
    """The share of the variance of `target` (k, N) that no linear function of `features` (m, N) explains."""
    basis = np.linalg.qr(np.vstack([np.ones(features.shape[1]), features]).T)[0]
    centred = target - target.mean(axis=1, keepdims=True)
    rest = centred - (centred @ basis) @ basis.T
    return float((rest**2).sum() / max((centred**2).sum(), 1e-300))


def shifted(part: PairWindow, rows: float, cols: float) -> PairWindow:
    """A window whose MSI is moved up and to the left by so many HR pixels, so that it lies on the HSI.

    Only what is estimated gets to see it: a shift blurs the relation of the two images' radiometry.
    """
    from scipy.ndimage import shift

    moved = shift(part.hr_msi, (0, -rows, -cols), order=3, mode="nearest")
    clear = shift(np.where(part.hr_valid, 0.0, 1.0), (-rows, -cols), order=1, mode="constant", cval=1.0) < 1e-3
    return replace(part, hr_msi=moved.astype(np.float32), hr_valid=clear)


def rough_scaling(samples: Sequence[Sample]) -> np.ndarray:
    """The MSI's samples brought near the HSI's units without a response, one array (m, N) of valid pixels.

    Each band takes mean and standard deviation of the HSI band that it correlates with best. That band may be its
    negative only if no other is nearly as like it: in a scene of two materials half of the bands are the negative of
    the others, and a response has no negative weights.
    """
    hsi, msi = pool(samples)
    centred, target = hsi - hsi.mean(axis=1, keepdims=True), msi - msi.mean(axis=1, keepdims=True)
    spread, wanted = np.maximum(centred.std(axis=1), 1e-12), np.maximum(target.std(axis=1), 1e-12)
    likeness = (target @ centred.T) / (hsi.shape[1] * wanted[:, None] * spread)
    negative = -likeness.min(axis=1) > likeness.max(axis=1) + CLEARLY
    nearest = np.where(negative, likeness.argmin(axis=1), likeness.argmax(axis=1))
    sign = np.where(negative, -1.0, 1.0)[:, None]
    return sign * target / wanted[:, None] * spread[nearest][:, None] + hsi.mean(axis=1)[nearest][:, None]


def joint_scaling(samples: Sequence[Sample], srf: np.ndarray) -> Scaling:
    """Regress the MSI on the HSI seen through the response, robustly, band by band.

    Args:
        samples: windows of the pair in their files' units.
        srf: (m, C), rows of sum 1.

    Raises:
        UserError: no pixel that is valid in both, or an HSI without positive values.
    """
    hsi, msi = pool(samples)
    if hsi.shape[1] < 3:
        raise UserError("the images have hardly a valid pixel in common", found=f"{hsi.shape[1]} LR pixels")
    factor = float(np.percentile(hsi.max(axis=0), PERCENTILE))
    if not factor > 0:
        raise UserError("the HSI has no positive values", found=f"{PERCENTILE} % of its pixels are below {factor:g}")
    seen = srf @ hsi
    fits = np.array([_robust_line(x, y) for x, y in zip(seen, msi, strict=True)])
    gain, offset, r2, error = fits.T
    for band in np.flatnonzero((gain <= 0) | (r2 < LEAST_R2)):
        gain[band] = max(float(msi[band].std()), 1e-12) / max(float(seen[band].std()), 1e-12)
        offset[band] = msi[band].mean() - gain[band] * seen[band].mean()
        r2[band] = 0.0
    centre = seen.mean(axis=1)
    same_gain = np.abs(gain - 1) < np.maximum(SAME_GAIN, 3 * error)
    # Where a gain is uncertain so is its offset; at the middle of the data they make up for one another.
    same_level = np.abs(offset + (gain - 1) * centre) < SAME_OFFSET * factor
    same = bool((same_gain & same_level).all())
    return Scaling(gain, offset, r2, factor, not same)


def pool(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """All valid spectra of the samples: HSI (C, N) and MSI (m, N) float64."""
    hsi = np.concatenate([hsi[:, valid] for hsi, _, valid in samples], axis=1)
    msi = np.concatenate([msi[:, valid] for _, msi, valid in samples], axis=1)
    return hsi.astype(np.float64), msi.astype(np.float64)


def _robust_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float]:
    """Slope, offset, r^2 and the slope's error of y over x with Huber's weights, by reweighted least squares.

    The slope is the geometric mean of both regressions', sd(y) / sd(x): x has noise as well, which would make that of y
    on x too small.
    """
    weight = np.ones_like(x)
    for _ in range(ROUNDS):
        total = weight.sum()
        x_mean, y_mean = (weight @ x) / total, (weight @ y) / total
        spread = weight @ (x - x_mean) ** 2
        slope = float(weight @ ((x - x_mean) * (y - y_mean)) / spread) if spread > 0 else 0.0
        rest = y - y_mean - slope * (x - x_mean)
        scale = 1.4826 * np.median(np.abs(rest))
        if scale <= 1e-12 * max(np.abs(y).max(), 1e-300):
            break
        weight = np.minimum(1.0, HUBER * scale / np.maximum(np.abs(rest), 1e-300))
    variance = weight @ (y - y_mean) ** 2
    explained = 1 - (weight @ rest**2) / variance if variance > 0 else 0.0
    if explained > 0:
        slope /= float(np.sqrt(explained))
    error = float(np.sqrt(NEIGHBOURS * (weight @ rest**2) / max(spread * (total - 2), 1e-300)))
    return slope, float(y_mean - slope * x_mean), float(np.clip(explained, 0, 1)), error
