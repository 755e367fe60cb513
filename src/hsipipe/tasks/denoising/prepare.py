"""`prepare`: synthesise the noise of a case once, so that all methods see the same."""

from __future__ import annotations

import math
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

VALIDATION_UNITS = 64  # at most; more say little about which epoch is best, and cost a forward pass and disk each


def prepare(
    scenes: Sequence[str | Path],
    units: Sequence[Unit],
    selection: BandSelection,
    settings: dict[str, Any],
    *,
    name: str,
    output: str | Path,
) -> None:
    """Write the case file: noisy test units and some validation units. `settings` are those of a `CaseSettings`.

    Noise is drawn on the CPU from a generator seeded by (case, seed, unit), so it depends neither on the device nor on
    the order or the number of units.
    """
    import torch

    noise = parse_noise(settings["noise"])
    opened = {scene.name: scene for scene in (Scene(path) for path in scenes)}
    train = [unit for unit in units if unit.part == "train"]
    train_digest = digest_of(np.array([f"{opened[u.scene].digests[u.item]}{u.window}" for u in train], dtype="S"))

    def synthesised() -> Iterator[tuple[Unit, Truth, np.ndarray]]:
        for unit in used_units(units):
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


def used_units(units: Sequence[Unit]) -> list[Unit]:
    """The test units, and at most `VALIDATION_UNITS` for validation: spread, since the first may be of one scene."""
    validation = [unit for unit in units if unit.part == "val"]
    step = max(1, math.ceil(len(validation) / VALIDATION_UNITS))
    chosen = {unit.name for unit in validation[::step]}
    return [unit for unit in units if unit.part == "test" or unit.name in chosen]
