"""A sample of the spectra of an image, for statistics that need no more."""

from __future__ import annotations

import numpy as np

from hsipipe.randomness import generator_for

SPECTRA = 20_000  # enough for means, covariances and rankings of some hundred bands


def sample_spectra(cube: np.ndarray, valid: np.ndarray, count: int, *seed_parts: object) -> np.ndarray:
    """Draw spectra of valid pixels, without repetition, in the order of the image.

    Args:
        cube: (bands, rows, cols), any real type.
        valid: (rows, cols) bool, the pixels to draw from.
        count: how many at most; all valid ones if there are no more.
        seed_parts: name the draw, as in `generator_for`.

    Returns:
        (N, bands) float32 in the units of the cube, N = min(count, valid pixels).
    """
    pixels = np.flatnonzero(valid)
    if len(pixels) > count:
        pixels = pixels[np.sort(generator_for(*seed_parts).permutation(len(pixels))[:count])]
    return cube.reshape(len(cube), -1)[:, pixels].T.astype(np.float32)
