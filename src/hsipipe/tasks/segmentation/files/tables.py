"""Tables of spectra as CSV: one spectrum a row, with or without a header, labels or columns that are no bands."""

from __future__ import annotations

import csv
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.files import atomic_path, write_text
from hsipipe.scenes.readers.wavelengths import to_nanometres
from hsipipe.scenes.scene import Item
from hsipipe.scenes.validity import assess_validity

LABEL_COLUMNS = ("label", "labels", "class", "classes", "gt", "ground_truth", "target")
_BAND = re.compile(r"^[^\d.+-]*(\d+(?:\.\d+)?)\s*(nm|um|µm|μm)?\s*$", re.IGNORECASE)
_RANGE_NM = (200.0, 20_000.0)  # of wavelengths that stand in a header without text

log = logging.getLogger(__name__)


def is_csv(path: str | Path) -> bool:
    """Whether a file is a table of text by its extension."""
    return Path(path).suffix.lower() == ".csv"


def is_table(item: Item) -> bool:
    """Whether an item is a table of spectra, (pixels, bands), whose rows are no neighbours of one another."""
    return item.cube.shape[2] == 1 and item.source.get("layout") in ("pixels-bands", "bands-pixels")


def read_table(path: str | Path) -> Item:
    """Read a table of spectra: an image of one column, N rows high.

    Cells are parted by commas, semicolons or tabs; empty ones are missing. A first row that holds text, or wavelengths
    in nm that rise, is a header: numbers in it (`450.5`, `450.5 nm`, `0.45 um`) are wavelengths, unless they only
    count the bands (`band_1`). A column `label` or `class` becomes the labels, of whole numbers or of names. Columns of
    text, and with a header that numbers the bands all others, are left out, which is told.

    Raises:
        UserError: unreadable, rows of different length, text among the numbers of a column, or no band.
    """
    file = Path(path)
    names, frame = _load(file)
    bands, label_column = _columns(file, names, frame)
    spectra = np.empty((len(frame), len(bands)), np.float32)
    for position, column in enumerate(bands):
        spectra[:, position] = frame[column].to_numpy(np.float64, na_value=np.nan)
    labels: np.ndarray | None = None
    class_names: list[str] = []
    if label_column is not None:
        labels, class_names = _labels(file, frame[label_column])
    wavelength_nm = None if names is None else _wavelengths([names[column] for column in bands])
    return item_of_spectra(spectra, wavelength_nm=wavelength_nm, labels=labels, class_names=class_names, path=file)


def item_of_spectra(
    spectra: np.ndarray,
    *,
    wavelength_nm: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    class_names: list[str] | None = None,
    path: str | Path | None = None,
) -> Item:
    """A table (N, bands) as an item of N rows and one column, or a cube (bands, rows, cols) as an item.

    Spectra with a missing value, and those that are zero throughout, are not valid; bands without a measurement are
    not good.

    Raises:
        UserError: another number of axes, values that are no numbers, or nothing valid.
    """
    array = np.asarray(spectra)
    if array.ndim not in (2, 3) or array.dtype.kind not in "iuf":
        raise UserError("give spectra (N, bands) or a cube (bands, rows, cols)", found=f"{array.dtype} {array.shape}")
    cube = array.T[:, :, None] if array.ndim == 2 else array
    cube = cube if cube.dtype.kind in "iu" else cube.astype(np.float32, copy=False)
    valid, good = assess_validity(cube, file=path)
    source: dict[str, Any] = {
        "format": "npy",
        "dtype": str(cube.dtype),
        "layout": "pixels-bands" if array.ndim == 2 else "bands-rows-cols",
    }
    if path is not None:
        source["path"] = str(path)
    return Item(
        cube=cube,
        name="spectra" if path is None else Path(path).stem,
        valid=valid,
        good_bands=good,
        wavelength_nm=None if wavelength_nm is None else np.asarray(wavelength_nm, np.float64),
        labels=None if labels is None else np.asarray(labels, np.int32).reshape(valid.shape),
        class_names=class_names or [],
        source=source,
    )


def write_table(path: str | Path, item: Item, *, column: str = "band") -> None:
    """Write a table of spectra as CSV, a row each: wavelengths as header, else `band_1`, ...; invalid rows are empty.

    Raises:
        UserError: an item that is no table.
    """
    if not is_table(item):
        raise UserError("a table holds spectra, not an image", file=path, remedy="write .tif, .h5, .npy, .mat or ENVI")
    if item.wavelength_nm is None:
        header = [f"{column}_{number}" for number in range(1, len(item.cube) + 1)]
    else:
        header = [f"{centre:.10g} nm" for centre in item.wavelength_nm]
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for spectrum, valid in zip(item.cube[:, :, 0].T, item.valid[:, 0], strict=True):
            writer.writerow([f"{value:.9g}" for value in spectrum] if valid else [""] * len(header))


