"""Column stripes: offsets that are constant down an image column, found and removed with the help of the other bands.

A scene's spectra lie near a subspace of few dimensions; a stripe's offsets do not. What the mean spectrum of a column
has outside the subspace (whitened by the noise) tells which columns are striped, and is the larger part of the offset.
The part inside is confounded with the scene. It is estimated from robust differences between neighbouring columns,
against two variances learned from the same image: how much unstriped neighbours differ, and how strong the stripes are.
Weak stripes are therefore hardly touched inside the subspace, and an image without stripes not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hsipipe.tasks.denoising.shared.noise_level import NoiseModel, noise_model, stripe_proof_model

FEWEST_ROWS = 8
FEWEST_RESIDUAL_BANDS = 8
HIGHEST_FLOOR = 4.0  # no scene's own columns leave the subspace by more: then all columns are striped


@dataclass
class Stripes:
    """What was found.

    Attributes:
        columns: (W,) bool.
        power: (W,) mean square offset per band in units of the noise variance; 0 where there is no stripe.
        outside: (C, W) the offsets' part outside the signal subspace, in the cube's units.
        centre: (C,) mean spectrum of the unstriped columns.
    """

    columns: Tensor
    power: Tensor
    outside: Tensor
    centre: Tensor


def project_out(spectra: Tensor, axes: Tensor) -> Tensor:
    """What (C, n) whitened spectra have outside the span of the (C, K) orthonormal axes."""
    return spectra - axes @ (axes.T @ spectra)


def find_stripes(cube: Tensor, noise: NoiseModel, *, contrast: float = 2.0, constancy: float = 0.6) -> Stripes:
    """Columns whose mean spectrum leaves the subspace by more than noise does, and does so all the way down.

    The statistic of a column is T = H |r|^2 / (C - K), r its whitened mean outside the subspace: 1 for noise. A column
    is striped when T exceeds `contrast` times that of the least tenth of columns (within 1 to 4), and when the square
    of r is at least `constancy` of the mean square over four row quarters, both less their noise: a stripe is
    constant, an object is not. Images with fewer than 8 rows, or 8 bands beyond the subspace, are taken as free of
    stripes.

    Args:
        cube: (C, H, W).
        noise: levels and axes from `noise_model`.
    """
    bands, rows, cols = cube.shape
    means = cube.mean(1)
    spare = bands - noise.axes.shape[1]
    none = Stripes(
        columns=torch.zeros(cols, dtype=torch.bool, device=cube.device),
        power=cube.new_zeros(cols),
        outside=torch.zeros_like(means),
        centre=means.mean(1),
    )
    if rows < FEWEST_ROWS or spare < FEWEST_RESIDUAL_BANDS or cols < 2:
        return none
    whitened = means / noise.level[:, None]
    centre = whitened.median(1, keepdim=True).values
    for _ in range(3):
        residual = project_out(whitened - centre, noise.axes)
        power = residual.square().sum(0) / spare
        statistic = rows * power
        floor = statistic.quantile(0.1).clamp(1.0, HIGHEST_FLOOR)
        plain = statistic <= contrast * floor
        if not plain.any():
            plain = statistic <= statistic.median()
        centre = whitened[:, plain].mean(1, keepdim=True)
    quarters = torch.stack([part.mean(1) for part in cube.chunk(4, dim=1)]) / noise.level[:, None] - centre
    quarters = quarters - noise.axes @ (noise.axes.T @ quarters)
    steady = quarters.mean(0).square().sum(0) / spare - 1.0 / rows
    overall = quarters.square().sum(1).mean(0) / spare - len(quarters) / rows
    striped = ~plain & (steady > constancy * overall)
    power = torch.where(striped, power - floor / rows, torch.zeros_like(power)).clamp_min(0.0)
    striped = power > 0
    trust = power / (power + 1.0 / rows)  # the mean of a faint stripe is partly noise
    return Stripes(striped, power, residual * trust * noise.level[:, None], centre[:, 0] * noise.level)


def sparse_offsets(cube: Tensor, noise: NoiseModel, *, limit: float = 5.0, share: float = 0.5) -> Tensor:
    """Stripes in some bands of a column only: single offsets that stand out from the other bands' prediction.

    An entry (band, column) is taken when its whitened column mean leaves the subspace by more than `limit` standard
    errors (of the noise, or of all entries if they scatter more), alike in the middle two of four row quarters. The
    rest of the column then says what its spectrum is inside the subspace, so that the offset is known whole. Columns
    with more than `share` of their bands taken, or whose other bands are striped too, are left to `find_stripes`.

    Returns:
        (C, W) offsets in the cube's units, 0 where there are none.
    """
    bands, rows, cols = cube.shape
    if rows < FEWEST_ROWS or bands - noise.axes.shape[1] < FEWEST_RESIDUAL_BANDS or cols < 2:
        return cube.new_zeros(bands, cols)
    means = cube.mean(1) / noise.level[:, None]
    centre = means.median(1, keepdim=True).values
    quarters = torch.stack([part.mean(1) for part in cube.chunk(4, dim=1)]) / noise.level[:, None] - centre
    quarters = (quarters - noise.axes @ (noise.axes.T @ quarters)).sort(0).values
    middle = quarters[1:-1].mean(0)
    leverage = noise.axes.square().sum(1, keepdim=True).clamp_max(0.9)
    offsets = torch.zeros_like(means)
    for _ in range(3):
        residual = project_out(means - centre - offsets, noise.axes)
        scatter = (1.4826 * residual.abs().median()).clamp_min(rows**-0.5)
        candidate = residual + offsets * (1 - leverage)
        taken = (candidate.abs() > limit * scatter) & (middle * candidate.sign() > 0.5 * candidate.abs())
        taken &= taken.float().mean(0) <= share
        offsets = torch.where(taken, offsets + residual / (1 - leverage), 0.0)
    untaken = (offsets == 0).to(residual)
    rest = rows * (residual.square() * untaken).sum(0) / untaken.sum(0).clamp_min(1.0)
    alone = rest <= 2.0 * rest.quantile(0.1).clamp_min(1.0)
    return torch.where(alone, offsets * noise.level[:, None], 0.0)


def robust_location(values: Tensor, *, steps: int = 4, bend: float = 1.5) -> Tensor:
    """Huber's location along the rows of (..., H, W) -> (..., W), started at the median (Huber 1964)."""
    location = values.median(-2).values
    for _ in range(steps):
        distance = (values - location[..., None, :]).abs()
        scale = 1.4826 * distance.median(-2, keepdim=True).values.clamp_min(1e-9)
        weight = (bend * scale / distance.clamp_min(1e-9)).clamp_max(1.0)
        location = (weight * values).sum(-2) / weight.sum(-2)
    return location


