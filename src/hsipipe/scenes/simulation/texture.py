"""Fractal random fields and the light that a fractal terrain takes."""

from __future__ import annotations

import numpy as np
from scipy import fft


def fractal_field(
    shape: tuple[int, int], generator: np.random.Generator, *, exponent: float, outer_scale: float
) -> np.ndarray:
    """A random field of mean 0 and standard deviation 1 with a power-law spectrum, by spectral synthesis.

    White noise is filtered so that its power falls as (k^2 + k0^2)^(-exponent/2), k0 = 1/outer_scale: self-similar
    below the outer scale, uncorrelated above it, so that a larger scene has more regions, not larger ones. Synthesis:
    Saupe, in Peitgen and Saupe (eds), "The Science of Fractal Images", Springer 1988, section 2.5; the outer scale is
    that of von Karman's spectrum. The field is cut from a larger torus and does not repeat at its edges.

    Args:
        shape: (rows, cols).
        generator: source of the white noise.
        exponent: slope of the power spectrum, 2..4; larger is smoother.
        outer_scale: in pixels.

    Returns:
        (rows, cols) float32.
    """
    margin = int(min(2 * outer_scale, max(shape))) + 8
    size = [fft.next_fast_len(length + margin, real=True) for length in shape]
    noise = generator.standard_normal(size, dtype=np.float32)
    frequency = np.hypot(fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None, :])
    gain = (frequency**2 + outer_scale**-2.0) ** (-exponent / 4)
    gain[0, 0] = 0
    field = fft.irfft2(fft.rfft2(noise) * gain.astype(np.float32), s=size)[: shape[0], : shape[1]]
    return ((field - field.mean()) / max(float(field.std()), 1e-12)).astype(np.float32)


def fractal_line(length: int, generator: np.random.Generator, *, outer_scale: float) -> np.ndarray:
    """A smooth random curve of standard deviation 1 along one axis: (length,), slope of the power spectrum 6."""
    size = fft.next_fast_len(length + int(2 * outer_scale) + 8, real=True)
    gain = (fft.rfftfreq(size) ** 2 + outer_scale**-2.0) ** -1.5
    gain[0] = 0
    line = fft.irfft(fft.rfft(generator.standard_normal(size)) * gain, n=size)
    return ((line - line.mean()) / max(float(line.std()), 1e-12))[:length]


def relative_sunlight(
    elevation: np.ndarray, *, slope_deg: float, sun_zenith_deg: float, sun_azimuth_deg: float
) -> np.ndarray:
    """Direct sunlight on sloping ground relative to level ground: (rows, cols), about 1, never below 0.

    The cosine of the angle between the sun and the ground's normal over that of the sun's zenith angle (Teillet,
    Guindon and Goodenough, "On the slope-aspect correction of multispectral scanner data", Can. J. Remote Sens. 8
    (1982) 84).

    Args:
        elevation: (rows, cols), any unit; scaled so that the root mean square slope is `slope_deg`.
        slope_deg: root mean square slope of the ground.
        sun_zenith_deg, sun_azimuth_deg: azimuth clockwise from the top of the image.
    """
    to_rows, to_cols = np.gradient(elevation.astype(float))
    steepness = np.sqrt(np.mean(to_rows**2 + to_cols**2))
    scale = np.tan(np.deg2rad(slope_deg)) / steepness if steepness > 0 else 0.0
    down, right = to_rows * scale, to_cols * scale
    zenith, azimuth = np.deg2rad(sun_zenith_deg), np.deg2rad(sun_azimuth_deg)
    # The normal of z(row, col) is (-dz/dcol, dz/drow, 1) in (east, north, up), as rows run south.
    toward = np.cos(zenith) + np.sin(zenith) * (-right * np.sin(azimuth) + down * np.cos(azimuth))
    cosine = toward / np.sqrt(1 + down**2 + right**2)
    return np.maximum(cosine, 0) / np.cos(zenith)
