"""Candidates of the fusion's regression: their features at the HSI's resolution, their fits, their hold-out errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn

from hsipipe.degrade.blur import Blur
from hsipipe.tasks.fusion.shared.holdout import FOLDS, blocked_folds

PENALTIES = tuple(10.0 ** (power / 2) for power in range(-8, 7))
ALIKE = 1.05  # hold-out errors over the least that count as no worse
BLOCK_SIDE = 8  # LR pixels a side of a held-out block
BINS = 12  # of the radial power spectrum
CHUNK = 8192


@dataclass(frozen=True)
class Sample:
    """What the regression learns from: one window of the pair.

    Attributes:
        targets: (K, h, w) coefficients of the HSI, less the blurred mean; noise of variance 1.
        guide: (m, H, W) MSI pixels, or (m, h, w) their view at the HSI's resolution where there is no blur.
        blur: from the guide's to the targets' size; None: guide and targets have one size.
        inner: rows and columns of the targets to use, as the blur is wrong beside a cut.
    """

    targets: np.ndarray
    guide: np.ndarray
    blur: Blur | None
    inner: tuple[slice, slice] = (slice(None), slice(None))

    @property
    def inner_targets(self) -> np.ndarray:
        """The targets (K, h', w') that may be used."""
        return self.targets[(slice(None), *self.inner)]

    def lowered(self, features: np.ndarray) -> np.ndarray:
        """Features (f, H, W) of the guide, blurred like the HSI: (f, h', w')."""
        maps = features if self.blur is None else self.blur.forward(features)
        return maps[(slice(None), *self.inner)]


@dataclass(frozen=True)
class Candidate:
    """A set of features: one array (f, h', w') per sample, and each feature's share of the penalty (f,)."""

    maps: tuple[np.ndarray, ...]
    shares: np.ndarray


@dataclass(frozen=True)
class Trial:
    """A candidate at its best penalty.

    Attributes:
        penalty: chosen.
        error: weighted mean square hold-out error, for choosing; plain: the same without weights, in the cube's units.
        weights: (f, K) fitted on everything; folds: (FOLDS, f, K), each without its fold.
    """

    penalty: float
    error: float
    plain: float
    weights: np.ndarray
    folds: np.ndarray


def try_candidate(samples: Sequence[Sample], candidate: Candidate, gains: np.ndarray, spectrum: np.ndarray) -> Trial:
    """Ridge regression by generalised least squares within blocks, at the penalty with the least hold-out error.

    Args:
        samples: windows of the pair.
        candidate: its features.
        gains: (K,) what an error of 1 in a coefficient is in the cube.
        spectrum: (BINS,) power of the residuals over radial frequency, relative.
    """
    features, rank = len(candidate.shares), len(gains)
    gram, cross = np.zeros((FOLDS, features, features)), np.zeros((FOLDS, features, rank))
    square, plain = np.zeros((FOLDS, rank)), np.zeros((2, FOLDS))
    pieces = list(_pieces(samples, candidate.maps))
    for maps, targets, fold in pieces:
        weight = 1 / np.sqrt(_at_frequencies(spectrum, *targets.shape[1:]))
        inputs, outputs = (_weighted(part, weight) for part in (maps, targets))
        gram[fold] += inputs @ inputs.T
        cross[fold] += inputs @ outputs.T
        square[fold] += np.sum(outputs.astype(np.float64) ** 2, axis=1)
        plain[0, fold] += targets[0].size
    used = np.flatnonzero(plain[0])
    total, aim = gram.sum(0), cross.sum(0)
    tried = []
    for penalty in PENALTIES:
        ridge = np.diag(penalty * candidate.shares + 1e-8 * np.trace(total) / features)
        folds = np.zeros((FOLDS, features, rank))
        error = 0.0
        for fold in used:
            folds[fold] = weights = np.linalg.solve(total - gram[fold] + ridge, aim - cross[fold])
            left = square[fold] - 2 * np.sum(cross[fold] * weights, axis=0)
            left += np.sum(weights * (gram[fold] @ weights), axis=0)
            error += float(np.maximum(left, 0) @ gains**2)
        tried.append((error, penalty, folds))
    least = min(error for error, _, _ in tried)
    # Of penalties that are about as good the largest: what a rough function does between pixels, their mean conceals.
    error, penalty, folds = next(trial for trial in reversed(tried) if trial[0] <= ALIKE * least)
    ridge = np.diag(penalty * candidate.shares + 1e-8 * np.trace(total) / features)
    residual = sum(
        float(np.sum((targets - np.tensordot(folds[fold].T, maps, 1)) ** 2, axis=(1, 2)) @ gains**2)
        for maps, targets, fold in pieces
    )
    count = plain[0].sum()
    return Trial(penalty, error / count, residual / count, np.linalg.solve(total + ridge, aim), folds)