def offsets_inside(images: Tensor, power: Tensor) -> Tensor:
    """Column offsets of eigenimages: the most probable given neighbouring columns and the strength of the stripes.

    Minimises sum_c s_c^2 / power_c + sum_c (s_c+1 - s_c - d_c)^2 / v, where d_c is the robust difference of columns
    c + 1 and c, and v its mean square between unstriped neighbours; unstriped columns have s = 0.

    Args:
        images: (K, H, W) coefficients of whitened spectra; stripes have the same variance in all of them.
        power: (W,) that variance, 0 where there is no stripe.

    Returns:
        (K, W).
    """
    count, _, cols = images.shape
    if cols < 2 or not (power > 0).any():
        return images.new_zeros(count, cols)
    difference = robust_location(images[:, :, 1:] - images[:, :, :-1]).double()
    strength = power.double()
    between = strength[1:] + strength[:-1]
    plain = between == 0
    # without a plain pair, what the stripes do not explain
    spread = difference[:, plain].square() if plain.any() else difference.square() - between
    variance = spread.mean(1).clamp_min(1e-6)  # (K,)
    return _solve_chain(difference / variance[:, None], 1.0 / variance, strength).to(images)


def _solve_chain(pull: Tensor, stiffness: Tensor, power: Tensor) -> Tensor:
    """Tridiagonal systems (Thomas's algorithm), one per row of `pull`.

    Row c, times power_c: (1 + 2 q power_c) s_c - q power_c (s_c-1 + s_c+1) = power_c (pull_c-1 - pull_c).
    """
    count, cols = len(pull), len(power)
    edge = pull.new_zeros(count, 1)
    right = power * (torch.cat([edge, pull], 1) - torch.cat([pull, edge], 1))
    neighbours = pull.new_full((cols,), 2.0)
    neighbours[0] = neighbours[-1] = 1.0
    diagonal = 1.0 + stiffness[:, None] * (neighbours * power)
    beside = -stiffness[:, None] * power
    upper, value = torch.empty_like(right), torch.empty_like(right)
    previous_upper, previous_value = torch.zeros_like(stiffness), torch.zeros_like(stiffness)
    for c in range(cols):
        pivot = diagonal[:, c] - beside[:, c] * previous_upper
        previous_value = (right[:, c] - beside[:, c] * previous_value) / pivot
        previous_upper = beside[:, c] / pivot
        upper[:, c], value[:, c] = previous_upper, previous_value
    for c in range(cols - 2, -1, -1):
        value[:, c] -= upper[:, c] * value[:, c + 1]
    return value


