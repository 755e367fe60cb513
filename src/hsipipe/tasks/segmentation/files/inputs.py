"""Reading and writing spectra of any form: images, stacks, scenes, and tables as arrays or CSV."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from hsipipe.errors import UserError, unknown
from hsipipe.scenes.readers import read_image
from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers import OUTPUT_SUFFIXES, check_place, write_image
from hsipipe.tasks.segmentation.case import Image, as_image
from hsipipe.tasks.segmentation.files.tables import is_csv, read_table, write_table

log = logging.getLogger(__name__)


def read_spectra(path: str | Path, *, key: str | None = None, layout: str | None = None, table: bool = False) -> Item:
    """Read an image of any supported format, or a table of spectra (.csv, or a 2-D array with `table`).

    Args:
        path, key, layout, table: as in `hsipipe.scenes.readers.open_image`.

    Raises:
        UserError: as the readers do.
    """
    if not Path(path).exists():
        raise UserError("does not exist", file=path)
    if not is_csv(path):
        return read_image(path, key=key, layout=layout, table=table)
    if key is not None or layout is not None:
        raise UserError("is a table, one spectrum a row", file=path, remedy="leave out --key and --layout")
    return read_table(path)


def image_of(item: Item) -> Image:
    """An item as methods see it; what is not valid in it is told.

    Raises:
        UserError: nothing valid in it.
    """
    image = as_image(item, item.name)
    missing = int((~image.valid).sum())
    if missing:
        log.info(
            "%s: %s of %s spectra have no measurement (nodata, NaN, or zero throughout) and are left out",
            item.source.get("path", item.name),
            f"{missing:,}",
            f"{image.valid.size:,}",
        )
    return image


def write_spectra(path: str | Path, item: Item, *, column: str = "band") -> None:
    """Write an item in the format of the extension: those of `write_image`, and .csv for tables."""
    if is_csv(path):
        write_table(path, item, column=column)
    else:
        write_image(path, item)


def check_spectra_output(path: str | Path) -> Path:
    """The path, if spectra can be written to it: an image format or .csv.

    Raises:
        UserError: another extension, or a place where no file can be made.
    """
    target = Path(path)
    if target.suffix.lower() not in (*OUTPUT_SUFFIXES, ".csv"):
        raise unknown("output format", target.suffix or target.name, (*OUTPUT_SUFFIXES, ".csv"), file=target)
    return check_place(target)


def check_distinct(inputs: Iterable[str | Path | None], outputs: Iterable[str | Path | None]) -> None:
    """Check before anything is read that no output replaces an input or another output, and can be made.

    Raises:
        UserError: an input that does not exist, or a place that is taken twice.
    """
    taken: dict[Path, str] = {}
    for source in inputs:
        if source is not None:
            if not Path(source).exists():
                raise UserError("does not exist", file=source)
            taken[Path(source).resolve()] = "an input"
    for target in outputs:
        if target is not None:
            place = check_place(target).resolve()
            if place in taken:
                raise UserError(f"would overwrite {taken[place]}", file=target, remedy="choose another output")
            taken[place] = "another output"
