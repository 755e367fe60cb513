"""The case file of representation: the images at their final size, who they are of, and the folds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.errors import UserError
from hsipipe.files import atomic_path
from hsipipe.hdf5 import attach_axes, digest_of, read_strings, write_strings
from hsipipe.tasks.case_file import OpenedCase

FORMAT = "hsipipe-representation-case-1"
CHUNK_BANDS = 16  # bands in a chunk: a training on few of many bands reads little more than these
CHUNK_BYTES = 2**18  # about; small images share a chunk
AXES = {
    "images": ("item", "band", "row", "col"),
    "masks": ("item", "row", "col"),
    "train": ("fold", "item"),
    "test": ("fold", "item"),
    "wavelength_nm": ("band",),
    "band_index": ("band",),
}


@dataclass(frozen=True)
class Identity:
    """Who an image is of. Attributes: name (unique), species (its class), group (individual or block of pixels, never
    on both sides of a fold), session (of the recording), side."""

    name: str
    species: str
    group: str
    session: str = ""
    side: str = ""


@dataclass(frozen=True)
class Prepared:
    """An image, ready to be stored. Attributes: identity; cube (bands, rows, cols) float32 reflectance, 0 where there
    is no specimen; mask (rows, cols) bool."""

    identity: Identity
    cube: np.ndarray
    mask: np.ndarray


def write_case(
    path: str | Path,
    images: Iterable[Prepared],
    folds: Any,
    *,
    band_index: np.ndarray,
    wavelength_nm: np.ndarray | None,
    attributes: dict[str, Any],
) -> None:
    """Write the case file, one image at a time.

    Args:
        images: all of one size and number of bands.
        folds: a function of the identities that gives (train, test), (folds, items) bool each.
        band_index, wavelength_nm: (bands,) of the scene's bands that are used.
        attributes: plain values to keep.

    Raises:
        UserError: no image, or names that repeat.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"format": FORMAT, "code_version": __version__})
        for key, value in attributes.items():
            file.attrs[key] = value if isinstance(value, (int, float, str)) else json.dumps(value, sort_keys=True)
        stored: h5py.Dataset | None = None
        waiting: list[Prepared] = []
        identities: list[Identity] = []
        digests: list[str] = []
        for image in images:
            if stored is None:
                stored, masks = _make_datasets(file, image.cube.shape)
            waiting.append(image)
            if len(waiting) == stored.chunks[0]:
                _store(stored, masks, waiting)
            identities.append(image.identity)
            digests.append(digest_of(np.asarray(image.cube, np.float16), image.mask))
        if stored is not None:
            _store(stored, masks, waiting)
        if stored is None:
            raise UserError("has no image", file=path, remedy="look at the case's scenes")
        names = [identity.name for identity in identities]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError("two images have one name", file=path, found=twice)
        train, test = folds(identities)
        file["train"], file["test"] = np.asarray(train, np.uint8), np.asarray(test, np.uint8)
        write_strings(file, "item", names)
        write_strings(file, "identity", [json.dumps(identity.__dict__) for identity in identities])
        file["band_index"] = np.asarray(band_index, np.int32)
        if wavelength_nm is not None:
            file["wavelength_nm"] = np.asarray(wavelength_nm, np.float64)
            file["wavelength_nm"].attrs["units"] = "nm"
        file.attrs["content"] = digest_of(np.array(digests, dtype="S"), file["train"][()], file["test"][()])
        attach_axes(file, AXES)


def _make_datasets(file: h5py.File, shape: tuple[int, ...]) -> tuple[h5py.Dataset, h5py.Dataset]:
    bands, rows, cols = shape
    together = min(bands, CHUNK_BANDS)
    items = max(1, min(64, CHUNK_BYTES // (2 * together * rows * cols)))
    stored = file.create_dataset(
        "images",
        (0, bands, rows, cols),
        maxshape=(None, bands, rows, cols),
        chunks=(items, together, rows, cols),
        dtype=np.float16,
    )
    masks = file.create_dataset(
        "masks", (0, rows, cols), maxshape=(None, rows, cols), chunks=(items, rows, cols), dtype=np.uint8
    )
    return stored, masks


def _store(stored: h5py.Dataset, masks: h5py.Dataset, waiting: list[Prepared]) -> None:
    """Append the images that wait, a chunk of them at a time."""
    before = len(stored)
    for dataset, values in ((stored, [image.cube for image in waiting]), (masks, [image.mask for image in waiting])):
        if values:
            dataset.resize(before + len(values), axis=0)
            dataset[before:] = np.stack(values)
    waiting.clear()


class CaseFile(OpenedCase):
    """A representation case, opened for reading.

    Attributes: path, name, identities (in the order of the file), species (the classes, rising), wavelength_nm,
    band_index, folds (how many), shape (bands, rows, cols), content (digest), simulated, patches (whether images are
    patches of scenes).
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, FORMAT)
        self.identities = [Identity(**json.loads(text)) for text in read_strings(self._file, "identity")]
        self.species = sorted({identity.species for identity in self.identities})
        self.folds = len(self._file["train"])
        self.shape: tuple[int, int, int] = self._file["images"].shape[1:]
        self.simulated = bool(self._file.attrs["simulated"])
        self.patches = bool(self._file.attrs["patches"])

    def __len__(self) -> int:
        return len(self.identities)

    @property
    def names(self) -> list[str]:
        """Names of the images."""
        return [identity.name for identity in self.identities]

    @property
    def labels(self) -> np.ndarray:
        """The number of each image's class among `species`, (N,)."""
        return np.array([self.species.index(identity.species) for identity in self.identities])

    @property
    def groups(self) -> np.ndarray:
        """The individual or block of each image, (N,) text."""
        return np.array([identity.group for identity in self.identities])

    @property
    def sessions(self) -> np.ndarray:
        """The session of each image, (N,) text."""
        return np.array([identity.session for identity in self.identities])

    def fold(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the images that the run of a seed trains on and is tested on."""
        number = seed % self.folds
        train, test = (np.flatnonzero(self._file[name][number]) for name in ("train", "test"))
        return train, test

    def read(
        self, numbers: Sequence[int] | np.ndarray, *, bands: Sequence[int] | np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, C, rows, cols) float32 and masks (N, rows, cols) bool.

        Args:
            numbers: of the images, in any order.
            bands: places among the case's bands, rising; None: all.
        """
        chosen = np.asarray(numbers, int)
        order, back = np.unique(chosen, return_inverse=True)
        which: Any = slice(None) if bands is None else np.asarray(bands, int)
        images, masks = self._file["images"], self._file["masks"][()].astype(bool)
        if 4 * len(order) > len(images):  # most of it: reading all is faster than picking
            return images[:, which][chosen].astype(np.float32), masks[chosen]
        bands_read = images.shape[1] if bands is None else len(which)
        cubes = np.zeros((len(order), bands_read, *self.shape[1:]), np.float32)
        for place, number in enumerate(order):
            cubes[place] = images[number, which]
        return cubes[back], masks[chosen]
