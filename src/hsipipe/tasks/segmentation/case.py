"""The case file of segmentation: what each pixel is for; spectra and labels stay in the scenes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.bands.selection import BandSelection
from hsipipe.cases.pixels import ROLES, TEST
from hsipipe.cases.split import Unit
from hsipipe.errors import UserError, unknown
from hsipipe.files import atomic_path
from hsipipe.hdf5 import StackWriter, attach_axes, digest_of, read_strings, write_strings
from hsipipe.scenes.scene import Item
from hsipipe.tasks.case_file import OpenedCase

FORMAT = "hsipipe-segmentation-case-1"
AXES = {
    "spectra_roles": ("item", "row", "col"),
    "pixel_roles": ("item", "row", "col"),
    "rows": ("item",),
    "cols": ("item",),
    "wavelength_nm": ("band",),
    "band_index": ("band",),
}
Role = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Image:
    """A unit as methods see it.

    Attributes: name; cube (bands, rows, cols) float32 in the scene's units, finite: bands that the unit has no
    measurement of are interpolated, and invalid pixels are zero; valid (rows, cols); good (bands,): False for the bands
    that were interpolated, which are in no score; labels (rows, cols) int32 as the file has them, 0 where there is none
    or the pixel is invalid; wavelength_nm (bands,) or None; class_names: of the codes 1, 2, ..., or empty.
    """

    name: str
    cube: np.ndarray
    valid: np.ndarray
    good: np.ndarray
    labels: np.ndarray
    wavelength_nm: np.ndarray | None
    class_names: list[str]


def as_image(item: Item, name: str = "image") -> Image:
    """An item as methods see it.

    Raises:
        UserError: no valid pixel, or no band with a measurement.
    """
    path = item.source.get("path")
    cube = np.asarray(item.cube, np.float32)
    good = item.good_bands & np.isfinite(cube[:, item.valid]).all(axis=1)
    if not item.valid.any() or not good.any():
        raise UserError(f"{name!r} has no valid pixel", file=path, remedy="leave it out")
    if not good.all():
        cube = fill_bands(cube, good, item.wavelength_nm)
    cube = np.where(item.valid, cube, np.float32(0))
    return Image(name, cube, item.valid, good, labels_of(item), item.wavelength_nm, item.class_names)


def labels_of(item: Item) -> np.ndarray:
    """The labels (rows, cols) int32 of an item, 0 where it has none; of abundances those of the commonest material."""
    if item.labels is not None:
        labels = item.labels
    elif item.abundances is not None:
        labels = np.where(np.isfinite(item.abundances).all(axis=0), item.abundances.argmax(axis=0) + 1, 0)
    else:
        labels = np.zeros(item.valid.shape)
    return np.where(item.valid, labels, 0).astype(np.int32)


def fill_bands(cube: np.ndarray, good: np.ndarray, wavelength_nm: np.ndarray | None) -> np.ndarray:
    """A cube (bands, rows, cols) whose bands without a measurement are interpolated between their neighbours."""
    places = np.arange(len(cube), dtype=float) if wavelength_nm is None else wavelength_nm
    known = np.flatnonzero(good)[np.argsort(places[good], kind="stable")]
    filled = cube.copy()
    for band in np.flatnonzero(~good):
        above = int(np.searchsorted(places[known], places[band]))
        low, high = known[max(above - 1, 0)], known[min(above, len(known) - 1)]
        gap = places[high] - places[low]
        share = np.float32((places[band] - places[low]) / gap) if gap > 0 else np.float32(0)
        filled[band] = (1 - share) * cube[low] + share * cube[high]
    return filled


def write_case(
    path: str | Path,
    divided: Iterable[tuple[Unit, str, np.ndarray, np.ndarray]],
    *,
    selection: BandSelection,
    attributes: dict[str, Any],
) -> None:
    """Write the case file from (unit, digest of its data, roles of its spectra, roles of its labelled pixels)."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"format": FORMAT, "code_version": __version__})
        for key, value in attributes.items():
            file.attrs[key] = value if isinstance(value, (int, float, str)) else json.dumps(value, sort_keys=True)
        stacks = [StackWriter(file, name, np.uint8) for name in ("spectra_roles", "pixel_roles")]
        units, digests, sizes = [], [], []
        for unit, digest, *roles in divided:
            for stack, values in zip(stacks, roles, strict=True):
                stack.append(values)
            units.append(unit)
            sizes.append(roles[0].shape)
            digests.append(f"{digest}{unit.window}{digest_of(*roles)}")
        if not units:
            raise UserError("has no unit", file=path, remedy="look at the case's split")
        write_strings(file, "item", [json.dumps(unit.__dict__) for unit in units])
        file["rows"], file["cols"] = np.array(sizes, np.int32).T
        file["band_index"] = np.asarray(selection.indices, np.int32)
        if selection.wavelength_nm is not None:
            file["wavelength_nm"] = np.asarray(selection.wavelength_nm, np.float64)
            file["wavelength_nm"].attrs["units"] = "nm"
        file.attrs["content"] = digest_of(np.array(digests, dtype="S"), np.asarray(selection.indices))
        attach_axes(file, AXES)


