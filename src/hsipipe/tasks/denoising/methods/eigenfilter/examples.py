"""What the filter learns from: eigenimages that the blind method finds in corrupted crops, and those of the truth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hsipipe.degrade.noise import Noise
from hsipipe.degrade.normalise import band_minmax, normalise
from hsipipe.progress import progress
from hsipipe.randomness import generator_for, seed_for
from hsipipe.tasks.denoising.methods.blind.model import Eigenimages, Learned, denoise, project

Example = dict[str, Tensor]
SMALLEST_CROP = 16


def spectral_basis(cubes: Sequence[Tensor], *, components: int, seed: Sequence[object], crops: int = 200) -> Tensor:
    """Directions (C, components) in which clean spectra vary, each band scaled to the range of its crop.

    The principal axes of the mean covariance of random crops, because each image that comes to be denoised has ranges
    of its own. Columns beyond the number of bands are zero.
    """
    total = torch.zeros(len(cubes[0]), len(cubes[0]), dtype=torch.float64)
    for index in range(crops):
        crop = random_crop(cubes, side=None, seed=(*seed, "basis", index))
        flat = crop.flatten(1).double()
        flat = flat - flat.mean(1, keepdim=True)
        total += flat @ flat.T / flat.shape[1]
    axes = torch.linalg.eigh(total).eigenvectors.flip(1)[:, :components].float()
    return torch.nn.functional.pad(axes, (0, components - axes.shape[1]))


def make_examples(
    cubes: Sequence[Tensor],
    *,
    count: int,
    side: int,
    effort: str,
    noise: Noise,
    basis: Tensor | None,
    seed: Sequence[object],
) -> list[Example]:
    """Eigenimages of corrupted crops: coefficients, deviation, filtered, target (K, h, w) and striped (w,).

    Every pass of the blind method that is followed by the filter gives an example.
    """
    examples: list[Example] = []
    for index in progress(range(count), "examples for the filter"):
        clean = random_crop(cubes, side=side, seed=(*seed, "example", index))
        generator = torch.Generator().manual_seed(seed_for(*seed, "noise", index))

        def record(found: Eigenimages, clean: Tensor = clean) -> Tensor:
            # constant bands take no part in what is found
            used = clean if len(found.centre) == len(clean) else clean[clean.amin((1, 2)) < clean.amax((1, 2))]
            if len(used) == len(found.centre):
                deviation = found.deviation if found.deviation.ndim == 3 else found.deviation[:, None, None]
                examples.append(
                    {
                        "coefficients": found.coefficients.clone(),
                        "deviation": deviation.expand_as(found.filtered).clone(),
                        "filtered": found.filtered.clone(),
                        "striped": found.striped.float(),
                        "target": project(used, found.centre, found.level, found.axes),
                    }
                )
            return found.filtered

        noisy = noise.apply(clean[None], generator)
        with torch.no_grad():
            denoise(noisy, effort=effort, learned=Learned(basis, record))
    return examples


def random_crop(cubes: Sequence[Tensor], *, side: int | None, seed: Sequence[object]) -> Tensor:
    """A square crop (C, h, h) of one of the cubes, rotated, reflected, and scaled anew to [0, 1] in each band.

    Args:
        cubes: (C, H, W), drawn with a chance proportional to their pixels.
        side: of the crop, or None for a random one; at most the smaller side of the cube.
        seed: names the draw.
    """
    random = generator_for(*seed)
    pixels = [cube.shape[-2] * cube.shape[-1] for cube in cubes]
    cube = cubes[int(random.choice(len(cubes), p=[count / sum(pixels) for count in pixels]))]
    largest = min(cube.shape[-2:])
    wanted = int(random.integers(min(SMALLEST_CROP, largest), largest + 1)) if side is None else min(side, largest)
    row, col = (int(random.integers(0, size - wanted + 1)) for size in cube.shape[-2:])
    crop = cube[:, row : row + wanted, col : col + wanted].float().cpu()
    crop = torch.rot90(crop, int(random.integers(4)), (-2, -1))
    plain = (crop.flip(-1) if random.integers(2) else crop).numpy()
    low, high = band_minmax(plain)
    return torch.from_numpy(normalise(plain, low, high)).float()