def learn(
    cube: Tensor, *, search: bool = True, rank: int | None = None, level: Tensor | None = None
) -> tuple[NoiseModel, Stripes, Tensor]:
    """Noise, signal subspace and stripes of one cube.

    Args:
        cube: (C, H, W), finite, no constant band.
        search: False takes it as free of stripes.
        rank, level: of the subspace and the noise (C,), if known.

    Returns:
        the noise; stripes through most bands of a column; offsets (C, W) of single entries, which are not in
        `Stripes.outside` and were taken off before the rest was learned.
    """
    bands, rows, cols = cube.shape
    plain = torch.ones(cols, dtype=torch.bool, device=cube.device)
    single = cube.new_zeros(bands, cols)
    if search and rows >= FEWEST_ROWS and cols >= 2:
        first = stripe_proof_model(cube)
        single = sparse_offsets(cube, first)
        if single.any():
            cube = cube - single[:, None]
        stripes = find_stripes(cube, first)
        plain = ~stripes.columns
        if int(plain.sum()) < max(4, cols // 8):  # too few to learn from: variation within columns must do
            return first, stripes, single
        if level is None and rows * int(plain.sum()) < 3 * bands:
            level = first.level  # too few pixels for a regression on all bands
    noise = noise_model(cube, columns=plain, rank=rank, level=level)
    if plain.all():
        return noise, Stripes(~plain, cube.new_zeros(cols), cube.new_zeros(bands, cols), cube.mean((1, 2))), single
    return noise, find_stripes(cube, noise), single


def destripe(noisy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Remove column stripes; an image without stripes comes back as it is.

    Args:
        noisy: (B, C, H, W), or one cube (C, H, W), finite.

    Returns:
        the cubes less their offsets, of the same shape; the striped columns (B, W) bool; the offsets (B, C, W), 0
        elsewhere; without B for one cube.
    """
    if noisy.ndim == 4:
        parts = [destripe(cube) for cube in noisy]
        return tuple(torch.stack(list(part)) for part in zip(*parts, strict=True))  # type: ignore[return-value]
    offsets = torch.zeros_like(noisy[:, 0])
    columns = torch.zeros(noisy.shape[2], dtype=torch.bool, device=noisy.device)
    varying = noisy.amin((1, 2)) < noisy.amax((1, 2))
    if not varying.any():
        return noisy, columns, offsets
    cube = noisy if varying.all() else noisy[varying]
    noise, stripes, single = learn(cube)
    columns = stripes.columns | (single != 0).any(0)
    if not columns.any():
        return noisy, columns, offsets
    weights = (noise.axes / noise.level[:, None]).T
    images = (weights @ cube.flatten(1)).view(-1, *cube.shape[1:]) - (weights @ single)[:, None]
    inside = noise.axes @ offsets_inside(images, stripes.power)
    offsets[varying] = single + torch.where(stripes.columns, stripes.outside + noise.level[:, None] * inside, 0.0)
    return noisy - offsets[:, None], columns, offsets
