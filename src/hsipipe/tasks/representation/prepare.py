"""`prepare`: bring the images of a case to one size, with its bands only, and deal them out to folds, once for all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.bands.selection import BandSelection
from hsipipe.cases.split import Unit
from hsipipe.errors import UserError
from hsipipe.metrics.embedding_folds import group_folds, keep_distance
from hsipipe.progress import progress
from hsipipe.scenes.scene import Item, Scene
from hsipipe.tasks.representation.case import Identity, Prepared, write_case
from hsipipe.tasks.representation.images import crop_to_mask, patches_of, reflectance

log = logging.getLogger(__name__)


def prepare(
    scenes: Sequence[str | Path],
    units: Sequence[Unit],
    selection: BandSelection,
    settings: dict[str, Any],
    *,
    name: str,
    output: str | Path,
) -> None:
    """Write the case file. `settings`: a `CaseSettings`'s.

    Every specimen is read once, here; trainings read the bands that they need from the case file.

    Raises:
        UserError: images without a class, a class with fewer than two individuals, an individual in two parts.
    """
    opened = {scene.name: scene for scene in (Scene(path) for path in scenes)}
    places: list[tuple[int, int, int]] = []
    parts: list[str] = []

    def images() -> Iterator[Prepared]:
        for number, unit in enumerate(progress(list(units), "preparing")):
            item = opened[unit.scene].read(unit.item, bands=selection.indices, window=unit.window)
            if settings["patch"] is not None:
                for row, col, image in patches_of(
                    item, unit.name, side=settings["patch"], stride=settings["stride"], block=settings["block"]
                ):
                    places.append((number, row, col))
                    yield image
            else:
                parts.append(_part(item))
                yield _specimen(item, unit, settings["size"])

    def folds(identities: Sequence[Identity]) -> tuple[np.ndarray, np.ndarray]:
        labels = np.array([identity.species for identity in identities])
        groups = np.array([identity.group for identity in identities])
        if settings["folds"] is None:
            return _given_folds(parts, groups, output)
        made = group_folds(labels, groups, folds=settings["folds"], seed=settings["seed"])
        if settings["patch"] is not None:
            guard = settings["patch"] // 2 if settings["guard"] is None else settings["guard"]
            made = keep_distance(made, labels, np.array(places), guard=guard)
        train, test = np.zeros((2, len(made), len(labels)), bool)
        for number, fold in enumerate(made):
            train[number, fold.train], test[number, fold.test] = True, True
        return train, test

    write_case(
        output,
        images(),
        folds,
        band_index=selection.indices,
        wavelength_nm=selection.wavelength_nm,
        attributes={
            "case": name,
            "simulated": int(any(scene.simulated for scene in opened.values())),
            "patches": int(settings["patch"] is not None),
        },
    )


def _metadata(item: Item) -> dict[str, Any]:
    found = item.source.get("metadata") or {}
    if "species" not in found or "specimen" not in found:
        raise UserError(
            f"item {item.name!r} has no metadata of a specimen",
            file=item.source.get("path"),
            found=", ".join(found) or "none",
            remedy="give a folder of specimens with metadata.csv, or cut labelled pixels out with `patch`",
        )
    return found


def _part(item: Item) -> str:
    return str(_metadata(item).get("split", ""))


def _specimen(item: Item, unit: Unit, size: int) -> Prepared:
    """A specimen, cropped to its mask and brought to size x size."""
    told = _metadata(item)
    cube, mask = crop_to_mask(reflectance(item), item.valid, size=size)
    session, side = (str(told.get(key, "") or "") for key in ("session", "side"))
    return Prepared(Identity(unit.name, str(told["species"]), str(told["specimen"]), session, side), cube, mask)


def _given_folds(parts: Sequence[str], groups: np.ndarray, output: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """The one fold that the metadata names: train and val train, test is tested."""
    known = np.array(parts)
    test = known == "test"
    train = np.isin(known, ("train", "val"))
    if not test.any() or not train.any():
        raise UserError(
            "the metadata name no training or no test specimens",
            file=output,
            key="split",
            found=", ".join(sorted({*parts})) or "nothing",
            remedy="fill the column `split` with train and test, or set `folds`",
        )
    both = np.intersect1d(groups[train], groups[test])
    if len(both):
        raise UserError(f"specimen {both[0]!r} is in training and in test", file=output, key="split")
    return train[None], test[None]
