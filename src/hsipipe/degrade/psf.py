"""Point-spread functions: ten families, the forms of the paper where they differ, the user's own, and their widths.

All are sampled at whole pixels x, y = -n ... n (size = 2 n + 1), r = sqrt(x^2 + y^2), and divided by their sum.
`sigma` is a length in high-resolution pixels whose meaning is the family's own (see each function).

Names and the forms ending in `_peer`: SpectraMorph (arXiv 2510.20814), whose tables they make comparable.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.degrade.tables import is_table_path, read_table
from hsipipe.errors import UserError, unknown

SIGMA = 3.4
SIZE = 15
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
AIRY_ZERO = 3.8317059702075125  # first positive zero of the Bessel function J1
SEEING_FWHM = 0.9758634  # full width at half maximum of Kolmogorov's long-exposure image in units of wavelength / r0
Grid = np.ndarray


def gaussian(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """exp(-r^2 / (2 sigma^2)); sigma is its standard deviation."""
    return np.exp(-(x**2 + y**2) / (2.0 * sigma**2))


def kolmogorov(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """Long-exposure image through Kolmogorov turbulence, as wide at half maximum as the Gaussian of that sigma.

    The optical transfer function is exp(-3.44 (f / f0)^(5/3)) (Fried, JOSA 56, 1966); the PSF is its Hankel transform.
    The paper takes the transfer function itself for the PSF: `kolmogorov_peer`.
    """
    from scipy.special import j0

    unit = FWHM_PER_SIGMA * sigma / SEEING_FWHM  # wavelength / r0 in pixels
    distance, position = np.unique(np.hypot(x, y) / unit, return_inverse=True)
    # The integrand falls to 1e-12 at f = 3.5; the nodes resolve the oscillation of J0 out to the kernel's corner.
    nodes, weights = np.polynomial.legendre.leggauss(200 + int(12 * distance.max()))
    frequency, weights = 1.75 * (nodes + 1.0), 1.75 * weights
    transfer = weights * frequency * np.exp(-3.44 * frequency ** (5.0 / 3.0))
    values = 2.0 * np.pi * j0(2.0 * np.pi * distance[:, None] * frequency) @ transfer
    return values[position].reshape(x.shape)


def airy(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """(2 J1(z) / z)^2, diffraction by a circular aperture; its first dark ring lies at r = sigma (z = 3.8317 r/sigma).

    The paper's form uses another Bessel function: `airy_peer`.
    """
    from scipy.special import j1

    z = AIRY_ZERO * np.hypot(x, y) / sigma
    return np.where(z > 0, 2.0 * j1(z) / np.where(z > 0, z, 1.0), 1.0) ** 2


def moffat(x: Grid, y: Grid, sigma: float, *, beta: float = 3.5) -> np.ndarray:
    """(1 + (r / sigma)^2)^(-beta), beta > 1 (Moffat, A&A 3, 1969); FWHM is 2 sigma sqrt(2^(1/beta) - 1)."""
    if beta <= 1:
        raise UserError("must be above 1 for a finite sum", key="psf moffat.beta", found=beta)
    return (1.0 + (x**2 + y**2) / sigma**2) ** -beta


def sinc(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """Lanczos's ideal low pass, the product over both axes of sinc(x / sigma) sinc(x / (n + 1)); zeros at +-sigma.

    A sinc per axis is the band-limiting response of a rectangular aperture (coherent light) and of an ideal
    anti-aliasing filter; the second factor is Lanczos's window (Duchon, J. Appl. Meteorol. 18, 1979), without which
    the cut at the kernel's edge rings. It has negative lobes.
    The paper's form is radial and without a window, so that most of its weight lies at the rim: `sinc_peer`.
    """
    end = np.abs(x).max() + 1.0
    return np.sinc(x / sigma) * np.sinc(x / end) * np.sinc(y / sigma) * np.sinc(y / end)


def lorentzian2(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """1 / (1 + (r / sigma)^4), the Lorentzian of second order; its half maximum lies at r = sigma."""
    return 1.0 / (1.0 + ((x**2 + y**2) / sigma**2) ** 2)


def hermite(x: Grid, y: Grid, sigma: float, *, h4: float = 0.1) -> np.ndarray:
    """Gauss-Hermite series, the product over both axes of exp(-t^2/2) (1 + h4 H4(t)), t = x / sigma.

    H4(t) = (4 t^4 - 12 t^2 + 3) / sqrt(24) (van der Marel and Franx, ApJ 407, 1993). h4 > 0 gives a sharper core and
    wider wings than the Gaussian's, h4 < 0 a flatter one; for 0 <= h4 <= 0.8 no value is negative.
    The paper multiplies by H1(r), which is zero at the centre and hence a ring: `hermite_peer`.
    """

    def along(position: Grid) -> np.ndarray:
        t = position / sigma
        return np.exp(-(t**2) / 2.0) * (1.0 + h4 * (4.0 * t**4 - 12.0 * t**2 + 3.0) / np.sqrt(24.0))

    return along(x) * along(y)


def parabolic(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """max(0, 1 - (r / sigma)^2); zero from r = sigma on."""
    return np.maximum(0.0, 1.0 - (x**2 + y**2) / sigma**2)


def gabor(
    x: Grid,
    y: Grid,
    sigma: float,
    *,
    period: float | None = None,
    gamma: float = 0.5,
    theta: float = 0.0,
    phase: float = 0.0,
) -> np.ndarray:
    """exp(-(xt^2 + gamma^2 yt^2) / (2 sigma^2)) cos(2 pi xt / period + phase), xt, yt turned by theta (radians).

    The period (pixels) is 4 sigma unless given: the first zero of the wave lies at xt = sigma, so that the modulation
    shows on whole pixels as one negative lobe on each side, and the kernel keeps a clearly positive sum.
    The paper's period of one pixel makes the cosine 1 at every pixel: `gabor_peer`.
    """
    along = x * np.cos(theta) + y * np.sin(theta)
    across = -x * np.sin(theta) + y * np.cos(theta)
    if period is not None and period <= 0:
        raise UserError("must be positive", key="psf gabor.period", found=period)
    wave = np.cos(2.0 * np.pi * along / (4.0 * sigma if period is None else period) + phase)
    return np.exp(-(along**2 + (gamma * across) ** 2) / (2.0 * sigma**2)) * wave


def delta(x: Grid, y: Grid, sigma: float) -> np.ndarray:  # noqa: ARG001
    """1 at the centre: no blur beyond the block mean; sigma has no effect."""
    return ((x == 0) & (y == 0)).astype(np.float64)


def kolmogorov_peer(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """exp(-(r / sigma)^(5/3)), the paper's form."""
    return np.exp(-((np.hypot(x, y) / sigma) ** (5.0 / 3.0)))


