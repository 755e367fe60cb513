"""What the start misses: the deviation that both images and a smooth random field together make most probable.

The cube is mean + E (A0 + D), with A0 the start and D (K, H, W) the deviation, in coefficients whose noise in the HSI
is white with variance 1. D minimises

    sum_k |(B D - (A - B A0))_k|^2 / n_k  +  |(S E D - (M - S X0)) / s_m|^2
                                          +  sum_k (|D_k|^2 + length^2 |grad D_k|^2) / v_k

with B the blur and decimation, and n_k = 1 unless the two images differ otherwise than by blur and response.
The prior is a random field with the power v / (1 + length^2 w^2) at frequency w: the error of a regression on the MSI's
bands is alike in neighbours, as they are of one material. v, n and the length are those under which the hold-out
residuals of the start have the power spectrum that they have (Whittle's likelihood).

Sources: Wei, Dobigeon and Tourneret, "Bayesian fusion of multi-band images", IEEE JSTSP 9(6), 2015,
doi:10.1109/JSTSP.2015.2407855; Simoes et al., "A convex formulation for hyperspectral image superresolution via
subspace-based regularization", IEEE TGRS 53(6), 2015, doi:10.1109/TGRS.2014.2375320; Whittle, "Estimation and
information in stationary time series", Arkiv for Matematik 2, 1953, doi:10.1007/BF02590998; Hestenes and Stiefel,
"Methods of conjugate gradients for solving linear systems", J. Research NBS 49(6), 1952, doi:10.6028/jres.049.044.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn

from hsipipe.degrade.blur import Blur

LENGTHS = tuple(2.0**power for power in range(-2, 6))  # of the prior, in LR pixels
VARIANCES = tuple(10.0 ** (power / 3) for power in range(-9, 19))  # in units of the HSI's noise
FLOORS = (1.0, 16.0, 256.0, 4096.0)  # of a component's white noise, in the same units
SHRINK = 0.5  # of the variance: fits without a fold err more than the one with all of them
WORTHWHILE = 0.02  # least gain per pixel and component, as a part of the noise, that a component is refined for
CUT_MISFIT = 50.0  # median square misfit along a side, over the interior's, that betrays a cut
MOST_ITERATIONS = 60
TOLERANCE = 5e-3


@dataclass(frozen=True)
class Prior:
    """The deviation's random field.

    Attributes:
        rotation: (K, J) orthonormal: the components in which the deviation is refined, others stay at the start.
        variance: (J,) v, in units of the HSI's noise variance; noise: (J,) what is white in the misfit, in the same
            units: above 1 where the two images differ otherwise than by blur and response.
        length: of correlation, in HR pixels.
    """

    rotation: np.ndarray
    variance: np.ndarray
    noise: np.ndarray
    length: float


def fit_prior(residuals: Sequence[np.ndarray], psf: np.ndarray | None, ratio: int) -> Prior:
    """The random field whose blurred view, plus white noise of variance 1, has the residuals' power spectrum.

    Args:
        residuals: (K, h, w) images of hold-out residuals, noise of variance 1.
        psf: (n, n) or None.
        ratio: HR pixels per LR pixel.

    Returns:
        Components without a variance above the noise are left out; there may be none left.
    """
    rank = len(residuals[0])
    count = sum(image[0].size for image in residuals)
    flat = np.concatenate([image.reshape(rank, -1) for image in residuals], axis=1).astype(np.float64)
    rotation = np.linalg.eigh(flat @ flat.T / count)[1][:, ::-1]
    powers, transfers, frequencies = [], [], []
    for image in residuals:
        turned = np.tensordot(rotation.T, image.astype(np.float64), 1)
        powers.append((dctn(turned, axes=(1, 2), norm="ortho") ** 2).reshape(rank, -1))
        shape = image.shape[1:]
        transfers.append(transfer_power(psf, ratio, shape).ravel())
        square = np.add.outer((np.arange(shape[0]) / shape[0]) ** 2, (np.arange(shape[1]) / shape[1]) ** 2)
        frequencies.append(square.ravel() * (np.pi / ratio) ** 2)
    power, transfer, frequency = (np.concatenate(part, axis=-1) for part in (powers, transfers, frequencies))
    floors, variances = (part.ravel() for part in np.meshgrid(FLOORS, VARIANCES))
    least, best, chosen = np.inf, np.zeros(rank, int), 0.0
    for lr_length in LENGTHS:
        length = lr_length * ratio
        expected = floors[:, None] + variances[:, None] * (transfer / (1 + length**2 * frequency))
        cost = np.log(expected).sum(1) + power @ (1 / expected).T
        if cost.min(1).sum() < least:
            least, best, chosen = cost.min(1).sum(), cost.argmin(1), length
    variance, noise = variances[best], floors[best]
    signal = variance / noise * float(np.mean(transfer / (1 + chosen**2 * frequency)))
    kept = signal > WORTHWHILE
    return Prior(rotation[:, kept], SHRINK * variance[kept], noise[kept], chosen)


def transfer_power(psf: np.ndarray | None, ratio: int, shape: tuple[int, int]) -> np.ndarray:
    """The power that white noise of variance 1 on the HR grid has after blur and block mean, over LR frequencies.

    Args:
        psf: (n, n) or None.
        ratio: HR pixels per LR pixel.
        shape: (h, w) of the LR image; entry (i, j) is for the cosines with i and j half periods.

    Returns:
        (h, w), by the aliases of each frequency: sum |P(w) box(w)|^2 / ratio^2.
    """
    kernel = np.ones((1, 1)) if psf is None else psf
    box = np.ones(ratio) / ratio
    wide = np.apply_along_axis(np.convolve, 0, np.apply_along_axis(np.convolve, 1, kernel, box), box)
    places = np.arange(len(wide))
    left, right = (
        [
            np.exp(-1j * np.outer((np.pi * np.arange(size) / size + 2 * np.pi * alias) / ratio, places))
            for alias in range(ratio)
        ]
        for size in shape
    )
    power = np.zeros(shape)
    for rows in left:
        down = rows @ wide
        for cols in right:
            power += np.abs(down @ cols.T) ** 2
    return power / ratio**2


@dataclass(frozen=True)
class Refined:
    """The deviation (J, H, W) in the prior's components, and how it was reached."""

    deviation: np.ndarray
    iterations: int
    residual: float