class CaseFile(OpenedCase):
    """A segmentation case, opened for reading, with the scenes that its units come from.

    Attributes: path, name, units (by name, in the order of the file), wavelength_nm, band_index, content (digest),
    simulated.
    """

    def __init__(self, path: str | Path, scenes: Iterable[str | Path]) -> None:
        super().__init__(path, FORMAT, scenes)
        units = [Unit(**json.loads(text)) for text in read_strings(self._file, "item")]
        self.units = {unit.name: unit for unit in units}
        self._number = {unit.name: index for index, unit in enumerate(units)}
        self._sizes = list(zip(self._file["rows"][()].tolist(), self._file["cols"][()].tolist(), strict=True))
        self.simulated = any(scene.simulated for scene in self.scenes.values())

    def names(self, role: Role = "test") -> list[str]:
        """The units that have spectra or labelled pixels of a role."""
        value = ROLES[role]
        return [name for name in self.units if any((roles == value).any() for roles in self._roles(name))]

    def shown(self, number: int) -> str:
        """The test unit of a number; the last one where the case has fewer."""
        names = self.names("test")
        return names[min(number, len(names) - 1)]

    def image(self, name: str) -> Image:
        """A unit as methods see it."""
        if name not in self.units:
            raise unknown("unit", name, self.units, file=self.path)
        unit = self.units[name]
        if unit.scene not in self.scenes:
            raise unknown("scene", unit.scene, self.scenes, file=self.path)
        return as_image(self.scenes[unit.scene].read(unit.item, bands=self.band_index, window=unit.window), name)

    def spectra_roles(self, name: str) -> np.ndarray:
        """What each spectrum of a unit is for, (rows, cols) uint8: 0 not used, 1 training, 2 validation, 3 test."""
        return self._roles(name)[0]

    def pixel_roles(self, name: str) -> np.ndarray:
        """What each labelled pixel of a unit is for, likewise."""
        return self._roles(name)[1]

    def _roles(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        index = self._number[name]
        rows, cols = self._sizes[index]
        spectra, pixels = (self._file[key][index, :rows, :cols] for key in ("spectra_roles", "pixel_roles"))
        return spectra, pixels

    def spectra(self, role: Role) -> Iterator[np.ndarray]:
        """The spectra (N, bands) of a role, unit by unit."""
        value = ROLES[role]
        for name in self.names(role):
            image = self.image(name)
            chosen = (self.spectra_roles(name) == value) & image.valid
            if chosen.any():
                yield image.cube[:, chosen].T

    def test_labels(self, name: str) -> np.ndarray:
        """Where a classifier is tested, (rows, cols) bool."""
        return self.pixel_roles(name) == TEST
