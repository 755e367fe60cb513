"""Changes of spectra that a lamp, a sensor or its calibration could make, drawn once per view and specimen.

All that is linear along the bands becomes one matrix (bands shown, bands) and one offset per specimen:

    x' = F (S G x + o)      G gain, tilt and curvature; S smoothing and shift; o offset; F what fills dropped bands

in the order in which light meets lamp, optics, detector and processing. Bands may stand in any order of wavelength.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hsipipe.tasks.representation.augment.settings import Augmentation

_FWHM_PER_SIGMA = 2.3548200450309493
# Weights of a Gaussian below this are 0, which leaves a narrow band of the matrix.
_NEGLIGIBLE = 1e-5


@dataclass(frozen=True)
class Spectral:
    """One view's spectral changes for each of B specimens; float64 on the CPU.

    Attributes:
        factor: (B, C), what gain, tilt and curvature multiply each band by.
        offset: (B,), reflectance.
        shift_nm: (B,): the view shows at a wavelength what the specimen shows this much further on.
        sigma_nm: (B,), standard deviation of the smoothing; 0 for none.
        window_nm: (B, 2), first and last wavelength of the run that is dropped; an empty one (1, 0) for none.
        fill: what dropped bands become, `interpolation` or `zero`.
        noise, floor: (B,), standard deviation of the noise at reflectance 1 without the floor, and at 0.
    """

    factor: Tensor
    offset: Tensor
    shift_nm: Tensor
    sigma_nm: Tensor
    window_nm: Tensor
    fill: str
    noise: Tensor
    floor: Tensor


def draw_spectral(
    batch: int, wavelength_nm: Tensor, *, augmentation: Augmentation, generator: torch.Generator
) -> Spectral:
    """Draw one view's spectral changes; how many numbers are drawn depends on B alone.

    Args:
        wavelength_nm: (C,) float64 on the CPU, nm, in any order.
        generator: on the CPU.
    """

    def uniform(low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(batch, dtype=torch.float64, generator=generator)

    def happens(probability: float) -> Tensor:
        return (uniform() < probability).double()

    def symmetric(strength: float) -> Tensor:
        return strength * uniform(-1, 1)

    first, last = float(wavelength_nm.min()), float(wavelength_nm.max())
    gain = happens(augmentation.gain_probability) * symmetric(augmentation.gain)
    offset = happens(augmentation.offset_probability) * symmetric(augmentation.offset)
    lit = happens(augmentation.tilt_probability)
    light = lamp(
        wavelength_nm, tilt=lit * symmetric(augmentation.tilt), curvature=lit * symmetric(augmentation.curvature)
    )
    dropped = happens(augmentation.drop_probability) > 0
    width = (last - first) * augmentation.drop * uniform()
    start = first + (last - first - width) * uniform()
    window = torch.where(
        dropped[:, None], torch.stack([start, start + width], dim=1), torch.tensor([1.0, 0.0]).double()
    )
    smoothed = happens(augmentation.smoothing_probability)
    sigma = smoothed * uniform(*augmentation.smoothing_fwhm_nm) / _FWHM_PER_SIGMA
    shift = happens(augmentation.shift_probability) * symmetric(augmentation.shift_nm)
    noisy = happens(augmentation.noise_probability)
    return Spectral(
        factor=(1 + gain)[:, None] * light,
        offset=offset,
        shift_nm=shift,
        sigma_nm=sigma,
        window_nm=window,
        fill=augmentation.drop_fill,
        noise=noisy * augmentation.noise * uniform(),
        floor=noisy * augmentation.noise_floor * uniform(),
    )


def lamp(wavelength_nm: Tensor, *, tilt: Tensor, curvature: Tensor) -> Tensor:
    """Relative light (B, C) of a lamp that differs smoothly from the reference: 1 + tilt · s + curvature · (2 s² - 1).

    s runs from -1 at the shortest to 1 at the longest wavelength. Imposes invariance to the colour of the
    illumination, and with it to slopes of reflectance: a browner wing and a warmer lamp look alike.

    Args:
        wavelength_nm: (C,), nm, in any order.
        tilt, curvature: (B,), relative.
    """
    first, last = wavelength_nm.min(), wavelength_nm.max()
    place = 2 * (wavelength_nm - first) / (last - first).clamp_min(1e-9) - 1
    place = place if last > first else torch.zeros_like(place)
    return 1 + tilt[:, None] * place + curvature[:, None] * (2 * place**2 - 1)


def smoothing_matrix(wavelength_nm: Tensor, sigma_nm: Tensor) -> Tensor:
    """Matrices (B, C, C) of a Gaussian along the wavelengths; each row sums to 1. Unity where sigma is 0.

    Imposes invariance to a sensor's spectral resolution: features narrower than the width no longer count. Bands are
    weighted by the interval that each stands for, so unequal spacing does not bias the mean.

    Args:
        wavelength_nm: (C,), nm, in any order.
        sigma_nm: (B,), standard deviation of the Gaussian, nm.
    """
    ranks = torch.argsort(wavelength_nm)
    ordered = wavelength_nm[ranks]
    spacing = torch.ones_like(ordered)
    if len(ordered) > 1:
        steps = ordered.diff()
        steps = torch.cat([steps[:1], steps, steps[-1:]])
        # Overlapping detectors give bands of equal wavelength, which must not vanish from the mean.
        spacing = ((steps[1:] + steps[:-1]) / 2).clamp_min(1e-3)
    interval = torch.empty_like(spacing).index_put_((ranks,), spacing)
    distance = wavelength_nm[:, None] - wavelength_nm[None, :]
    sharp = torch.eye(len(wavelength_nm), dtype=wavelength_nm.dtype, device=wavelength_nm.device)
    scaled = distance / sigma_nm.clamp_min(1e-6)[:, None, None]
    weights = torch.exp(-0.5 * scaled**2) * interval
    weights = weights / weights.sum(dim=-1, keepdim=True)
    weights = torch.where(weights > _NEGLIGIBLE, weights, 0.0)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return torch.where(sigma_nm[:, None, None] > 0, weights, sharp)


def shift_taps(wavelength_nm: Tensor, shift_nm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which two bands (B, C), (B, C) and with which weight of the second a shift reads; the ends are held.

    Imposes invariance to a wavelength calibration that is off by a little.

    Args:
        wavelength_nm: (C,), nm, in any order.
        shift_nm: (B,), nm; positive reads further on, so that features move to shorter wavelengths.
    """
    return _taps(wavelength_nm, wavelength_nm + shift_nm[:, None], torch.argsort(wavelength_nm))


