"""From a file to the two files of a fusion pair: `hsipipe degrade IN LR_OUT MSI_OUT`."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.degrade.pair import degrade_pair, peer_normalise
from hsipipe.degrade.psf import make_psf
from hsipipe.degrade.response import FWHM_FACTOR, Response, coverage, make_srf
from hsipipe.degrade.tables import is_table_path, split_table_key
from hsipipe.errors import UserError
from hsipipe.scenes.readers import read_image
from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers import check_outputs, write_image
from hsipipe.scenes.writers.check import written_files

log = logging.getLogger(__name__)

MOST_DECIBELS = 200.0  # beyond it the noise, or the signal, is far below what float32 can tell from nothing


@dataclass(frozen=True)
class PairSettings:
    """How to make a pair of an image; see `hsipipe.degrade.pair.degrade_pair` and `hsipipe.degrade.response.make_srf`.

    psf and srf are specifications. With `peer` the values are first scaled as SpectraMorph scales them. A
    signal-to-noise ratio is from -200 to 200 dB; None or infinity: no noise.
    """

    psf: str | Mapping[str, Any]
    srf: str | Mapping[str, Any]
    ratio: int
    snr_hsi_db: float | None = None
    snr_msi_db: float | None = None
    edge: str = "reflect"
    axis: str = "measured"
    fwhm_factor: float = FWHM_FACTOR
    peer: bool = False
    seed: int = 0


@dataclass(frozen=True)
class PairItems:
    """A pair as items, and what it was made with: `psf` (n, n) and `response`."""

    lr_hsi: Item
    hr_msi: Item
    psf: np.ndarray
    response: Response


def degrade_item(item: Item, settings: PairSettings) -> PairItems:
    """The low-resolution HSI and the high-resolution MSI of an image, float32, in the image's units.

    Bad bands are left out. Rows and columns beyond the last whole block are cropped. Invalid pixels hold their band's
    mean while the image is blurred; a low-resolution pixel is invalid if more than half of its block is. The
    low-resolution image's georeference has pixels `ratio` times as large.

    Raises:
        UserError: no valid pixel, an image smaller than one block, a signal-to-noise ratio that is no number or out of
            range, or whatever the parts refuse.
    """
    settings = _with_noise_checked(settings)
    if settings.ratio < 2:
        raise UserError("must be at least 2", key="ratio", found=settings.ratio)
    psf = make_psf(settings.psf)
    item = whole_blocks(item, settings.ratio)
    file = item.source.get("path")
    good = item.good_bands
    if not good.any() or not item.valid.any():
        raise UserError("has no valid pixel in any band", file=file)
    if not good.all():
        log.warning("%s: %d bad bands of %d are left out of both outputs", file, (~good).sum(), len(good))
    response = make_srf(
        settings.srf,
        wavelength_nm=item.wavelength_nm,
        bands=len(good),
        axis=settings.axis,
        fwhm_factor=settings.fwhm_factor,
        good_bands=good,
    )
    item = item.with_bands(np.flatnonzero(good))
    for line in coverage(response, item.wavelength_nm).unseen_lines():
        log.info("srf %s: %s", response.name, line)
    lr_cube, msi_cube = degrade_pair(
        _filled(item, settings.peer),
        psf=psf,
        srf=response.matrix,
        ratio=settings.ratio,
        snr_hsi_db=settings.snr_hsi_db,
        snr_msi_db=settings.snr_msi_db,
        edge=settings.edge,
        # The item's name is a part of the seed, so that two images never share their noise.
        seed=("degrade", settings.seed, item.name),
    )
    lr_hsi = _low_resolution(item, lr_cube, settings)
    return PairItems(lr_hsi, _multispectral(item, msi_cube, response, settings), psf, response)


def degrade_file(
    source: str | Path,
    lr_target: str | Path,
    msi_target: str | Path,
    settings: PairSettings,
    *,
    key: str | None = None,
    layout: str | None = None,
    table: bool = False,
) -> PairItems:
    """Read an image, make the pair, write both files or neither.

    Args:
        source, key, layout, table: as in `hsipipe.scenes.readers.read_image`.
        lr_target, msi_target: outputs, as in `hsipipe.scenes.writers.write_image`.
        settings: of the pair.

    Raises:
        UserError: as the readers and writers do, and `degrade_item`; nothing is written then.
    """
    _with_noise_checked(settings)  # before a large file is read
    _check_targets(source, (lr_target, msi_target), (settings.psf, settings.srf))
    pair = degrade_item(read_image(source, key=key, layout=layout, table=table), settings)
    write_both([(lr_target, pair.lr_hsi), (msi_target, pair.hr_msi)])
    return pair


def _with_noise_checked(settings: PairSettings) -> PairSettings:
    """The settings with infinite signal-to-noise ratios as None; others must be numbers of a sensible size."""
    levels = {key: getattr(settings, key) for key in ("snr_hsi_db", "snr_msi_db")}
    for key, level in levels.items():
        if level == math.inf:
            levels[key] = None
        elif level is not None and not abs(level) <= MOST_DECIBELS:
            raise UserError(
                f"must be from {-MOST_DECIBELS:g} to {MOST_DECIBELS:g} dB, or inf for no noise", key=key, found=level
            )
    return replace(settings, **levels)


def _check_targets(
    source: str | Path, targets: tuple[str | Path, str | Path], specs: tuple[str | Mapping[str, Any], ...]
) -> None:
    """Refuse outputs that would overwrite an input or each other."""
    for target in targets:
        check_outputs([(source, target)])
    first, second = ({file.resolve() for file in written_files(Path(target))} for target in targets)
    if first & second:
        raise UserError("would be written twice, as both outputs", file=targets[0], remedy="name two different files")
    for spec in specs:
        path = spec.get("file") if isinstance(spec, Mapping) else spec if is_table_path(spec) else None
        if path is not None and split_table_key(str(path))[0].resolve() in first | second:
            raise UserError("would be overwritten", file=path, remedy="choose another output")


def write_both(outputs: list[tuple[str | Path, Item]]) -> None:
    """Write items to files, all or none: each to a hidden folder beside its target, then moved.

    Raises:
        UserError: what `write_image` refuses.
    """
    folders: list[Path] = []
    try:
        for path, item in outputs:
            parent = Path(path).parent
            parent.mkdir(parents=True, exist_ok=True)
            folders.append(Path(tempfile.mkdtemp(prefix=".hsipipe-", dir=parent)))
            write_image(folders[-1] / Path(path).name, item)
        for folder, (path, _) in zip(folders, outputs, strict=True):
            for written in folder.iterdir():
                os.replace(written, Path(path).parent / written.name)
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def whole_blocks(item: Item, ratio: int) -> Item:
    """The whole blocks of an item, from its first row and column on; labels go with it, abundances do not.

    Args:
        item: any size.
        ratio: side of a block in pixels.

    Raises:
        UserError: an item smaller than one block.
    """
    rows, cols = item.valid.shape
    end_row, end_col = rows // ratio * ratio, cols // ratio * ratio
    if not end_row or not end_col:
        raise UserError(
            f"{rows} x {cols} pixels are less than one block",
            file=item.source.get("path"),
            key="ratio",
            found=ratio,
            remedy="choose a smaller ratio",
        )
    if (end_row, end_col) == (rows, cols):
        return replace(item, abundances=None)
    log.warning(
        "%s: cropped from %d x %d to %d x %d pixels, whole blocks of %d",
        *(item.source.get("path"), rows, cols, end_row, end_col, ratio),
    )
    return replace(
        item,
        cube=item.cube[:, :end_row, :end_col],
        valid=item.valid[:end_row, :end_col],
        labels=None if item.labels is None else item.labels[:end_row, :end_col],
        abundances=None,
    )


def valid_blocks(valid: np.ndarray, ratio: int) -> np.ndarray:
    """Which low-resolution pixels are valid: those of whose block at least half is; (rows, cols) whole blocks."""
    rows, cols = valid.shape
    return valid.reshape(rows // ratio, ratio, cols // ratio, ratio).mean(axis=(1, 3)) >= 0.5


def _filled(item: Item, peer: bool) -> np.ndarray:
    """The cube as float32 with each band's mean over valid pixels where a pixel is invalid; scaled if `peer`."""
    cube = item.cube.astype(np.float32)
    if not item.valid.all():
        for band in cube:
            band[~item.valid] = band[item.valid].mean(dtype=np.float64)
    return peer_normalise(cube, valid=item.valid)[0] if peer else cube


