"""Spectral response and blur estimated from the pair itself, as quadratic problems.

Source: Simões, Bioucas-Dias, Almeida and Chanussot, "A convex formulation for hyperspectral image superresolution via
subspace-based regularization", IEEE TGRS 53(6), 2015, doi:10.1109/TGRS.2014.2375320, section IV.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.linalg import cho_factor, cho_solve
from scipy.ndimage import gaussian_filter, uniform_filter

from hsipipe.degrade.blur import Blur, block_mean

EQUATIONS = 2048


def strongly_blurred(images: np.ndarray) -> np.ndarray:
    """Images (bands, h, w) so smooth that an HSI's own blur makes no great difference any more: float64."""
    spread = min(2.0, min(images.shape[1:]) / 6)
    return gaussian_filter(images.astype(np.float64), (0, spread, spread), mode="reflect")


def estimate_response(hsi: np.ndarray, msi: np.ndarray, *, smoothness: float) -> np.ndarray:
    """The response that takes the HSI to the MSI, both at the HSI's resolution and equally blurred.

    Args:
        hsi: (C, h, w).
        msi: (m, h, w).
        smoothness: weight of the squared differences of neighbouring bands' responses, relative to the mean power of a
            band; above 0.

    Returns:
        (m, C) float64; rows need not sum to 1.
    """
    spectra = hsi.reshape(len(hsi), -1).astype(np.float64)
    gram = spectra @ spectra.T
    differences = np.diff(np.eye(len(gram)), axis=0)
    power = max(float(np.trace(gram)) / len(gram), 1e-300)
    # The little that is added to the diagonal only keeps a cube without light solvable.
    penalty = power * (smoothness * differences.T @ differences + 1e-9 * np.eye(len(gram)))
    return np.linalg.solve(gram + penalty, spectra @ msi.reshape(len(msi), -1).T).T


class BlurProblem:
    """The quadratic problem whose solution is the PSF that, with the block mean, takes the MSI to a coarse one.

    Args:
        hr_msi: (m, H, W).
        ratio: MSI pixels per HSI pixel.
        edge: how the MSI goes on beyond its edges, "reflect" or "zero".
        half: the PSF has 2 half + 1 pixels along each side.
        smoothness: weight of the squared differences of neighbours, relative to the MSI's mean power; above 0.
    """

    def __init__(self, hr_msi: np.ndarray, *, ratio: int, edge: str, half: int, smoothness: float) -> None:
        self.ratio, self.side = ratio, 2 * half + 1
        mode: Literal["symmetric", "constant"] = "symmetric" if edge == "reflect" else "constant"
        padded = np.pad(hr_msi.astype(np.float64), [(0, 0), (half, half), (half, half)], mode=mode)
        # Entry n is the mean of the block that begins at pixel n.
        origin = -(ratio // 2)
        self.means = uniform_filter(padded, (1, ratio, ratio), mode="nearest", origin=(0, origin, origin))
        steps = np.diff(np.eye(self.side), axis=0)
        line, eye = steps.T @ steps, np.eye(self.side)
        self.shape = (hr_msi.shape[1] // ratio, hr_msi.shape[2] // ratio)
        gram = sum(rows.T @ rows for band in range(len(hr_msi)) for _, rows in self._equations(band))
        power = max(float(np.trace(gram)) / len(gram), 1e-300)
        penalty = smoothness * (np.kron(line, eye) + np.kron(eye, line)) + 1e-9 * np.eye(len(gram))
        self.factor = cho_factor(gram + power * penalty)

    def _equations(self, band: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Runs of coarse rows with their equations: what each weight of the PSF adds to each coarse pixel."""
        windows = sliding_window_view(self.means[band], (self.side, self.side))[:: self.ratio, :: self.ratio]
        rows, cols = self.shape
        step = max(1, EQUATIONS // cols)
        for start in range(0, rows, step):
            # A convolution: the weight at offset o meets the pixel at -o.
            part = windows[start : min(start + step, rows), :cols, ::-1, ::-1]
            yield slice(start, start + step), part.reshape(-1, self.side**2)

    def solve(self, coarse: np.ndarray) -> np.ndarray:
        """The PSF.

        Args:
            coarse: (m, h, w), the coarse MSI.

        Returns:
            (2 half + 1, 2 half + 1) float64, sum 1; a single 1 in the centre where the images tell nothing.
        """
        across = np.zeros(self.side**2)
        for band in range(len(coarse)):
            for part, rows in self._equations(band):
                across += rows.T @ coarse[band, part].ravel()
        kernel = cho_solve(self.factor, across).reshape(self.side, self.side)
        if abs(kernel.sum()) < 0.1:
            kernel = np.zeros_like(kernel)
            kernel[self.side // 2, self.side // 2] = 1.0
        return kernel / kernel.sum()


def estimate_both(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None,
    srf: np.ndarray | None,
    ratio: int,
    edge: str,
    half: int,
    response_smoothness: float,
    blur_smoothness: float,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray]:
    """PSF and response, whichever is not given, from the pair.

    Args:
        lr_hsi: (C, h, w).
        hr_msi: (m, H, W).
        psf: (n, n) or None.
        srf: (m, C) or None.
        ratio: MSI pixels per HSI pixel.
        edge: how the MSI goes on beyond its edges, "reflect" or "zero".
        half: a PSF to be estimated has 2 half + 1 pixels along each side.
        response_smoothness: see `estimate_response`.
        blur_smoothness: see `BlurProblem`.
        rounds: of PSF and response in turn, where both are unknown.

    Returns:
        PSF (n, n), response (m, C), float64.
    """
    shape = hr_msi.shape[1:]

    def response(kernel: np.ndarray) -> np.ndarray:
        coarse = Blur(kernel, ratio, shape, edge=edge).forward(hr_msi)
        return estimate_response(lr_hsi, coarse, smoothness=response_smoothness)

    def seen(matrix: np.ndarray) -> np.ndarray:
        return (matrix @ lr_hsi.reshape(len(lr_hsi), -1).astype(np.float64)).reshape(len(matrix), *lr_hsi.shape[1:])

    if psf is not None:
        return np.asarray(psf, dtype=np.float64), response(psf) if srf is None else np.asarray(srf, dtype=np.float64)
    problem = BlurProblem(hr_msi, ratio=ratio, edge=edge, half=half, smoothness=blur_smoothness)
    if srf is not None:
        return problem.solve(seen(np.asarray(srf, dtype=np.float64))), np.asarray(srf, dtype=np.float64)
    matrix = estimate_response(
        strongly_blurred(lr_hsi), strongly_blurred(block_mean(hr_msi, ratio)), smoothness=response_smoothness
    )
    # Deviation: the paper ends after the first PSF; the strong blur hides the HSI's own only in part, and what it
    # leaves falls by about a third in each further round.
    for _ in range(rounds):
        kernel = problem.solve(seen(matrix))
        matrix = response(kernel)
    return kernel, matrix
