"""Processor time of one view, against the list of operations of the Lepidoptera recipe as kornia runs it.

python benchmarks/augmentation.py [--batch 4 --size 224 --bands 408 50 9 --repeats 5] [--write FILE.md]

Both start from the same float32 batch in memory and end with float32 views of the same size. Contenders take turns
within each repetition, so that all see the same load; what counts is the ratio of one repetition.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from hsipipe.tasks.representation.augment.views import PRESETS, make_views

PRESET_NAMES = ("upstream", "geometry", "spectral")


def recipe(size: int) -> torch.nn.Module:
    """The list of the recipe, in its order and with its probabilities, the crop last."""
    from kornia import augmentation

    return augmentation.AugmentationSequential(
        augmentation.RandomVerticalFlip(p=0.5),
        augmentation.RandomRotation(45.0, p=0.5),
        augmentation.RandomGaussianBlur((3, 3), (0.1, 2.0), p=0.25),
        augmentation.RandomThinPlateSpline(scale=0.5, p=0.5),
        augmentation.RandomPerspective(0.5, p=0.5),
        augmentation.RandomResizedCrop((size, size), scale=(0.05, 1.0)),
        data_keys=["input"],
    )


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    result = work()
    spent = time.process_time() - start
    del result
    return spent


def measure(cubes: Tensor, masks: Tensor, wavelength_nm: Tensor, size: int, repeats: int) -> dict[str, list[float]]:
    """Processor seconds per view of each contender, a number per repetition after one that warms up."""
    original = recipe(size)

    def ours(name: str, seed: int) -> Callable[[], object]:
        generator = torch.Generator().manual_seed(seed)
        return lambda: make_views(cubes, masks, wavelength_nm, PRESETS[name], size=size, generator=generator)

    spent: dict[str, list[float]] = {"recipe": [], **{name: [] for name in PRESET_NAMES}}
    for repeat in range(repeats + 1):
        torch.manual_seed(repeat)
        # Two calls are two views, as two of ours are one call: the same number of draws on either side.
        spent["recipe"].append((seconds(lambda: original(cubes)) + seconds(lambda: original(cubes))) / 2)
        for name in PRESET_NAMES:
            spent[name].append(seconds(ours(name, repeat)) / 2)
    return {name: values[1:] for name, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--bands", type=int, nargs="+", default=[408, 50, 9])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "# Augmentation: processor time of one view",
        "",
        f"Written by `python benchmarks/augmentation.py`: a batch of {options.batch} specimens of bands x "
        f"{options.size} x {options.size}, float32, one thread ({platform.machine()}), median of {options.repeats} "
        "repetitions. `recipe` is the list of operations of the Lepidoptera recipe as kornia runs it (flip, rotation, "
        "blur, thin-plate spline, perspective, crop; each its own pass over all bands); the others are presets of "
        "`make_views`. `upstream` draws the same operations as the recipe; `geometry` and `spectral` are what the "
        "task offers instead. The ratio is the median over repetitions of recipe / preset.",
        "",
        "| bands | contender | CPU s per view | smallest to largest | times less than the recipe |",
        "|---:|---|---:|---:|---:|",
    ]
    for bands in options.bands:
        generator = torch.Generator().manual_seed(0)
        cubes = torch.rand(options.batch, bands, options.size, options.size, generator=generator)
        masks = torch.ones(options.batch, 1, options.size, options.size)
        wavelength_nm = torch.linspace(348.3931, 809.6055, bands)
        spent = measure(cubes, masks, wavelength_nm, options.size, options.repeats)
        for name, values in spent.items():
            ratio = statistics.median(theirs / own for theirs, own in zip(spent["recipe"], values, strict=True))
            lines.append(
                f"| {bands} | {name} | {statistics.median(values):.3f} | {min(values):.3f} to {max(values):.3f} | "
                f"{ratio:.1f} |"
            )
            print(lines[-1], flush=True)
        if options.write:
            options.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
