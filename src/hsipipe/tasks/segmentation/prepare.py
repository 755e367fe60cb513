"""`prepare`: say once what each pixel of a case is for, so that all methods train and test on the same."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.bands.selection import BandSelection
from hsipipe.cases.pixels import NOT_USED, PixelSplitSettings, roles_of_part, split_pixels
from hsipipe.cases.split import Unit
from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item, Scene
from hsipipe.settings import settings_from
from hsipipe.tasks.segmentation.case import labels_of, write_case

log = logging.getLogger(__name__)

MAPS = ("train_map", "test_map")


def prepare(
    scenes: Sequence[str | Path],
    units: Sequence[Unit],
    selection: BandSelection,
    settings: dict[str, Any],
    *,
    name: str,
    output: str | Path,
) -> None:
    """Write the case file: the roles of all spectra and of all labelled pixels. `settings`: a `CaseSettings`'s.

    What is drawn depends on case, seed and unit alone, not on their order or number.

    Raises:
        UserError: maps of another size, or classes with too few pixels.
    """
    opened = {scene.name: scene for scene in (Scene(path) for path in scenes)}
    within = settings["split"]["by"] == "test"
    ways = {
        kind: settings_from(PixelSplitSettings, settings[kind], f"case {name}: {kind}") if within else None
        for kind in ("spectra", "pixels")
    }

    def divided() -> Iterator[tuple[Unit, str, np.ndarray, np.ndarray]]:
        for unit in units:
            scene = opened[unit.scene]
            item = scene.read(unit.item, bands=selection.indices[:1], window=unit.window)
            drawn = (name, settings["seed"], unit.name)
            spectra = _divide(item.valid.astype(np.int32), item, unit, ways["spectra"], ("spectra", *drawn))
            labels = labels_of(item)
            if not (labels > 0).any():
                pixels = np.full(item.valid.shape, NOT_USED, np.uint8)
            else:
                way = ways["pixels"]
                maps = _read_maps(settings, scene, unit) if way is not None and way.by == "maps" else (None, None)
                pixels = _divide(labels, item, unit, way, ("pixels", *drawn), *maps)
                unused = sorted({*np.unique(labels[labels > 0])} - {*np.unique(labels[pixels != NOT_USED])})
                if unused:
                    codes = ", ".join(map(str, unused))
                    log.warning("%s: classes %s are left out, with too few pixels to train and test", unit.name, codes)
            yield unit, scene.digests[unit.item], spectra, pixels

    write_case(
        output,
        divided(),
        selection=selection,
        attributes={"case": name, "division": {key: settings[key] for key in ("spectra", "pixels", *MAPS, "seed")}},
    )


def _divide(
    codes: np.ndarray,
    item: Item,
    unit: Unit,
    way: PixelSplitSettings | None,
    drawn: tuple[object, ...],
    train_map: np.ndarray | None = None,
    test_map: np.ndarray | None = None,
) -> np.ndarray:
    """Roles of the pixels with a code: those of their unit, or drawn within it."""
    if way is None:
        return roles_of_part(codes, unit.part)
    try:
        return split_pixels(codes, way, seed_parts=drawn, valid=item.valid, train_map=train_map, test_map=test_map)
    except UserError as error:
        raise UserError(f"{unit.name}, {drawn[0]}: {error}", file=item.source.get("path")) from error


def _read_maps(settings: dict[str, Any], scene: Scene, unit: Unit) -> tuple[np.ndarray, np.ndarray]:
    """The maps of training and of test pixels, cut to the unit."""
    from hsipipe.scenes.readers import read_labels

    first_row, end_row, first_col, end_col = unit.window
    train, test = (
        np.asarray(read_labels(settings[key], scene.sizes[unit.item]))[first_row:end_row, first_col:end_col]
        for key in MAPS
    )
    return train, test
