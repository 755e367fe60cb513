"""Training batches for denoisers: random patches of clean cubes, and their noisy versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hsipipe.degrade.noise import Noise, parse_noise
from hsipipe.errors import UserError
from hsipipe.randomness import generator_for, seed_for


def draw_patches(
    cubes: Sequence[Tensor],
    *,
    step: int,
    seed: Sequence[object],
    patch: int,
    bands_per_patch: int | None,
    batch_size: int,
    noise: Noise | str | Sequence[Any] | dict[str, Any],
) -> dict[str, Tensor]:
    """Draw a batch of patches and corrupt it; a function of its arguments: batch k is the same in every attempt.

    For each patch: a cube (with a chance proportional to its pixels), a window of neighbouring bands, a place, one of
    the eight rotations and reflections. The noise comes afterwards, so that stripes keep the direction of the sensor's
    columns. Where to cut is drawn on the CPU, the same for every device; the noise is drawn on the cubes' device.

    Args:
        cubes: clean images (C, H, W), of any real type, all on one device; they may differ in size and number of bands.
        step: number of the batch.
        seed: what else names the draw, e.g. (case, seed).
        patch: side of a patch, pixels; the smallest side of any cube if that is less.
        bands_per_patch: neighbouring bands in a patch; None, or more than the cube with the fewest bands has: as many
            as that one has.
        batch_size: patches in a batch.
        noise: the noise, or a specification that `parse_noise` takes.

    Returns:
        `input` (noisy) and `target` (clean), both (batch_size, bands, side, side), float32, on the cubes' device.

    Raises:
        UserError: no cubes, or a size below 1.
    """
    if not cubes:
        raise UserError("there is nothing to train on", key="split", remedy="give the training part some items")
    side = min(patch, *(size for cube in cubes for size in cube.shape[-2:]))
    fewest = min(len(cube) for cube in cubes)
    bands = fewest if bands_per_patch is None else min(bands_per_patch, fewest)
    for name, value in (("patch", side), ("bands_per_patch", bands), ("batch_size", batch_size)):
        if value < 1:
            raise UserError("must be at least 1", key=name, found=value)
    random = generator_for(*seed, "patches", step)
    pixels = [cube.shape[-2] * cube.shape[-1] for cube in cubes]
    chances = [count / sum(pixels) for count in pixels]
    clean = []
    for index in random.choice(len(cubes), batch_size, p=chances):
        cube = cubes[index]
        band, row, col = (
            int(random.integers(0, size - length + 1))
            for size, length in zip(cube.shape, (bands, side, side), strict=True)
        )
        piece = cube[band : band + bands, row : row + side, col : col + side]
        piece = torch.rot90(piece, int(random.integers(4)), (-2, -1))
        clean.append(piece.flip(-1) if random.integers(2) else piece)
    target = torch.stack(clean).float()  # a compact pool may hold halves
    generator = torch.Generator(target.device).manual_seed(seed_for(*seed, "noise", step))
    corruption = noise if isinstance(noise, Noise) else parse_noise(noise)
    return {"input": corruption.apply(target, generator), "target": target}