def refine(
    misfit: np.ndarray,
    blur: Blur,
    prior: Prior,
    *,
    used: np.ndarray | None = None,
    response: np.ndarray | None = None,
    msi_misfit: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    most_iterations: int = MOST_ITERATIONS,
) -> Refined:
    """Minimise the three terms above by conjugate gradients.

    Args:
        misfit: (J, h, w): A - B A0 in the prior's components.
        blur: B.
        prior: of `fit_prior`.
        used: (h, w) bool, the LR pixels that count; None: all.
        response: (m, J), S E over s_m: the MSI's view of a component in units of its noise; None: no such term.
        msi_misfit: (m, H, W), (M - S X0) over s_m.
        tolerance: stops when the preconditioned residual's norm has fallen to this part of its first.
        most_iterations: at most.
    """
    mask = (1 / prior.noise).astype(np.float32)[:, None, None]
    if used is not None:
        mask = mask * used.astype(np.float32)
    goal = blur.adjoint(misfit * mask)
    inverse = (1 / prior.variance).astype(np.float32)
    curvature = inverse * np.float32(prior.length**2)
    weight = None
    if response is not None and msi_misfit is not None:
        weight = (response.T @ response).astype(np.float32)
        goal += np.tensordot(response.T.astype(np.float32), msi_misfit, 1)

    def normal(images: np.ndarray) -> np.ndarray:
        result = blur.adjoint(blur.forward(images) * mask)
        result += inverse[:, None, None] * images
        _add_laplacian(result, images, curvature)
        if weight is not None:
            result += np.tensordot(weight, images, 1)
        return result

    precondition = _preconditioner(blur, prior, weight)
    return conjugate_gradients(normal, goal, precondition, tolerance=tolerance, most_iterations=most_iterations)


def trusted(misfit: np.ndarray, reach: int) -> np.ndarray:
    """LR pixels whose misfit is not made by what lies beyond a cut.

    Beside the cut of a block the scene goes on otherwise than `edge` says, and the misfit is large all along that side.
    Such a side is left out as deep as the blur reaches.

    Args:
        misfit: (J, h, w).
        reach: LR pixels that the blur reaches.

    Returns:
        (h, w) bool; all True where no pixel is beyond the reach of every border.
    """
    size = np.sum(misfit**2, axis=0)
    used = np.ones(size.shape, bool)
    inner = size[reach : size.shape[0] - reach, reach : size.shape[1] - reach]
    if reach and inner.size:
        usual = CUT_MISFIT * float(np.median(inner))
        edges = ((size, used), (size[::-1], used[::-1]), (size.T, used.T), (size.T[::-1], used.T[::-1]))
        for image, mask in edges:
            if float(np.median(image[0])) > usual:
                mask[:reach] = False
    return used


def _add_laplacian(result: np.ndarray, images: np.ndarray, weight: np.ndarray) -> None:
    """result += weight * G^T G images, with G the differences of neighbours; no difference across the border."""
    for axis in (1, 2):
        ahead, behind = (slice(None),) * axis + (slice(1, None),), (slice(None),) * axis + (slice(None, -1),)
        step = (images[ahead] - images[behind]) * weight[:, None, None]
        result[ahead] += step
        result[behind] -= step


def _preconditioner(blur: Blur, prior: Prior, weight: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    diagonal = float(blur.normal_diagonal.mean()) / prior.noise + (1 + 4 * prior.length**2) / prior.variance
    if weight is None:
        factor = (1 / diagonal).astype(np.float32)[:, None, None]
        return lambda images: factor * images
    inverse = np.linalg.inv(np.diag(diagonal) + weight).astype(np.float32)
    return lambda images: np.tensordot(inverse, images, 1)


def conjugate_gradients(
    normal: Callable[[np.ndarray], np.ndarray],
    goal: np.ndarray,
    precondition: Callable[[np.ndarray], np.ndarray],
    *,
    tolerance: float,
    most_iterations: int,
) -> Refined:
    """Solve normal(x) = goal from 0, for a symmetric positive definite operator on images (J, H, W)."""
    solution, residual = np.zeros_like(goal), goal.copy()
    search = precondition(residual)
    energy = first = _dot(residual, search)
    iterations = 0
    while iterations < most_iterations and energy > max(tolerance**2 * first, 0):
        image = normal(search)
        curvature = _dot(search, image)
        if curvature <= 0:
            break
        step = np.float32(energy / curvature)
        solution += step * search
        residual -= step * image
        new = precondition(residual)
        before, energy = energy, _dot(residual, new)
        search *= np.float32(energy / before)
        search += new
        iterations += 1
    return Refined(solution, iterations, float(np.sqrt(max(energy, 0) / first)) if first > 0 else 0.0)


def _dot(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.einsum("kij,kij->k", left, right).sum(dtype=np.float64))
