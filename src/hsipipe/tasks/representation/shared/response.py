"""Which share of the red, green and blue of an ordinary photograph each band of a sensor stands for.

Networks pretrained on photographs have a first layer with three input channels. A matrix (bands, 3) says how its
filters are spread over the bands of another sensor: the filter of band c is the sum over k of matrix[c, k] times the
filter of channel k. Where every column of the matrix has a sum of 1, a grey image, which is the same in all bands, gets
exactly the response that a grey photograph gets from the original layer.
"""

from __future__ import annotations

import numpy as np

# Centres and standard deviation of the sensitivities of a three-colour camera, nm, in the order red, green, blue.
CENTRES_NM = (610.0, 540.0, 460.0)
DEVIATION_NM = 30.0
# Below this share of its maximum a sensitivity says nothing: far from the visible all three weights become equal.
FLOOR = 0.01


def tiled(bands: int) -> np.ndarray:
    """The rule of timm's `in_chans`: channels in turn, scaled by 3 / bands; a single band has the sum of all three.

    Band k gets the filter of channel k mod 3, whatever its wavelength. Columns have a sum of 1 only where `bands` is
    1 or a multiple of 3; the sum of the matrix is 3 always.

    Args:
        bands: how many, at least 1.

    Returns:
        (bands, 3) float64.
    """
    if bands == 1:
        return np.ones((1, 3))
    if bands == 3:
        return np.eye(3)
    matrix = np.zeros((bands, 3))
    matrix[np.arange(bands), np.arange(bands) % 3] = 3 / bands
    return matrix


def by_wavelength(wavelength_nm: np.ndarray) -> np.ndarray:
    """Each band's mixture of red, green and blue by its wavelength; outside the visible, their mean.

    The sensitivities are Gaussian; a band's three weights are first scaled to a sum of 1, then those of each channel
    over all bands to a sum of 1, so that any grey keeps its response.

    Args:
        wavelength_nm: (bands,) band centres in nm, any order.

    Returns:
        (bands, 3) float64, nothing negative, columns with a sum of 1.
    """
    distance = (np.asarray(wavelength_nm, np.float64)[:, None] - np.asarray(CENTRES_NM)) / DEVIATION_NM
    weights = np.exp(-(distance**2) / 2) + FLOOR
    weights /= weights.sum(axis=1, keepdims=True)
    return weights / weights.sum(axis=0, keepdims=True)
