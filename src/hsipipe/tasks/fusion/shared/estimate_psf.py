"""The point-spread function from the pair: what blur makes of the MSI the HSI as the MSI's bands would see it.

S Y = D(P * M) + noise is linear in P. First a Gaussian with a width and a shift along each axis is fitted (four
numbers), then a free kernel as that Gaussian plus a smooth deviation, by least squares. How smooth, and whether there
is a deviation at all, is chosen by blocked hold-out on LR pixels. Each MSI band has a gain and an offset of its own,
so that a small radiometric mismatch does not turn into a wrong width.

Sources: Simoes et al., "A convex formulation for hyperspectral image superresolution via subspace-based
regularization", IEEE TGRS 53(6), 2015, doi:10.1109/TGRS.2014.2375320, section IV (least squares with a smoothness
term); Yokoya, Mayumi and Iwasaki, "Cross-calibration for data fusion of EO-1/Hyperion and Terra/ASTER", IEEE JSTARS
6(2), 2013, doi:10.1109/JSTARS.2012.2208449 (a Gaussian with a shift).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from hsipipe.degrade.psf import psf_width
from hsipipe.tasks.fusion.shared.holdout import FOLDS, HoldOut, blocked_folds

MOST_NODES = 21  # of the free kernel, a side; wider kernels get a coarser net of nodes
MOST_BANDS = 8  # of the MSI, spread over its range: more add little
MOST_PIXELS = 3000  # LR pixels that the free kernel is fitted to
WIDEST = 1.25  # standard deviation of a Gaussian, in LR pixels, at most; but see
WIDEST_FINE = 4.0  # the same in HR pixels, for small ratios
REACH = 2.6  # standard deviations from the centre to the kernel's edge
SMOOTHNESS = tuple(10.0**power for power in range(-5, 4))
BETTER = 0.99  # a deviation from the Gaussian must lower the hold-out error to this part, or there is none
AGREEING = 0.98  # share of the HSI's view that a free kernel explains, for any shape to be believed; below:
LIKE_GAUSSIAN = 1.5  # its widths are at most so many times the Gaussian's
BLOCK_SIDE = 5
MOST_GAIN = 20.0  # between the two images, either way: an MSI may be in other units
LEAST_TERM = 0.02  # singular values of the kernel, over the largest


@dataclass(frozen=True)
class PsfEstimate:
    """An estimated point-spread function.

    Attributes:
        kernel: (n, n) float64, n odd, sum 1, in HR pixels; it may be negative somewhere.
        kind: "delta" (no blur but the block mean), "gaussian" or "free".
        sigma: standard deviations of the Gaussian, rows and columns, in HR pixels.
        shift: of the Gaussian, rows and columns, in HR pixels.
        error: root mean square hold-out error of the MSI's view of the HSI.
    """

    kernel: np.ndarray
    kind: str
    sigma: tuple[float, float]
    shift: tuple[float, float]
    error: float


@dataclass(frozen=True)
class _View:
    """One window: the HSI through the response (m, h, w), box means of the MSI around it, and the LR pixels used."""

    lr_msi: np.ndarray
    boxed: np.ndarray
    margin: int
    ratio: int
    rows: slice
    cols: slice

    def inner(self, images: np.ndarray) -> np.ndarray:
        return images[:, self.rows, self.cols]


def estimate_psf(
    windows: Sequence[tuple[np.ndarray, np.ndarray]], *, ratio: int, edge: str = "reflect", whole: bool = True
) -> PsfEstimate:
    """Estimate the kernel from windows of a pair.

    Args:
        windows: (lr_msi (m, h, w): the HSI through the MSI's response, hr_msi (m, ratio h, ratio w)) each.
        ratio: HR pixels per LR pixel.
        edge: how the MSI goes on beyond its edges, where border pixels cannot be spared.
        whole: whether the windows are whole images; beside a cut the edge is not what `edge` says.

    Returns:
        The kernel; "delta" where nothing can be learnt, as from a constant image.
    """
    reach = _widest_reach(windows, ratio)
    views = [_view(*_few_bands(lr_msi, hr_msi), ratio, reach, edge, whole) for lr_msi, hr_msi in windows]
    if _spread(views) <= 0:
        return PsfEstimate(np.ones((1, 1)), "delta", (0.0, 0.0), (0.0, 0.0), 0.0)
    sigma, shift = _fit_gaussian(views, ratio, reach)
    half = int(min(reach, max(1, np.ceil(max(REACH * s + abs(d) for s, d in zip(sigma, shift, strict=True))))))
    gaussian = _gaussian(sigma, shift, half)
    kernel, kind, error = _believed(_free_kernel(views, gaussian, half), views, gaussian)
    # A kernel that no Gaussian resembles, such as a ring or a sinc, may reach further than the Gaussian does.
    wide = min(reach, 2 * ratio)
    if wide > half:
        wider = _gaussian(sigma, shift, wide)
        other, other_kind, other_error = _believed(_free_kernel(views, wider, wide), views, wider)
        if other_kind == "free" and other_error < BETTER * error:
            kernel, kind, error = other, other_kind, other_error
    if kind == "gaussian" and max(sigma) < 0.3 and max(map(abs, shift)) < 0.1:
        kernel, kind = np.ones((1, 1)), "delta"
    return PsfEstimate(kernel, kind, sigma, shift, error)


def _believed(
    found: tuple[np.ndarray, str, float], views: Sequence[_View], gaussian: np.ndarray
) -> tuple[np.ndarray, str, float]:
    """A free kernel, or the Gaussian where it is not to be believed.

    Where the images differ otherwise than by a blur (other light, other camera curve, a shift that varies), a free
    kernel bends to explain that too: then it must at least be about as wide as the Gaussian.
    """
    kernel, kind, error = found
    if kind != "free":
        return found
    variance = np.mean([view.inner(view.lr_msi).var(axis=(1, 2)).mean() for view in views])
    if 1 - error**2 / max(float(variance), 1e-300) >= AGREEING:
        return found
    width, usual = psf_width(kernel), psf_width(gaussian)
    pairs = ((width.rms_rows, usual.rms_rows), (width.rms_cols, usual.rms_cols))
    if all(np.isfinite(own) and own <= LIKE_GAUSSIAN * other for own, other in pairs):
        return found
    return gaussian, "gaussian", error


def _widest(ratio: int) -> float:
    return max(WIDEST * ratio, WIDEST_FINE)


def _widest_reach(windows: Sequence[tuple[np.ndarray, np.ndarray]], ratio: int) -> int:
    smallest = min(min(hr_msi.shape[1:]) for _, hr_msi in windows)
    return max(1, min(int(np.ceil(REACH * _widest(ratio))) + 1, (smallest - 1) // 2))


def _few_bands(lr_msi: np.ndarray, hr_msi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    picked = np.unique(np.linspace(0, len(lr_msi) - 1, min(len(lr_msi), MOST_BANDS)).round().astype(int))
    return lr_msi[picked].astype(np.float64), hr_msi[picked].astype(np.float32)


def _view(lr_msi: np.ndarray, hr_msi: np.ndarray, ratio: int, reach: int, edge: str, whole: bool) -> _View:
    around = ((0, 0), (reach, reach), (reach, reach))
    lost = edge == "zero" and whole
    wide = np.pad(hr_msi.astype(np.float64), around, mode="constant" if lost else "symmetric")
    total = np.pad(wide, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    box = total[:, ratio:, ratio:] - total[:, :-ratio, ratio:] - total[:, ratio:, :-ratio] + total[:, :-ratio, :-ratio]
    spare = -(-reach // ratio)
    slices = []
    for size in lr_msi.shape[1:]:
        # Border pixels hang on what lies outside; they are used where there would be too few others.
        cut = spare if size >= 4 * spare else (0 if whole else min(spare, max(0, (size - 3) // 2)))
        slices.append(slice(cut, size - cut))
    return _View(lr_msi, box / ratio**2, reach, ratio, *slices)


def _spread(views: Sequence[_View]) -> float:
    return max(float(view.inner(view.lr_msi).std(axis=(1, 2)).max()) for view in views)


def _gaussian(sigma: Sequence[float], shift: Sequence[float], half: int) -> np.ndarray:
    profiles = [_profile(s, d, half) for s, d in zip(sigma, shift, strict=True)]
    return np.outer(*profiles)


def _profile(sigma: float, shift: float, half: int) -> np.ndarray:
    profile = np.exp(-0.5 * ((np.arange(-half, half + 1) - shift) / max(sigma, 0.05)) ** 2)
    total = profile.sum()
    if total < 1e-12:  # narrower than the way to the next pixel: that pixel
        profile = np.zeros(2 * half + 1)
        profile[half + int(np.clip(round(shift), -half, half))] = total = 1.0
    return profile / total


def _fit_gaussian(views: Sequence[_View], ratio: int, reach: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Width and shift along each axis, from several first widths; gains and offsets are eliminated."""

    def residual(numbers: np.ndarray) -> np.ndarray:
        profiles = [_profile(numbers[axis], numbers[2 + axis], reach) for axis in (0, 1)]
        seen = [_separable(view, *profiles) for view in views]
        return np.concatenate([part.ravel() for part in _without_gain(views, seen)])

    limit = _widest(ratio)
    most = min(1.5 * ratio, 0.8 * reach)
    low, high = [0.05, 0.05, -most, -most], [limit, limit, most, most]
    starts = [np.array([first * ratio, first * ratio, 0.0, 0.0]) for first in (0.2, 0.5, 0.9)]
    scale = [ratio / 4] * 4
    fits = [
        least_squares(residual, start, bounds=(low, high), x_scale=scale, max_nfev=25, xtol=1e-4) for start in starts
    ]
    best = min(fits, key=lambda found: found.cost)
    rows, cols, down, along = (float(number) for number in best.x)
    return (rows, cols), (down, along)


def _separable(view: _View, down: np.ndarray, along: np.ndarray) -> np.ndarray:
    """D(P * M) at the used LR pixels for P = outer(down, along)."""
    matrices = []
    for profile, used, size in ((down, view.rows, view.boxed.shape[1]), (along, view.cols, view.boxed.shape[2])):
        places = np.arange(used.start, used.stop)
        matrix = np.zeros((len(places), size))
        for tap, value in enumerate(profile[::-1]):
            matrix[np.arange(len(places)), places * view.ratio + tap] += value
        matrices.append(matrix)
    return matrices[0] @ view.boxed @ matrices[1].T


def _gains(views: Sequence[_View], seen: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset of each band that bring `seen` to the views; the gain positive, within a factor of 20."""
    targets = np.concatenate([view.inner(view.lr_msi).reshape(len(view.lr_msi), -1) for view in views], axis=1)
    inputs = np.concatenate([part.reshape(len(part), -1) for part in seen], axis=1)
    mean_in, mean_out = inputs.mean(1), targets.mean(1)
    variance = np.mean((inputs - mean_in[:, None]) ** 2, axis=1)
    mixed = np.mean((inputs - mean_in[:, None]) * (targets - mean_out[:, None]), axis=1)
    gain = np.clip(np.where(variance > 0, mixed / np.maximum(variance, 1e-300), 1.0), 1 / MOST_GAIN, MOST_GAIN)
    return gain, mean_out - gain * mean_in


def _without_gain(views: Sequence[_View], seen: Sequence[np.ndarray]) -> list[np.ndarray]:
    gain, offset = _gains(views, seen)
    pairs = zip(views, seen, strict=True)
    return [view.inner(view.lr_msi) - gain[:, None, None] * part - offset[:, None, None] for view, part in pairs]


def _free_kernel(views: Sequence[_View], gaussian: np.ndarray, half: int) -> tuple[np.ndarray, str, float]:
    """The Gaussian plus the smooth deviation that hold-out blocks want: kernel, kind, hold-out error."""
    nodes = _nodes(half)
    net = np.kron(nodes, nodes)  # kernel = net @ node values
    seen = [_apply_kernel(view, gaussian) for view in views]
    gain, _ = _gains(views, seen)
    left = _without_gain(views, seen)
    band_weight = 1 / np.sqrt(np.mean([np.mean(part**2, axis=(1, 2)) for part in left], axis=0) + 1e-30)
    count = net.shape[1]
    gram, cross, square = np.zeros((FOLDS, count, count)), np.zeros((FOLDS, count)), np.zeros(FOLDS)
    plain, samples = 0.0, 0
    for view, rest in zip(views, left, strict=True):
        step = max(1, int(np.ceil(np.sqrt(rest[0].size * len(views) / MOST_PIXELS))))
        for block in blocked_folds(*rest.shape[1:], side=BLOCK_SIDE):
            inputs, outputs = _equations(view, rest, block, step, half, net, gain, band_weight)
            gram[block.fold] += inputs.T @ inputs
            cross[block.fold] += inputs.T @ outputs
            square[block.fold] += outputs @ outputs
        plain += float(np.sum(rest**2))
        samples += rest.size
    total, aim = gram.sum(0), cross.sum(0)
    rough = _roughness(nodes.shape[1])
    scale = np.trace(total) / max(np.trace(rough), 1e-300)
    best, chosen = square.sum() * BETTER, None
    if samples > 8 and np.isfinite(scale) and scale > 0:
        for smoothness in SMOOTHNESS:
            ridge = smoothness * scale * rough
            error = 0.0
            for fold in np.flatnonzero(square):
                weights = np.linalg.solve(total - gram[fold] + ridge, aim - cross[fold])
                error += square[fold] - 2 * cross[fold] @ weights + weights @ gram[fold] @ weights
            if error < best:
                best, chosen = error, np.linalg.solve(total + ridge, aim)
    root = np.sqrt(plain / max(samples, 1))
    if chosen is None:
        return gaussian, "gaussian", float(root)
    kernel = gaussian + (net @ chosen).reshape(gaussian.shape)
    kernel = _of_low_rank(kernel)
    if kernel.sum() < 0.05 * np.abs(kernel).sum():
        return gaussian, "gaussian", float(root)
    return kernel / kernel.sum(), "free", float(root * np.sqrt(max(best, 0) / square.sum()))


def _of_low_rank(kernel: np.ndarray) -> np.ndarray:
    """Without the separable terms that are mostly the estimate's noise; each one kept costs a blur."""
    left, values, right = np.linalg.svd(kernel)
    kept = max(1, int((values >= LEAST_TERM * values[0]).sum()))
    return (left[:, :kept] * values[:kept]) @ right[:kept]


def _nodes(half: int) -> np.ndarray:
    """(2 half + 1, k): linear interpolation between k evenly spaced nodes along an axis."""
    size = 2 * half + 1
    count = min(size, MOST_NODES)
    places, knots = np.arange(size), np.linspace(0, size - 1, count)
    return np.stack([np.interp(places, knots, row) for row in np.eye(count)], axis=1)


def _roughness(count: int) -> np.ndarray:
    """Penalty on second differences of a (count, count) net, which goes on as zero outside, and a little on size."""
    second = 2 * np.eye(count) - np.eye(count, k=1) - np.eye(count, k=-1)
    plane = np.kron(second, np.eye(count)) + np.kron(np.eye(count), second)
    return plane.T @ plane + 1e-3 * np.eye(count**2)


def _offsets(view: _View, half: int) -> range:
    """Where in the padded box means the kernel's taps read, first tap first, for LR pixel 0."""
    return range(view.margin - half, view.margin + half + 1)


def _apply_kernel(view: _View, kernel: np.ndarray) -> np.ndarray:
    half = len(kernel) // 2
    rows, cols = (np.arange(used.start, used.stop) * view.ratio for used in (view.rows, view.cols))
    left, values, right = np.linalg.svd(kernel[::-1, ::-1])
    result = np.zeros((len(view.boxed), len(rows), len(cols)))
    places = np.asarray(_offsets(view, half))
    for term in np.flatnonzero(values > 1e-10 * values[0]):
        down = np.zeros((len(rows), view.boxed.shape[1]))
        along = np.zeros((len(cols), view.boxed.shape[2]))
        for tap, place in enumerate(places):
            down[np.arange(len(rows)), rows + place] += left[tap, term] * values[term]
            along[np.arange(len(cols)), cols + place] += right[term, tap]
        result += down @ view.boxed @ along.T
    return result


def _equations(
    view: _View,
    rest: np.ndarray,
    block: HoldOut,
    step: int,
    half: int,
    net: np.ndarray,
    gain: np.ndarray,
    band_weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the least-squares problem for the deviation's nodes, from a block's pixels, all bands."""
    rows = np.arange(block.rows.start, block.rows.stop, step)
    cols = np.arange(block.cols.start, block.cols.stop, step)
    top, left = (rows + view.rows.start) * view.ratio, (cols + view.cols.start) * view.ratio
    taps = np.asarray(_offsets(view, half))
    down, along = top[:, None] + taps, left[:, None] + taps
    # (band, row, col, tap down, tap along); the kernel turns about its centre, as it is convolved.
    patches = view.boxed[:, down[:, None, :, None], along[None, :, None, :]][..., ::-1, ::-1]
    bands = len(patches)
    inputs = patches.reshape(bands, len(rows) * len(cols), -1) @ net
    inputs *= (gain * band_weight)[:, None, None]
    outputs = rest[:, rows[:, None], cols] * band_weight[:, None, None]
    return inputs.reshape(-1, net.shape[1]), outputs.ravel()
