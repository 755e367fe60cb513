"""Whether reading and augmenting keep an encoder waiting: CPU seconds per view of each, and their ratio.

python benchmarks/representation.py [--size 224] [--bands 408]

Writes benchmarks/representation.md. One thread, CPU time, medians of 3 turns; images are simulated specimens in a case
file on disk, read as a training reads them (warm: the file has been read before). The encoder's step is forward and
backward of both views. On a GPU the encoder and the views run there and only reading is left to the processor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import numpy as np
import torch

from hsipipe.files import write_text
from hsipipe.scenes.simulation.specimens.simulate import specimen_items
from hsipipe.tasks.representation.augment.settings import augmentation_from
from hsipipe.tasks.representation.augment.views import make_views
from hsipipe.tasks.representation.case import CaseFile, Identity, Prepared, write_case
from hsipipe.tasks.representation.images import crop_to_mask, reflectance
from hsipipe.tasks.representation.shared.encoder import build_encoder

REPORT = Path(__file__).with_suffix(".md")
BATCH, TURNS = 4, 3
AUGMENTATION = augmentation_from("spectral")
BACKBONES = ("tiny", "resnet50", "vit_small_patch16_224")


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--bands", type=int, default=408)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.h5"
        wavelength_nm = make_case(path, size=options.size, bands=options.bands)
        write_text(REPORT, report(path, wavelength_nm, size=options.size))


def make_case(path: Path, *, size: int, bands: int) -> np.ndarray:
    """A case of a few simulated specimens; their wavelengths (bands,)."""
    items = list(specimen_items(species=2, individuals=2 * BATCH, sides=1, size=96, bands=bands))

    def images():
        for number, item in enumerate(items):
            cube, mask = crop_to_mask(reflectance(item), item.valid, size=size)
            yield Prepared(Identity(str(number), "a", str(number)), cube, mask)

    every = np.ones((1, len(items)), bool)
    write_case(
        path,
        images(),
        lambda _: (every, every),
        band_index=np.arange(bands),
        wavelength_nm=items[0].wavelength_nm,
        attributes={"case": "benchmark", "simulated": 1, "patches": 0},
    )
    wavelength_nm = items[0].wavelength_nm
    assert wavelength_nm is not None
    return wavelength_nm


def report(path: Path, wavelength_nm: np.ndarray, *, size: int) -> str:
    """The tables as Markdown."""
    lines = [
        "# Reading, augmenting and encoding side by side",
        "",
        f"Written by `python benchmarks/representation.py`; one thread, torch {torch.__version__}, views of {size} x"
        f" {size} pixels, batches of {BATCH}, preset `spectral`, stem `reduce`. CPU seconds per view, medians of"
        f" {TURNS} turns.",
        "",
        "| bands | read | two views, per view | " + " | ".join(f"step of {name}" for name in BACKBONES) + " | step of "
        f"{BACKBONES[1]} / (read + view) |",
        "|---:|---:|---:|" + "---:|" * (len(BACKBONES) + 1),
    ]
    with CaseFile(path) as case:
        for count in (9, 50, len(wavelength_nm)):
            bands = np.linspace(0, len(wavelength_nm) - 1, count).round().astype(int)
            centres = torch.from_numpy(wavelength_nm[bands].astype(np.float32))
            read = seconds(lambda bands=bands: case.read(np.arange(BATCH), bands=bands))
            images, masks = case.read(np.arange(BATCH), bands=bands)
            cubes, inside = torch.from_numpy(images), torch.from_numpy(masks[:, None].astype(np.float32))

            def draw(cubes=cubes, inside=inside, centres=centres):
                generator = torch.Generator().manual_seed(0)
                return make_views(cubes, inside, centres, AUGMENTATION, size=size, generator=generator)

            view = seconds(draw)
            views = draw().images.flatten(0, 1)
            steps = [seconds(make_step(name, wavelength_nm[bands], views)) for name in BACKBONES]
            ratio = steps[1] / (read / 2 + view)
            shown = " | ".join(f"{value:.3f}" for value in (read / 2, view, *steps))
            lines.append(f"| {count} | {shown} | {ratio:.1f} |")
    lines += [
        "",
        "Read: of an image that gives two views, its half. Where the last column is below 1, reading and augmenting on"
        " the same processor take longer than the encoder: on a GPU the views are drawn there.",
        "",
    ]
    return "\n".join(lines)


def make_step(name: str, wavelength_nm: np.ndarray, views: torch.Tensor) -> Callable[[], None]:
    """Forward and backward of an encoder over the views."""
    encoder = build_encoder(wavelength_nm=wavelength_nm, backbone=name, stem="reduce")

    def step() -> None:
        encoder.zero_grad()
        encoder(views).square().mean().backward()

    return step


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds per view of a piece of work on a batch, which has two views of each image."""
    work()
    turns = []
    for _ in range(TURNS):
        started = time.process_time()
        work()
        turns.append((time.process_time() - started) / (2 * BATCH))
    return statistics.median(turns)


if __name__ == "__main__":
    main()