def airy_peer(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """(2 K1(z) / z)^2 with z = 2.33811 r / sigma and 1 at r = 0, the paper's form: a ring of one pixel's radius."""
    from scipy.special import k1

    z = 2.33811 * np.hypot(x, y) / sigma
    return np.where(z > 0, 2.0 * k1(np.where(z > 0, z, 1.0)) / np.where(z > 0, z, 1.0), 1.0) ** 2


def sinc_peer(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """sin(pi r / sigma) / (pi r / sigma), the paper's form."""
    return np.sinc(np.hypot(x, y) / sigma)


def hermite_peer(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """exp(-r^2 / (2 sigma^2)) 2 r / sigma, the paper's form: a ring."""
    return gaussian(x, y, sigma) * 2.0 * np.hypot(x, y) / sigma


def gabor_peer(x: Grid, y: Grid, sigma: float) -> np.ndarray:
    """exp(-(x^2 + y^2 / 4) / (2 sigma^2)) cos(2 pi x), the paper's form: a Gaussian twice as wide along y."""
    return gabor(x, y, sigma, period=1.0)


PSFS: dict[str, Callable[..., np.ndarray]] = {
    function.__name__: function
    for function in (
        gaussian,
        kolmogorov,
        airy,
        moffat,
        sinc,
        lorentzian2,
        hermite,
        parabolic,
        gabor,
        delta,
        kolmogorov_peer,
        airy_peer,
        sinc_peer,
        hermite_peer,
        gabor_peer,
    )
}


def peer_name(name: str) -> str:
    """The name of the paper's form of a PSF; the name itself where both are the same.

    Raises:
        UserError: an unknown name.
    """
    if name not in PSFS:
        raise unknown("psf", name, PSFS)
    return f"{name}_peer" if f"{name}_peer" in PSFS else name


def peer_spec(spec: str | Path | Mapping[str, Any]) -> str | Path | Mapping[str, Any]:
    """The specification of the paper's form of a PSF, its settings kept; files stay as they are.

    >>> peer_spec("airy:sigma=2")
    'airy_peer:sigma=2'
    """
    if isinstance(spec, Mapping):
        return {**spec, "name": peer_name(str(spec["name"]))} if "name" in spec else spec
    if isinstance(spec, Path) or is_table_path(spec):
        return spec
    name, colon, settings = spec.strip().partition(":")
    return peer_name(name) + colon + settings


def make_psf(spec: str | Path | Mapping[str, Any] | np.ndarray) -> np.ndarray:
    """The kernel of a specification: (size, size) float64, sum 1, size odd, in high-resolution pixels.

    Args:
        spec: a name with settings, such as "gaussian" or "moffat:sigma=3.4,size=15,beta=2.5"; a mapping of the same
            {name:, sigma:, size:, ...}; a file FILE or FILE:KEY (.mat, .csv, .npy) or {file:, key:}; or an array.
            Defaults: sigma 3.4, size 15.

    Raises:
        UserError: unknown name or setting, a value out of range, or a kernel that `check_kernel` refuses.
    """
    if isinstance(spec, np.ndarray):
        return check_kernel(spec)
    if isinstance(spec, Path) or (isinstance(spec, str) and is_table_path(spec)):
        return check_kernel(read_table(spec), file=str(spec))
    if isinstance(spec, str):
        settings: dict[str, Any] = _settings_of(spec)
    elif isinstance(spec, Mapping):
        settings = dict(spec)
    else:
        raise UserError("must be a name, a mapping or a file", key="psf", found=repr(spec), remedy="such as gaussian")
    if "file" in settings:
        others = sorted(set(settings) - {"file", "key"})
        if others:
            raise unknown("setting of a psf's file", others[0], ["file", "key"])
        return check_kernel(read_table(settings["file"], key=settings.get("key")), file=str(settings["file"]))
    if "name" not in settings:
        raise UserError("needs a name or a file", key="psf", found=settings, remedy=f"one of {', '.join(PSFS)}")
    return _family(str(settings.pop("name")), settings)


def _settings_of(text: str) -> dict[str, Any]:
    name, _, rest = text.strip().partition(":")
    settings: dict[str, Any] = {"name": name}
    for pair in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, value = pair.partition("=")
        if not equals or not value.strip():
            raise UserError(
                "expected setting=value", key=f"psf {name}", found=repr(pair), remedy="as in gaussian:sigma=3.4"
            )
        settings[key.strip()] = value.strip()
    return settings


def _family(name: str, settings: Mapping[str, Any]) -> np.ndarray:
    if name not in PSFS:
        raise unknown("psf", name, PSFS)
    function = PSFS[name]
    own = [key for key, item in inspect.signature(function).parameters.items() if item.kind is item.KEYWORD_ONLY]
    values = {}
    for key, value in settings.items():
        if key not in (*own, "sigma", "size"):
            raise unknown(f"setting of the psf {name!r}", str(key), ["sigma", "size", *own])
        values[key] = _number(value, f"psf {name}.{key}")
    sigma, size = values.pop("sigma", SIGMA), values.pop("size", SIZE)
    if sigma <= 0:
        raise UserError("must be positive", key=f"psf {name}.sigma", found=sigma)
    if size != int(size) or size < 1 or int(size) % 2 == 0:
        raise UserError("must be an odd whole number", key=f"psf {name}.size", found=f"{size:g}")
    half = int(size) // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    return check_kernel(function(x, y, sigma, **values), name=name)


def _number(value: Any, key: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError) as error:
        raise UserError("must be a number", key=key, found=repr(value)) from error
    if not np.isfinite(number):
        raise UserError("must be finite", key=key, found=number)
    return number


def check_kernel(kernel: np.ndarray, *, file: str | None = None, name: str | None = None) -> np.ndarray:
    """A kernel divided by its sum, as float64.

    Raises:
        UserError: not two axes, not square, an even side, not finite, or a sum that is negative or about zero.
    """
    key = f"psf {name}" if name else "psf"
    kernel = np.asarray(kernel)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise UserError("must be a square table", file=file, key=key, found=f"shape {kernel.shape}")
    if kernel.shape[0] % 2 == 0:
        raise UserError(
            "must have an odd side, or the image would shift by half a pixel",
            file=file,
            key=key,
            found=f"{kernel.shape[0]} x {kernel.shape[1]}",
            remedy="resample it, or pad it so that its centre is a pixel",
        )
    if kernel.dtype.kind not in "iufb" or not np.isfinite(kernel).all():
        raise UserError("must hold finite real numbers", file=file, key=key, found=kernel.dtype)
    kernel = kernel.astype(np.float64)
    total = kernel.sum()
    if total <= 1e-3 * np.abs(kernel).sum():
        raise UserError(
            "must have a clearly positive sum", file=file, key=key, found=f"{total:.3g}", remedy="choose other settings"
        )
    return kernel / total


@dataclass(frozen=True)
class PsfWidth:
    """Widths of a kernel in pixels, down the rows (vertical) and along the columns (horizontal).

    rms is the root of the second central moment. With negative lobes that moment may be negative: rms is NaN then.
    fwhm is the full width at half maximum of the kernel's profile (the largest value across the other axis), between
    the outermost crossings, found by linear interpolation; the kernel counts as zero beyond its edge.
    """

    rms_rows: float
    rms_cols: float
    fwhm_rows: float
    fwhm_cols: float


def psf_width(kernel: np.ndarray) -> PsfWidth:
    """The widths of a kernel (rows, cols) in its pixels; see `PsfWidth`."""
    rows, cols = kernel.sum(axis=1), kernel.sum(axis=0)
    return PsfWidth(_rms(rows), _rms(cols), _fwhm(kernel.max(axis=1)), _fwhm(kernel.max(axis=0)))


def _rms(profile: np.ndarray) -> float:
    position = np.arange(len(profile), dtype=np.float64)
    mean = (position @ profile) / profile.sum()
    variance = ((position - mean) ** 2 @ profile) / profile.sum()
    return float(np.sqrt(variance)) if variance >= 0 else float("nan")


def _fwhm(profile: np.ndarray) -> float:
    padded = np.concatenate([[0.0], profile, [0.0]])  # the kernel is zero outside
    half = padded.max() / 2.0
    above = np.flatnonzero(padded >= half)
    first, last = above[0], above[-1]
    left = first - (padded[first] - half) / (padded[first] - padded[first - 1])
    right = last + (padded[last] - half) / (padded[last] - padded[last + 1])
    return float(right - left)