def _low_resolution(item: Item, cube: np.ndarray, settings: PairSettings) -> Item:
    source = _source(item, settings)
    source.pop("map_info", None)  # ENVI's own words for the transform, which is given anew
    transform = item.source.get("transform")
    if transform is not None:
        a, b, c, d, e, f = transform
        ratio = settings.ratio
        source["transform"] = [a * ratio, b * ratio, c, d * ratio, e * ratio, f]
    return replace(
        item, cube=cube, valid=valid_blocks(item.valid, settings.ratio), labels=None, class_names=[], source=source
    )


def _multispectral(item: Item, cube: np.ndarray, response: Response, settings: PairSettings) -> Item:
    source = _source(item, settings)
    source.pop("default_bands", None)
    # On the stretched axis a band is made of HSI bands that lie elsewhere: its sensor's wavelengths would be untrue.
    stretched = response.axis == "stretched"
    return Item(
        cube=cube,
        name=item.name,
        valid=item.valid,
        wavelength_nm=None if stretched else response.centres_nm,
        fwhm_nm=None if stretched else response.fwhm_nm,
        labels=item.labels,
        class_names=item.class_names,
        source=source,
    )


def _source(item: Item, settings: PairSettings) -> dict[str, Any]:
    """Provenance of both outputs. A scaled image is no longer in its file's units: their scale and nodata go."""
    told = {
        "psf": settings.psf,
        "srf": settings.srf,
        "ratio": settings.ratio,
        "snr_hsi_db": settings.snr_hsi_db,
        "snr_msi_db": settings.snr_msi_db,
        "edge": settings.edge,
        "axis": settings.axis,
        "fwhm_factor": settings.fwhm_factor,
        "seed": settings.seed,
        "peer": settings.peer,
    }
    rescaled = {"scale": None, "nodata": None, "fill": "nan"} if settings.peer else {}
    return {**item.source, **rescaled, "dtype": "float32", "degradation": told}
