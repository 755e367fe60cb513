"""`BandSelection`, the bands that a case uses, and its table on disk."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError
from hsipipe.files import write_text


@dataclass(frozen=True, eq=False)
class BandSelection:
    """Chosen bands of a sensor.

    Attributes:
        indices: (n,) int64, 0-based positions among all bands of the scene, in the sensor's order (`list`: as given).
        wavelength_nm: (n,) float64 centre wavelengths, or None if the scene has none.
        strategy: how they were chosen.
        scores: (n,) float64, what the strategy ranked the bands by (larger is better), or None.
    """

    indices: np.ndarray
    wavelength_nm: np.ndarray | None
    strategy: str
    scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.indices)


def write_bands_csv(path: str | Path, selection: BandSelection) -> None:
    """Write a table with the columns index, wavelength_nm (if known) and score (if any), one row per band."""
    columns = {"index": [str(index) for index in selection.indices.tolist()]}
    if selection.wavelength_nm is not None:
        columns["wavelength_nm"] = [repr(value) for value in selection.wavelength_nm.tolist()]
    if selection.scores is not None:
        columns["score"] = [repr(value) for value in selection.scores.tolist()]
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    write_text(path, "".join(",".join(row) + "\n" for row in rows))


def read_bands_csv(path: str | Path) -> BandSelection:
    """The selection that `write_bands_csv` wrote (its strategy reads `file`), or a table of one's own with `index`.

    Raises:
        UserError: no file, no column `index`, no row, or a value that is not a number.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError("cannot be read", file=path, found=error.strerror) from error
    if not rows or "index" not in rows[0]:
        raise UserError("is not a table of bands", file=path, remedy="it needs a column `index` and a row per band")
    try:
        indices = np.array([int(row["index"]) for row in rows], np.int64)
        values = {
            name: np.array([float(row[name]) for row in rows], np.float64)
            for name in ("wavelength_nm", "score")
            if name in rows[0]
        }
    except (TypeError, ValueError) as error:
        raise UserError("holds a value that is not a number", file=path, found=str(error)) from error
    return BandSelection(indices, values.get("wavelength_nm"), "file", values.get("score"))
