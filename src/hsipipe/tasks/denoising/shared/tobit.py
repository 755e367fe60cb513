"""Estimates from clipped samples of spectra that lie near a subspace, under column offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.clipping import below, clipped_moments, score_and_information
from hsipipe.tasks.denoising.shared.noise_level import smoothed_moments

CHUNK = 1 << 17  # samples at a time: small enough for the cache, large enough for the vector units


@dataclass
class Samples:
    """Clipped samples and what is known of their noise: cube (C, H, W); level, lower, upper (C,)."""

    cube: Tensor
    level: Tensor
    lower: Tensor
    upper: Tensor

    def rows(self) -> Iterator[slice]:
        """Slices of rows that hold about CHUNK samples each, at least two rows."""
        bands, height, width = self.cube.shape
        step = max(2, CHUNK // (bands * width))
        for start in range(0, height, step):
            yield slice(start, min(start + step, height))

    def linearised(self, mean: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """Score and information of some rows at the given means (C, rows, W), in units of the noise level."""
        level, lower, upper = (value[:, None, None] for value in (self.level, self.lower, self.upper))
        return score_and_information(self.cube[:, rows], mean, level, lower, upper)


def column_offsets(samples: Samples, clean: Tensor, offsets: Tensor, entries: Tensor, *, steps: int) -> Tensor:
    """Offsets under which clean columns, clipped, have the means that were seen (Newton's method).

    Solves mean over rows of E clip(x + o + s N) = column mean for each striped entry (band, column).

    Args:
        clean: (C, H, W) estimate of the scene.
        offsets: (C, W) start.
        entries: (C, W) bool, where there are stripes.
        steps: Newton steps, each at most one noise level long.
    """
    chosen = entries.any(0).nonzero()[:, 0]
    result = offsets.clone()
    size = max(1, CHUNK // clean[0].numel())
    for part in torch.arange(len(clean), device=clean.device).split(size):
        level, lower, upper = (value[part, None, None] for value in (samples.level, samples.lower, samples.upper))
        scene = clean[part][:, :, chosen]
        seen = samples.cube[part][:, :, chosen].mean(1)
        value = offsets[part][:, chosen]
        for _ in range(steps):
            mean = scene + value[:, None]
            expected, _ = clipped_moments(mean, level, lower, upper)
            inside = below((upper - mean) / level) - below((lower - mean) / level)
            step = (seen - expected.mean(1)) / inside.mean(1).clamp_min(0.05)
            value = value + step.clamp(-level[:, 0], level[:, 0])
        result[part[:, None], chosen] = value
    return torch.where(entries, result, offsets)


def completed_moments(
    samples: Samples, clean: Tensor, offsets: Tensor, centre: Tensor, columns: Tensor
) -> tuple[Tensor, float]:
    """Smoothed second moments (C, C) of whitened spectra in which clipped samples are replaced by their expectation.

    x + s * score is E[z | y] of the sample before clipping, less the offset: the E-step of the Tobit model. The
    noise of these is the information, 1 where nothing is clipped.

    Args:
        columns: (W,) bool, the columns to use.

    Returns:
        the moments per pixel, in double precision, and the mean information.
    """
    moments = clean.new_zeros(len(clean), len(clean), dtype=torch.float64)
    total, height, held = 0.0, clean.shape[1], None
    for rows in samples.rows():
        score, information = samples.linearised(clean[:, rows] + offsets[:, None], rows)
        total += float(information[:, :, columns].sum())
        whitened = (clean[:, rows] - centre[:, None, None]) / samples.level[:, None, None] + score
        # the last row of a chunk waits for the next one, the row before it is kept as its neighbour
        held = whitened if held is None else torch.cat([held, whitened], 1)
        first, last = int(rows.start > 0), held.shape[1] - int(rows.stop < height)
        moments += smoothed_moments(held, columns, rows=slice(first, last))
        held = held[:, -2:].clone()
    pixels = clean.shape[1] * int(columns.sum())
    return moments / pixels, total / (pixels * len(clean))


def weighted_coefficients(
    samples: Samples, clean: Tensor, offsets: Tensor, centre: Tensor, axes: Tensor
) -> tuple[Tensor, Tensor]:
    """Subspace coefficients of every pixel by one step of Fisher scoring, and their variances.

    With whitened axes V, score g and information I at the current estimate, the working response is
    z = (x - centre) / s + g / I, and the coefficients are (V'IV)^-1 V'I z, of covariance (V'IV)^-1.

    Args:
        clean: (C, H, W) current estimate; offsets: (C, W); centre: (C,); axes: (C, K).

    Returns:
        coefficients and variances, each (K, H, W).
    """
    rank = axes.shape[1]
    upper = torch.triu_indices(rank, rank, device=clean.device)
    products = (axes[:, upper[0]] * axes[:, upper[1]]).T.contiguous()
    coefficients = clean.new_empty(rank, *clean.shape[1:])
    variances = torch.empty_like(coefficients)
    for rows in samples.rows():
        score, information = samples.linearised(clean[:, rows] + offsets[:, None], rows)
        whitened = (clean[:, rows] - centre[:, None, None]) / samples.level[:, None, None]
        response = whitened.mul_(information).add_(score).flatten(1)
        normal = (products @ information.flatten(1)).T
        matrix = normal.new_empty(len(normal), rank, rank)
        matrix[:, upper[0], upper[1]] = matrix[:, upper[1], upper[0]] = normal
        matrix.diagonal(dim1=1, dim2=2).add_(1e-3)  # a pixel of which nothing was seen is drawn to the centre
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
        solution = inverse @ (axes.T @ response).T[..., None]
        coefficients[:, rows] = solution[..., 0].T.view(rank, *score.shape[1:])
        variances[:, rows] = inverse.diagonal(dim1=1, dim2=2).T.view(rank, *score.shape[1:])
    return coefficients, variances
