"""The case file of denoising: the noisy units and the normalisers that belong to them; truths stay in the scenes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.bands.selection import BandSelection
from hsipipe.cases.split import Unit
from hsipipe.degrade.normalise import band_minmax, normalise
from hsipipe.errors import UserError, unknown
from hsipipe.files import atomic_path
from hsipipe.hdf5 import StackWriter, attach_axes, digest_of, read_strings, write_strings
from hsipipe.scenes.scene import Scene
from hsipipe.tasks.case_file import OpenedCase

FORMAT = "hsipipe-denoising-case-1"
AXES = {
    "noisy": ("item", "band", "row", "col"),
    "low": ("item", "band"),
    "high": ("item", "band"),
    "rows": ("item",),
    "cols": ("item",),
    "part": ("item",),
    "unit": ("item",),
    "wavelength_nm": ("band",),
    "band_index": ("band",),
}


@dataclass(frozen=True)
class Truth:
    """A clean unit, each band scaled to [0, 1] by its own smallest and largest valid value.

    Attributes: cube (bands, rows, cols) float32 in [0, 1], invalid pixels filled with the band's mean; valid (rows,
    cols); good (bands,): False for bands that this unit has no measurement of, zero in the cube and in no score; low,
    high (bands,): the range in the scene's units; wavelength_nm (bands,) or None.
    """

    cube: np.ndarray
    valid: np.ndarray
    good: np.ndarray
    low: np.ndarray
    high: np.ndarray
    wavelength_nm: np.ndarray | None


def read_truth(scene: Scene, unit: Unit, bands: Sequence[int] | np.ndarray) -> Truth:
    """Read a unit's clean cube from its scene and normalise it, as the paper does: by band, by patch."""
    item = scene.read(unit.item, bands=bands, window=unit.window)
    if not item.valid.any():
        raise UserError(f"unit {unit.name!r} has no valid pixel", file=scene.path, remedy="leave its item out")
    low, high = band_minmax(item.cube, item.valid)
    cube = normalise(item.cube, low, high)
    if not item.valid.all():
        cube = np.where(item.valid, cube, cube[:, item.valid].mean(axis=1)[:, None, None])
    cube = np.where(item.good_bands[:, None, None], cube, 0)
    return Truth(cube.astype(np.float32), item.valid, item.good_bands, low, high, item.wavelength_nm)


def write_case(
    path: str | Path,
    units: Iterable[tuple[Unit, Truth, np.ndarray]],
    *,
    selection: BandSelection,
    train_digest: str,
    attributes: dict[str, Any],
) -> None:
    """Write the case file from (unit, truth, noisy) triples, one at a time; noise is kept as float16.

    float16 resolves [0, 1] to 2^-11 of the value, an error of about -80 dB, far below the noise of any case.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["code_version"] = __version__
        for key, value in attributes.items():
            file.attrs[key] = value if isinstance(value, (int, float, str)) else json.dumps(value, sort_keys=True)
        stack = StackWriter(file, "noisy", np.float16)
        written: list[Unit] = []
        ranges: list[tuple[np.ndarray, np.ndarray]] = []
        sizes: list[tuple[int, int]] = []
        digests = [train_digest]
        for unit, truth, noisy in units:
            stored = noisy.astype(np.float16)
            stack.append(stored)
            digests.append(digest_of(stored, truth.cube, truth.valid))
            # Not the truth itself: a case of thousands of units would not fit into memory.
            written.append(unit)
            ranges.append((truth.low, truth.high))
            sizes.append(truth.valid.shape)
        if not written:
            raise UserError("has no unit for validation or test", file=path, remedy="look at the case's split")
        write_strings(file, "item", [unit.name for unit in written])
        write_strings(file, "part", [unit.part for unit in written])
        write_strings(file, "unit", [json.dumps(unit.__dict__) for unit in written])
        file["low"], file["high"] = np.stack(ranges, axis=1).astype(np.float32)
        file["rows"], file["cols"] = np.array(sizes, np.int32).T
        file["band_index"] = np.asarray(selection.indices, np.int32)
        if selection.wavelength_nm is not None:
            file["wavelength_nm"] = np.asarray(selection.wavelength_nm, np.float64)
            file["wavelength_nm"].attrs["units"] = "nm"
        file.attrs["content"] = digest_of(np.array(digests, dtype="S64"))
        attach_axes(file, AXES)


class CaseFile(OpenedCase):
    """A denoising case, opened for reading, with the scenes that its units come from.

    Attributes: path, name, units (name -> Unit; validation and test), wavelength_nm, band_index, content (digest of all
    that a method can see), simulated.
    """

    def __init__(self, path: str | Path, scenes: Iterable[str | Path]) -> None:
        super().__init__(path, FORMAT, scenes)
        units = [Unit(**json.loads(text)) for text in read_strings(self._file, "unit")]
        self.units = {unit.name: unit for unit in units}
        self._index = {unit.name: index for index, unit in enumerate(units)}
        self.simulated = any(scene.simulated for scene in self.scenes.values())

    def names(self, part: str) -> list[str]:
        """The units of a part, in the order of the file."""
        return [name for name, unit in self.units.items() if unit.part == part]

    def noisy(self, name: str) -> np.ndarray:
        """The noisy cube of a unit: (bands, rows, cols) float32."""
        if name not in self._index:
            raise unknown("unit", name, self._index, file=self.path)
        index = self._index[name]
        rows, cols = int(self._file["rows"][index]), int(self._file["cols"][index])
        return self._file["noisy"][index, :, :rows, :cols].astype(np.float32)

    def truth(self, name: str) -> Truth:
        """The clean cube of a unit, read from its scene."""
        return self.truth_of(self.units[name])

    def truth_of(self, unit: Unit) -> Truth:
        """The clean cube of any unit of the case's scenes, such as a training unit."""
        if unit.scene not in self.scenes:
            raise unknown("scene", unit.scene, self.scenes, file=self.path)
        return read_truth(self.scenes[unit.scene], unit, self.band_index)