def out_of_fold(samples: Sequence[Sample], candidate: Candidate, trial: Trial) -> list[np.ndarray]:
    """What each sample's held-out blocks are predicted as by the fits without them: (K, h', w') each."""
    result = [np.empty(sample.inner_targets.shape, np.float32) for sample in samples]
    for image, maps, blocks in zip(result, candidate.maps, _blocks(samples), strict=True):
        for block in blocks:
            part = (slice(None), block.rows, block.cols)
            image[part] = np.tensordot(trial.folds[block.fold].T.astype(np.float32), maps[part], 1)
    return result


def radial_spectrum(residuals: Sequence[np.ndarray], gains: np.ndarray) -> np.ndarray:
    """Mean power of images (K, h, w) over radial frequency in BINS, summed over K by gains squared, largest 1."""
    power, count = np.zeros(BINS), np.zeros(BINS)
    for image in residuals:
        energy = np.tensordot(gains**2, _cosines(image) ** 2, 1)
        bins = np.minimum((_radius(*energy.shape) / np.sqrt(2) * BINS).astype(int), BINS - 1)
        power += np.bincount(bins.ravel(), energy.ravel(), BINS)
        count += np.bincount(bins.ravel(), minlength=BINS)
    filled = count > 0
    if power[filled].max() <= 0:
        return np.ones(BINS)
    level = power[filled] / count[filled]
    places = np.arange(BINS)
    spectrum = np.interp(places, places[filled], level)
    return np.maximum(spectrum / spectrum.max(), 1e-6)


def _blocks(samples: Sequence[Sample]) -> list[list]:
    blocks, first = [], 0
    for sample in samples:
        found = blocked_folds(*sample.inner_targets.shape[1:], side=BLOCK_SIDE, first=first)
        blocks.append(found)
        first = (found[-1].fold + 1) % FOLDS
    return blocks


def _pieces(samples: Sequence[Sample], maps: Sequence[np.ndarray]):
    for sample, features, blocks in zip(samples, maps, _blocks(samples), strict=True):
        targets = sample.inner_targets
        for block in blocks:
            part = (slice(None), block.rows, block.cols)
            yield features[part], targets[part], block.fold


def _cosines(images: np.ndarray) -> np.ndarray:
    return dctn(images.astype(np.float64), axes=(1, 2), norm="ortho")


def _weighted(images: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return (_cosines(images) * weight).reshape(len(images), -1)


def _radius(rows: int, cols: int) -> np.ndarray:
    """Radial frequency of the cosines of an image, in parts of the Nyquist rate: 0 to sqrt(2)."""
    return np.hypot.outer(np.arange(rows) / rows, np.arange(cols) / cols)


def _at_frequencies(spectrum: np.ndarray, rows: int, cols: int) -> np.ndarray:
    middles = (np.arange(BINS) + 0.5) * np.sqrt(2) / BINS
    return np.exp(np.interp(_radius(rows, cols), middles, np.log(spectrum)))
