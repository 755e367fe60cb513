"""Items from the files of a catalogued scene: image, labels, endmembers, abundances and band centres together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError
from hsipipe.files import write_text
from hsipipe.scenes.archives import unpack
from hsipipe.scenes.catalogue import RECORD_NAME, SceneEntry, SceneFile
from hsipipe.scenes.class_names import class_names_of
from hsipipe.scenes.download import read_records
from hsipipe.scenes.readers import detect_format, read_image, read_labels
from hsipipe.scenes.readers.folder import read_folder
from hsipipe.scenes.readers.hdf5 import hdf5_arrays, open_hdf5
from hsipipe.scenes.readers.matlab import load_matlab5
from hsipipe.scenes.readers.numpy_files import map_npy
from hsipipe.scenes.readers.wavelengths import to_nanometres
from hsipipe.scenes.scene import Item


def read_scene_files(entry: SceneEntry, folder: str | Path) -> Iterator[Item]:
    """Assemble a scene's items from the files that `download_scene` brought to `folder`.

    One item per image, named after its file (or after the scene, if it has one image only). Labels belong to the image
    of the same file name, or to the only image. Labels that are finer than the image by a whole factor become, per
    pixel, the label that most of its parts bear. A scene with endmembers and abundances but no image is their linear
    mixture, and simulated. Archives are unpacked once (`unpack_scene`) and read as a folder.

    Yields:
        Items whose `source` also tells scene, url, sha256, licence and whether the scene is simulated.

    Raises:
        UserError: nothing to read, a file that is missing, or parts that do not fit each other.
    """
    root = Path(folder)
    if archives := entry.in_role("archive"):
        for item in read_folder(unpack_scene(entry, root)):
            item.source |= {"scene": entry.name, "licence": archives[0].licence, "simulated": entry.simulated}
            yield item
        return
    images = entry.in_role("image")
    if not images:
        yield _mixture(entry, root)
        return
    for image in images:
        item = read_image(_present(root, image), key=image.key or None)
        if len(images) == 1:
            item.name = entry.name
        _describe(item, entry, image, root)
        if labels := _partner(entry, image, "labels"):
            item.labels, factor = _labels(root, labels, item)
            item.class_names = class_names_of(entry.name) or item.class_names
            if factor > 1:
                item.source["labels_coarsened_by"] = factor
        if centres := _partner(entry, image, "wavelengths"):
            item.wavelength_nm, item.fwhm_nm = _wavelengths(_present(root, centres), centres.key, len(item.cube))
        if abundances := _partner(entry, image, "abundances"):
            item.abundances = _abundances(_present(root, abundances), abundances.key, item.cube.shape[1:])
        if endmembers := _partner(entry, image, "endmembers"):
            item.endmembers = _endmembers(_present(root, endmembers), endmembers.key, len(item.cube))
        _check_truth(item, entry)
        yield item


def unpack_scene(entry: SceneEntry, folder: str | Path) -> Path:
    """Unpack a scene's archives to `folder/unpacked`, each once, and return the folder that holds their content.

    Where all archives share one top folder, as HySpecNet-11k's do (`hyspecnet-11k/patches`, `hyspecnet-11k/splits`),
    it is that.

    Raises:
        UserError: an archive is missing or refused by `unpack`.
    """
    unpacked = Path(folder) / "unpacked"
    for archive in entry.in_role("archive"):
        path = _present(Path(folder), archive)
        done = unpacked / f".{path.name}.done"
        # Size and time, not the hash: that was checked on download, and archives are large.
        state = f"{path.stat().st_size} {path.stat().st_mtime_ns}\n"
        if not done.exists() or done.read_text(encoding="utf-8") != state:
            unpack(path, unpacked)
            write_text(done, state)
    visible = [path for path in unpacked.iterdir() if not path.name.startswith(".")]
    return visible[0] if len(visible) == 1 and visible[0].is_dir() else unpacked


def _present(root: Path, file: SceneFile) -> Path:
    path = root / file.file
    if not path.is_file():
        raise UserError("is not there", file=path, remedy="download the scene first")
    return path


def _partner(entry: SceneEntry, image: SceneFile, role: str) -> SceneFile | None:
    candidates = entry.in_role(role)
    if len(candidates) == 1 and (len(entry.in_role("image")) == 1 or role in ("wavelengths", "endmembers")):
        return candidates[0]
    same = [file for file in candidates if Path(file.file).stem == Path(image.file).stem]
    if candidates and len(same) != 1:
        raise UserError(
            f"scene {entry.name!r} has {len(candidates)} files of {role}, {len(same)} of them named as the image",
            file=image.file,
            remedy="give them the image's file name in another folder",
        )
    return same[0] if same else None


def _describe(item: Item, entry: SceneEntry, file: SceneFile, root: Path) -> None:
    recorded = None if file.sha256 else read_records(root / RECORD_NAME).get(file.file)
    item.source |= {
        "scene": entry.name,
        "path": file.file,
        "url": file.url,
        "sha256": recorded[0] if recorded else file.sha256,
        "licence": file.licence,
        "simulated": entry.simulated,
    }


def _labels(root: Path, file: SceneFile, item: Item) -> tuple[np.ndarray, int]:
    path = _present(root, file)
    rows, cols = item.cube.shape[1:]
    labels = read_labels(f"{path}:{file.key}" if file.key else path)
    factor = labels.shape[0] // rows
    if factor > 1 and labels.shape == (factor * rows, factor * cols):
        return _majority(labels, factor), factor
    # The common way, which turns a map if need be and says what does not fit.
    return read_labels(f"{path}:{file.key}" if file.key else path, (rows, cols)), 1


def _majority(labels: np.ndarray, factor: int) -> np.ndarray:
    """The most frequent label of each factor x factor block (the smallest of equals): (rows, cols) int32."""
    rows, cols = labels.shape[0] // factor, labels.shape[1] // factor
    blocks = labels.reshape(rows, factor, cols, factor).transpose(0, 2, 1, 3).reshape(rows, cols, -1)
    values = np.unique(labels)
    counts = np.stack([(blocks == value).sum(-1) for value in values])
    return values[counts.argmax(0)].astype(np.int32)


def _wavelengths(path: Path, key: str, bands: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Band centres and, where the file gives them, widths in nm.

    From a text file the first two numbers of each line that starts with a number; `key` then names the bands kept.
    From any other file the array `key`.
    """
    if path.suffix.lower() in (".spc", ".txt", ".csv", ".tsv", ".wav"):
        rows = [line for line in re.split(r"\r?\n", path.read_text(encoding="utf-8")) if re.match(r"\s*[-+.]?\d", line)]
        numbers = [[float(cell) for cell in re.findall(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?", row)] for row in rows]
        kept = _ranges(key, path, len(numbers)) if key else range(len(numbers))
        centres = to_nanometres(np.array([numbers[band][0] for band in kept]), file=path)
        wide = all(len(numbers[band]) > 1 for band in kept)
        widths = np.array([numbers[band][1] for band in kept]) if wide else None
    else:
        centres = to_nanometres(_array(path, key).ravel(), file=path)
        widths = None
    if len(centres) != bands:
        raise UserError(
            "wavelengths do not match the image", file=path, key=key, found=f"{len(centres)} for {bands} bands"
        )
    return centres, widths


def _ranges(text: str, path: Path, count: int) -> list[int]:
    """0-based indices from 1-based ranges.

    >>> _ranges("1-3,5", Path("x"), 9)
    [0, 1, 2, 4]
    """
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise UserError("is not a list of bands", file=path, key=text, remedy="write such as 1-103,109-149")
    bands: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        bands += range(int(first) - 1, int(last or first))
    if min(bands) < 0 or max(bands) >= count:
        raise UserError("names bands that the file does not list", file=path, key=text, found=f"{count} lines")
    return bands


def _array(path: Path, key: str) -> np.ndarray:
    """An array of truth as its file holds it (MATLAB's with MATLAB's axes), not taken for an image."""
    kind = detect_format(path)
    if kind == "matlab5":
        found = load_matlab5(path, [key])
    elif kind in ("matlab7.3", "hdf5"):
        with open_hdf5(path) as file:
            arrays = hdf5_arrays(file, matlab=kind == "matlab7.3")
            found = {key: arrays[key][()].T if kind == "matlab7.3" else arrays[key][()]} if key in arrays else {}
    elif kind == "npy":
        found = {key: np.asarray(map_npy(path))}
    else:
        raise UserError("is not a MATLAB, HDF5 or .npy file, which truth is read from", file=path, found=kind)
    if key not in found or found[key].dtype.kind not in "iuf":
        raise UserError("has no such numeric array", file=path, key=key, remedy="correct the catalogue's key")
    return found[key]


def _endmembers(path: Path, key: str, bands: int) -> np.ndarray:
    """(endmembers, bands) float32 from a matrix that has them in either order."""
    matrix = _array(path, key)
    if matrix.shape[1] == bands:
        return matrix.astype(np.float32)
    if matrix.shape[0] == bands:
        return matrix.T.astype(np.float32)
    raise UserError("endmembers do not match the image", file=path, key=key, found=f"{matrix.shape} for {bands} bands")


def _abundances(path: Path, key: str, shape: tuple[int, ...] | None) -> np.ndarray:
    """(endmembers, rows, cols) float32 from an array (rows, cols, endmembers)."""
    stored = _array(path, key)
    if stored.ndim != 3:
        raise UserError("abundances have rows, columns and endmembers", file=path, key=key, found=stored.shape)
    abundances = np.ascontiguousarray(stored.transpose(2, 0, 1))
    if shape is not None and abundances.shape[1:] != shape:
        raise UserError(
            "abundances do not fit the image", file=path, key=key, found=f"{abundances.shape[1:]} for {shape}"
        )
    return abundances.astype(np.float32)


def _check_truth(item: Item, entry: SceneEntry) -> None:
    if item.endmembers is not None and item.abundances is not None and len(item.endmembers) != len(item.abundances):
        raise UserError(
            f"scene {entry.name!r} has {len(item.endmembers)} endmembers and abundances of {len(item.abundances)}"
        )


def _mixture(entry: SceneEntry, root: Path) -> Item:
    shares, spectra = entry.in_role("abundances"), entry.in_role("endmembers")
    if len(shares) != 1 or len(spectra) != 1:
        raise UserError(
            f"scene {entry.name!r} has no image",
            found=", ".join(f"{file.role} {file.file}" for file in entry.files),
            remedy="give it a file in the role image",
        )
    abundances = _abundances(_present(root, shares[0]), shares[0].key, None)
    matrix = _array(_present(root, spectra[0]), spectra[0].key)
    endmembers = (matrix if len(matrix) == len(abundances) else matrix.T).astype(np.float32)
    if len(endmembers) != len(abundances):
        raise UserError(f"scene {entry.name!r}: endmembers {matrix.shape} do not match {len(abundances)} abundances")
    item = Item(
        cube=np.einsum("kb,krc->brc", endmembers, abundances, optimize=True).astype(np.float32),
        name=entry.name,
        abundances=abundances,
        endmembers=endmembers,
        source={"format": "linear mixture", "dtype": "float32"},
    )
    _describe(item, entry, shares[0], root)
    item.source["simulated"] = True
    return item
