"""Where label maps go: pictures and rasters for images, lists of labels for tables of spectra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.files import atomic_path
from hsipipe.scenes.readers import read_labels, split_key
from hsipipe.scenes.readers.numpy_files import map_npy
from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers import check_place
from hsipipe.tasks.segmentation.files.tables import is_csv, is_table, read_table, write_columns
from hsipipe.tasks.segmentation.label_maps import SUFFIXES, Legend, write_label_map

LIST_SUFFIXES = (".npy", ".csv", ".mat")  # labels of a table


def check_map_output(path: str | Path) -> Path:
    """The path, if labels can be written to it.

    Raises:
        UserError: another extension, or a place where no file can be made.
    """
    target = Path(path)
    if target.suffix.lower() not in (*SUFFIXES, ".csv"):
        remedy = f"choose one of {', '.join(SUFFIXES)}, or .csv for a table of spectra"
        raise UserError("label maps are not written in this format", file=target, found=target.suffix, remedy=remedy)
    return check_place(target)


def check_form(item: Item, path: str | Path) -> None:
    """Refuse a picture or raster of a table of spectra, and a .csv of an image.

    Raises:
        UserError: one of these.
    """
    suffix = Path(path).suffix.lower()
    if is_table(item) and suffix not in LIST_SUFFIXES:
        remedy = f"choose one of {', '.join(LIST_SUFFIXES)}"
        raise UserError("a table of spectra has no map", file=path, found=suffix, remedy=remedy)
    if not is_table(item) and suffix == ".csv":
        raise UserError("a label map has rows and columns", file=path, remedy=f"choose one of {', '.join(SUFFIXES)}")


def write_labels(path: str | Path, labels: np.ndarray, legend: Legend, *, item: Item, title: str = "") -> None:
    """Write the labels (rows, cols) of an item: a map as `write_label_map` does; of a table a list.

    A list is (N,) in .npy, a column `label` in .csv, and (N, 1) `labels` in .mat; 0 is no label.

    Raises:
        UserError: a picture of a table, or a .csv of an image.
    """
    check_form(item, path)
    suffix = Path(path).suffix.lower()
    if not is_table(item):
        write_label_map(path, labels, legend, source=item.source, title=title)
        return
    if suffix == ".csv":
        write_columns(path, {"label": labels[:, 0]})
    elif suffix == ".npy":
        codes = np.maximum(labels[:, 0], 0).astype(np.uint8 if max(legend.codes, default=0) < 256 else np.uint16)
        with atomic_path(path) as temporary:
            np.save(temporary, codes, allow_pickle=False)
    else:
        write_label_map(path, labels, legend)


def read_map(address: str | Path) -> np.ndarray:
    """Read a label map (rows, cols), or a list of labels as (N, 1): `FILE[:KEY]`, int32, 0 and below no label.

    Raises:
        UserError: as `read_labels`, or a table without labels.
    """
    path, key = split_key(address)
    if not path.exists():
        raise UserError("does not exist", file=path)
    if is_csv(path):
        return _list_of_csv(path)
    if path.suffix.lower() == ".npy" and key is None:
        stored = map_npy(path)
        if stored.ndim == 1:
            values = np.array(stored)
            if values.dtype.kind not in "iufb" or (values != np.round(values)).any():
                raise UserError("labels are not whole numbers", file=path, found=values.dtype)
            return values.astype(np.int32)[:, None]
    return read_labels(address)


def _list_of_csv(path: Path) -> np.ndarray:
    """Labels (N, 1) of a table: its column of labels, or its only column."""
    import pandas

    try:
        frame = pandas.read_csv(path, skip_blank_lines=False)
        if frame.shape[1] == 1:
            frame = frame if not _is_number(frame.columns[0]) else pandas.read_csv(path, header=None)
            values = frame.iloc[:, 0].fillna(0).to_numpy(np.float64)
            if (values != np.round(values)).any():
                raise UserError("labels are not whole numbers", file=path)
            return values.astype(np.int32)[:, None]
    except (ValueError, OSError) as error:
        raise UserError("cannot be read as a list of labels", file=path, found=str(error).splitlines()[0]) from error
    labels = read_table(path).labels
    if labels is None:
        raise UserError("has no column `label`", file=path, remedy="name the column of the labels `label`")
    return labels


def _is_number(name: Any) -> bool:
    return str(name).replace(".", "", 1).removeprefix("-").isdigit()


def pair_maps(inputs: Sequence[str], output: str) -> list[tuple[Path, Path]]:
    """Each input with its map: `output` itself, or one file of its name in a folder.

    It is a folder if it exists as one, ends with a slash, or there are several inputs. Maps in it are .npy, .mat or
    .csv where the input is, otherwise .tif.

    Raises:
        UserError: several inputs into one file.
    """
    folder = Path(output)
    called_folder = output.endswith("/") or folder.is_dir()
    if len(inputs) > 1 and not called_folder and (folder.suffix or folder.exists()):
        remedy = f"there are {len(inputs)} inputs; end its name with / if it is to be one"
        raise UserError("must be a folder", file=folder, remedy=remedy)
    if len(inputs) == 1 and not called_folder:
        return [(Path(inputs[0]), folder)]
    pairs = []
    for source in map(Path, inputs):
        kept = source.suffix.lower() if source.suffix.lower() in LIST_SUFFIXES else ".tif"
        pairs.append((source, folder / f"{source.stem}{kept}"))
    return pairs