def drop_taps(wavelength_nm: Tensor, window_nm: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Bands in a window (B, C) true, and the two bands with the weight of the second that interpolate across it.

    Imposes invariance to a part of the spectrum that is missing (a water absorption, a gap between detectors): what
    only that part tells must also be read elsewhere. At an end the nearest band that remains is held. Where a window
    leaves no band, nothing is dropped.

    Args:
        wavelength_nm: (C,), nm, in any order.
        window_nm: (B, 2), first and last wavelength that is dropped, nm; an empty window drops nothing.
    """
    inside = (wavelength_nm >= window_nm[:, :1]) & (wavelength_nm <= window_nm[:, 1:])
    inside &= ~inside.all(dim=1, keepdim=True)
    ranks = torch.argsort(wavelength_nm)
    ordered, gone = wavelength_nm[ranks], inside[:, ranks]
    count = len(ranks)
    position = torch.arange(count)
    # Positions, in order of wavelength, of the nearest remaining band on either side.
    below = torch.where(gone, -1, position).cummax(dim=1).values
    above = torch.where(gone, count, position).flip(1).cummin(dim=1).values.flip(1)
    below, above = torch.where(below < 0, above, below), torch.where(above >= count, below, above)
    span = (ordered[above] - ordered[below]).clamp_min(1e-9)
    weight = torch.where(above > below, (ordered - ordered[below]) / span, 0.0)
    back = torch.argsort(ranks)
    return inside, ranks[below][:, back], ranks[above][:, back], weight[:, back]


def spectral_matrix(spectral: Spectral, wavelength_nm: Tensor, *, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """All that is linear along the bands: matrices (B, C, C) and offsets (B, C), float32 on the device.

    Args:
        wavelength_nm: (C,) float64 on the CPU, nm, in any order.
    """

    def put(value: Tensor) -> Tensor:
        return value.to(device, torch.float32) if value.is_floating_point() else value.to(device)

    # Differences of wavelengths keep their digits in float32 once the mean is taken off.
    matrix = smoothing_matrix(put(wavelength_nm - wavelength_nm.mean()), put(spectral.sigma_nm))
    if bool((spectral.shift_nm != 0).any()):
        left, right, weight = shift_taps(wavelength_nm, spectral.shift_nm)
        matrix = _combine_rows(matrix, put(left), put(right), put(weight))
    matrix = matrix * put(spectral.factor)[:, None, :]
    offset = put(spectral.offset)[:, None].expand(-1, len(wavelength_nm))
    inside, left, right, weight = drop_taps(wavelength_nm, spectral.window_nm)
    if bool(inside.any()):
        if spectral.fill == "zero":
            kept = put(~inside).float()
            matrix, offset = matrix * kept[:, :, None], offset * kept
        else:
            matrix = _combine_rows(matrix, put(left), put(right), put(weight))
    return matrix, offset


def diagonal(spectral: Spectral, wavelength_nm: Tensor) -> tuple[Tensor, Tensor] | None:
    """Factors and offsets (B, C), float64 on the CPU, if no band takes from another; else None."""
    inside = drop_taps(wavelength_nm, spectral.window_nm)[0]
    mixes = (spectral.shift_nm != 0) | (spectral.sigma_nm > 0)
    if spectral.fill == "interpolation":
        mixes = mixes | inside.any(dim=1)
    if bool(mixes.any()):
        return None
    kept = (~inside).double()
    return spectral.factor * kept, spectral.offset[:, None] * kept


def add_noise_(images: Tensor, masks: Tensor, *, noise: float, floor: float, generator: torch.Generator) -> None:
    """Add Gaussian noise to images (C, h, w) in place, of variance noise² · max(x, 0) + floor², within masks (1, h, w).

    Photons arrive at random, so the variance grows with the signal; the floor is the read-out's. Imposes invariance to
    exposure time, and to contrast finer than the noise.

    Args:
        generator: on the device of the images.
    """
    field = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    deviation = images.clamp_min(0).mul_(noise**2).add_(floor**2).sqrt_().mul_(masks)
    images.addcmul_(field, deviation)


def _taps(wavelength_nm: Tensor, wanted_nm: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbours of each wanted wavelength (B, C) among the bands, and the weight of the upper one."""
    ordered = wavelength_nm[ranks]
    last = len(ordered) - 1
    upper = torch.searchsorted(ordered, wanted_nm.contiguous()).clamp(min(1, last), last)
    lower = (upper - 1).clamp_min(0)
    span = (ordered[upper] - ordered[lower]).clamp_min(1e-9)
    weight = ((wanted_nm - ordered[lower]) / span).clamp(0, 1)
    return ranks[lower], ranks[upper], weight


def _combine_rows(matrix: Tensor, left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    """Rows `left` and `right` (B, C) of matrices (B, C, C), mixed by the weight of the right ones."""
    batch = torch.arange(len(matrix), device=matrix.device)[:, None]
    return torch.lerp(matrix[batch, left], matrix[batch, right], weight[:, :, None])
