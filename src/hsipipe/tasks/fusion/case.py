"""The case file of fusion: the pairs of images that methods see; truths stay in the scenes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.bands.selection import BandSelection
from hsipipe.cases.split import Unit
from hsipipe.degrade.blur import Blur
from hsipipe.degrade.pair import peer_normalise
from hsipipe.degrade.response import Response
from hsipipe.errors import UserError, unknown
from hsipipe.files import atomic_path
from hsipipe.hdf5 import StackWriter, attach_axes, digest_of, read_strings, write_strings
from hsipipe.scenes.scene import Scene
from hsipipe.tasks.case_file import OpenedCase

FORMAT = "hsipipe-fusion-case-1"
RESPONSE_NM = ("centres_nm", "lower_nm", "upper_nm")
SCALE_PERCENTILE = 99.9  # what the scaling by a factor brings to 1: a single glint must not darken all else
AXES = {
    "lr_hsi": ("item", "band", "low_row", "low_col"),
    "hr_msi": ("unit", "msi_band", "row", "col"),
    "low": ("unit",),
    "high": ("unit",),
    "unit_of_item": ("item",),
    "psf_of_item": ("item",),
    "low_rows": ("item",),
    "low_cols": ("item",),
    "srf": ("msi_band", "band"),
    "msi_centres_nm": ("msi_band",),
    "msi_lower_nm": ("msi_band",),
    "msi_upper_nm": ("msi_band",),
    "wavelength_nm": ("band",),
    "band_index": ("band",),
}


@dataclass(frozen=True)
class Truth:
    """A unit at full resolution, all bands scaled together by (value - low) / (high - low).

    Attributes: cube (bands, rows, cols) float32, rows and cols multiples of the ratio, invalid pixels filled with the
    band's mean; valid (rows, cols); good (bands,): False for bands that this unit has no measurement of, zero in the
    cube and in no score; low, high: in the scene's units; wavelength_nm (bands,) or None.
    """

    cube: np.ndarray
    valid: np.ndarray
    good: np.ndarray
    low: float
    high: float
    wavelength_nm: np.ndarray | None


@dataclass(frozen=True)
class Pair:
    """What a method is given: lr_hsi (C, h, w), hr_msi (m, H, W), psf (n, n), srf (m, C), and how they were made."""

    lr_hsi: np.ndarray
    hr_msi: np.ndarray
    psf: np.ndarray
    srf: np.ndarray
    ratio: int
    edge: str
    wavelength_nm: np.ndarray | None

    @property
    def blur(self) -> Blur:
        """The operator that made the HSI."""
        return Blur(self.psf, self.ratio, self.hr_msi.shape[1:], edge=self.edge)


def read_truth(scene: Scene, unit: Unit, bands: Sequence[int] | np.ndarray, *, ratio: int, scaling: str) -> Truth:
    """Read a unit's cube from its scene, cropped at its lower right to a multiple of the ratio, and scale it.

    Args:
        scaling: `factor`: the 99.9th percentile of all valid values becomes 1, zero stays zero, nothing is clipped;
            `percentiles`: as the paper does, see `peer_normalise`.

    Raises:
        UserError: a unit without a valid pixel, or smaller than two low-resolution pixels along a side.
    """
    rows, cols = ((end - start) // ratio * ratio for start, end in (unit.window[:2], unit.window[2:]))
    if min(rows, cols) < 2 * ratio:
        raise UserError(
            f"unit {unit.name!r} is smaller than two pixels of the low-resolution image",
            file=scene.path,
            key="ratio",
            found=ratio,
            remedy="take a smaller ratio or larger units",
        )
    window = (unit.row_start, unit.row_start + rows, unit.col_start, unit.col_start + cols)
    item = scene.read(unit.item, bands=bands, window=window)
    if not item.valid.any() or not item.good_bands.any():
        raise UserError(f"unit {unit.name!r} has no valid pixel", file=scene.path, remedy="leave its item out")
    cube = item.cube
    if not item.valid.all():
        cube = np.where(item.valid, cube, cube[:, item.valid].mean(axis=1)[:, None, None])
    good = item.good_bands
    if scaling == "percentiles":
        scaled, low, high = peer_normalise(cube[good], valid=item.valid)
    else:
        low, high = 0.0, float(np.percentile(cube[good][:, item.valid], SCALE_PERCENTILE))
        if high <= 0:
            raise UserError(f"unit {unit.name!r} has no value above zero", file=scene.path)
        scaled = cube[good] / np.float32(high)
    whole = np.zeros(cube.shape, np.float32)
    whole[good] = scaled
    return Truth(whole, item.valid, good, float(low), float(high), item.wavelength_nm)


def item_name(unit: Unit, psf: str) -> str:
    """The name of an item: its unit and its PSF, as the config spells it."""
    return f"{unit.name}/{psf}"


def write_case(
    path: str | Path,
    units: Iterable[tuple[Unit, Truth, np.ndarray, Sequence[np.ndarray]]],
    *,
    psfs: Mapping[str, np.ndarray],
    response: Response,
    selection: BandSelection,
    attributes: dict[str, Any],
) -> None:
    """Write the case file from (unit, truth, MSI, one HSI per PSF), one unit at a time."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["code_version"] = __version__
        for key, value in attributes.items():
            file.attrs[key] = value if isinstance(value, (int, float, str)) else json.dumps(value, sort_keys=True)
        hsi, msi = StackWriter(file, "lr_hsi", np.float32), StackWriter(file, "hr_msi", np.float32)
        written: list[Unit] = []
        names: list[str] = []
        units_of, psfs_of, sizes, ranges, digests = [], [], [], [], []
        for unit, truth, hr_msi, lr_hsis in units:
            msi.append(hr_msi)
            digests.append(digest_of(truth.cube, truth.valid, hr_msi, *lr_hsis))
            ranges.append((truth.low, truth.high))
            for number, (name, lr_hsi) in enumerate(zip(psfs, lr_hsis, strict=True)):
                hsi.append(lr_hsi)
                names.append(item_name(unit, name))
                units_of.append(len(written))
                psfs_of.append(number)
                sizes.append(lr_hsi.shape[1:])
            written.append(unit)
        if not written:
            raise UserError("has no unit to test", file=path, remedy="look at the case's split")
        write_strings(file, "item", names)
        write_strings(file, "unit", [json.dumps(unit.__dict__) for unit in written])
        file["unit_of_item"], file["psf_of_item"] = np.array(units_of, np.int32), np.array(psfs_of, np.int32)
        file["low_rows"], file["low_cols"] = np.array(sizes, np.int32).T
        file["low"], file["high"] = np.array(ranges).T
        file["srf"] = response.matrix
        file.attrs.update({"srf": response.name, "axis": response.axis})
        for name in RESPONSE_NM:
            value = getattr(response, name)
            if value is not None:
                file[f"msi_{name}"] = np.asarray(value, np.float64)
        file["band_index"] = np.asarray(selection.indices, np.int32)
        if selection.wavelength_nm is not None:
            file["wavelength_nm"] = np.asarray(selection.wavelength_nm, np.float64)
            file["wavelength_nm"].attrs["units"] = "nm"
        kernels = file.create_group("psf")
        for number, (name, kernel) in enumerate(psfs.items()):
            kernels[str(number)] = kernel
            kernels[str(number)].attrs["name"] = name
        digests.append(digest_of(response.matrix, *psfs.values()))
        file.attrs["content"] = digest_of(np.array(digests, dtype="S64"))
        attach_axes(file, AXES)