def write_columns(path: str | Path, columns: dict[str, np.ndarray]) -> None:
    """Write columns of equal length as CSV under their names; values that are not finite are empty cells."""
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    lines = [",".join(columns)]
    lines += [",".join(f"{value:.9g}" if np.isfinite(value) else "" for value in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def _load(file: Path) -> tuple[list[str] | None, Any]:
    """The names of the columns, or None without a header; and the cells below as a frame."""
    import pandas

    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            lines = (line for line in stream if line.strip())
            first, second = next(lines, ""), next(lines, "")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("cannot be read as a table of text", file=file, found=error) from error
    if not first:
        raise UserError("is empty", file=file)
    delimiter = max(",;\t", key=first.count)
    top, below = (
        [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])] for line in (first, second)
    )
    has_header = bool(second) and _is_header(top, below)
    try:
        frame = pandas.read_csv(
            file,
            sep=delimiter,
            header=None,
            skiprows=1 if has_header else 0,
            skipinitialspace=True,
            encoding="utf-8-sig",
            names=range(len(top)),
            index_col=False,
            on_bad_lines="error",
        )
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise UserError("cannot be read as a table", file=file, found=str(error).splitlines()[0]) from error
    if not len(frame):
        raise UserError("holds no spectrum", file=file)
    return (top if has_header else None), frame


def _number(cell: str) -> float | None:
    try:
        return float(cell or "nan")
    except ValueError:
        return None


def _is_header(top: list[str], below: list[str]) -> bool:
    """Whether a row names columns: it has text where the next has numbers, or wavelengths and the next has not."""
    kinds = [[_number(cell) is None for cell in row] for row in (top, below)]
    if any(is_text and not next_is for is_text, next_is in zip(*kinds, strict=False)):
        return True
    values = [[value for value in map(_number, row) if value is not None] for row in (top, below)]
    return _are_wavelengths(values[0]) and not _are_wavelengths(values[1])


def _are_wavelengths(values: list[float]) -> bool:
    array = np.asarray(values)
    low, high = _RANGE_NM
    return len(array) >= 3 and bool((np.diff(array) > 0).all() and low <= array[0] and array[-1] <= high)


def _columns(file: Path, names: list[str] | None, frame: Any) -> tuple[list[int], int | None]:
    """The columns that are bands, and that of the labels or None."""
    label = None
    if names is not None:
        label = next((number for number, name in enumerate(names) if name.lower() in LABEL_COLUMNS), None)
    bands = []
    for number in range(frame.shape[1]):
        if number == label:
            continue
        cells = frame[number]
        if cells.dtype.kind not in "iufb":
            numeric = np.array([_number(str(cell)) is not None for cell in cells]) & cells.notna().to_numpy()
            if numeric.any() and not numeric.all():
                row = int(np.flatnonzero(~numeric & cells.notna().to_numpy())[0])
                called = str(number + 1) if names is None else names[number]
                remedy = "leave the cell empty where nothing was measured"
                raise UserError(
                    "is not a number",
                    file=file,
                    key=f"column {called}, spectrum {row + 1}",
                    found=repr(cells.iloc[row]),
                    remedy=remedy,
                )
        else:
            bands.append(number)
    if names is not None and sum(_BAND.match(names[number]) is not None for number in bands) >= 2:
        bands = [number for number in bands if _BAND.match(names[number])]
    if not bands:
        raise UserError("holds no column of numbers", file=file)
    left = [number for number in range(frame.shape[1]) if number != label and number not in bands]
    if left:
        called = ", ".join(str(number + 1) if names is None else names[number] for number in left[:5])
        log.info("%s: left out, as no band: %s", file, called)
    return bands, label


def _wavelengths(names: list[str]) -> np.ndarray | None:
    """Wavelengths in nm from the names of the bands; None if they say none."""
    matches = [_BAND.match(name) for name in names]
    found = [match for match in matches if match is not None]
    if len(found) < len(names):
        return None
    values = np.array([float(match[1]) for match in found])
    units = {(match[2] or "").lower() for match in found}
    if len(units) > 1:
        return None
    if units == {""} and (values == np.round(values)).all() and values.min() < 100:
        return None  # they count the bands
    return to_nanometres(values, units.pop())


def _labels(file: Path, cells: Any) -> tuple[np.ndarray, list[str]]:
    """Labels (N,) int32, 0 where there is none, and the names of 1, 2, ... if the column has names."""
    if cells.dtype.kind not in "iufb":
        texts = cells.fillna("").astype(str).str.strip()
        names = sorted(set(texts) - {""})
        codes = {name: code for code, name in enumerate(names, start=1)}
        return np.array([codes.get(text, 0) for text in texts], np.int32), names
    values = cells.to_numpy(np.float64, na_value=0)
    if (values != np.round(values)).any():
        raise UserError("labels are not whole numbers", file=file, found=float(values[values != np.round(values)][0]))
    return values.astype(np.int32), []
