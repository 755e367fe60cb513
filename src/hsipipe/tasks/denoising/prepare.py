"""`prepare`: synthesise the noise of a case once, so that all methods see the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.bands.selection import BandSelection
from hsipipe.cases.split import Unit
from hsipipe.degrade.noise import noisy_item, parse_noise
from hsipipe.hdf5 import digest_of
from hsipipe.scenes.scene import Scene
from hsipipe.tasks.denoising.case import Truth, read_truth, write_case


def prepare(
    scenes: Sequence[str | Path],
    units: Sequence[Unit],
    selection: BandSelection,
    settings: dict[str, Any],
    *,
    name: str,
    output: str | Path,
) -> None:
    """Write the case file: noisy validation and test units. `settings` are those of a `CaseSettings`.

    Noise is drawn on the CPU from a generator seeded by (case, seed, unit), so it depends neither on the device nor on
    the order or the number of units.
    """
    import torch

    noise = parse_noise(settings["noise"])
    opened = {scene.name: scene for scene in (Scene(path) for path in scenes)}
    train = [unit for unit in units if unit.part == "train"]
    train_digest = digest_of(np.array([f"{opened[u.scene].digests[u.item]}{u.window}" for u in train], dtype="S"))

    def synthesised() -> Iterator[tuple[Unit, Truth, np.ndarray]]:
        for unit in units:
            if unit.part == "train":
                continue
            truth = read_truth(opened[unit.scene], unit, selection.indices)
            noisy = noisy_item(torch.from_numpy(truth.cube), noise, name, settings["seed"], unit.name)
            yield unit, truth, noisy.numpy()

    write_case(
        output,
        synthesised(),
        selection=selection,
        train_digest=train_digest,
        attributes={
            "case": name,
            "noise": noise.describe(),
            "seed": settings["seed"],
            "simulated": int(any(scene.simulated for scene in opened.values())),
        },
    )