class CaseFile(OpenedCase):
    """A fusion case, opened for reading, with the scenes that its units come from.

    Attributes: path, name, items (names), units (in the order of the file), psfs (by name), response (MSI), ratio,
    edge, scaling, wavelength_nm, band_index, content (digest), simulated.
    """

    def __init__(self, path: str | Path, scenes: Iterable[str | Path]) -> None:
        super().__init__(path, FORMAT, scenes)
        self.units = [Unit(**json.loads(text)) for text in read_strings(self._file, "unit")]
        self.items = read_strings(self._file, "item")
        kernels = [self._file["psf"][str(number)] for number in range(len(self._file["psf"]))]
        self.psfs: dict[str, np.ndarray] = {str(kernel.attrs["name"]): kernel[()] for kernel in kernels}
        self.response = Response(
            self._file["srf"][()],
            str(self._file.attrs["srf"]),
            centres_nm=self._optional("msi_centres_nm"),
            lower_nm=self._optional("msi_lower_nm"),
            upper_nm=self._optional("msi_upper_nm"),
            axis=str(self._file.attrs["axis"]),
        )
        self.ratio = int(self._file.attrs["ratio"])
        self.edge, self.scaling = str(self._file.attrs["edge"]), str(self._file.attrs["scaling"])
        self.simulated = any(scene.simulated for scene in self.scenes.values())

    def _index(self, item: str) -> int:
        if item not in self.items:
            raise unknown("item", item, self.items, file=self.path)
        return self.items.index(item)

    def unit(self, item: str) -> Unit:
        """The unit of an item."""
        return self.units[self._file["unit_of_item"][self._index(item)]]

    def psf_name(self, item: str) -> str:
        """The name of an item's PSF."""
        return list(self.psfs)[self._file["psf_of_item"][self._index(item)]]

    def shown(self, *, unit: int, psf: int) -> str:
        """The item of the unit and the PSF of these numbers; of the last unit where the case has fewer."""
        return item_name(self.units[min(unit, len(self.units) - 1)], list(self.psfs)[psf])

    def pair(self, item: str) -> Pair:
        """The images of an item, with all that is known of how they were made."""
        index = self._index(item)
        rows, cols = int(self._file["low_rows"][index]), int(self._file["low_cols"][index])
        unit = int(self._file["unit_of_item"][index])
        return Pair(
            lr_hsi=self._file["lr_hsi"][index, :, :rows, :cols],
            hr_msi=self._file["hr_msi"][unit, :, : rows * self.ratio, : cols * self.ratio],
            psf=self.psfs[self.psf_name(item)],
            srf=self.response.matrix,
            ratio=self.ratio,
            edge=self.edge,
            wavelength_nm=self.wavelength_nm,
        )

    def truth(self, item: str) -> Truth:
        """The scene at full resolution that an item was made of."""
        unit = self.unit(item)
        if unit.scene not in self.scenes:
            raise unknown("scene", unit.scene, self.scenes, file=self.path)
        return read_truth(self.scenes[unit.scene], unit, self.band_index, ratio=self.ratio, scaling=self.scaling)
