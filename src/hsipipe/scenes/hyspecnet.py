"""HySpecNet-11k as it is downloaded: patches, quality masks and official splits.

Fuchs and Demir, "HySpecNet-11k: a large-scale hyperspectral dataset for benchmarking learning-based hyperspectral image
compression methods", IGARSS 2023. Folder: patches/TILE/PATCH/PATCH-DATA.npy or PATCH-SPECTRAL_IMAGE.TIF with
PATCH-QL_*.TIF beside it, and splits/{easy,hard}/{train,val,test}.csv.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError, unknown
from hsipipe.scenes.enmap import enmap_bands
from hsipipe.scenes.readers import open_image
from hsipipe.scenes.readers.geotiff import open_raster
from hsipipe.scenes.scene import Item
from hsipipe.scenes.tile_names import tile_of
from hsipipe.scenes.validity import NothingValidError

log = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
# Layers of EnMAP's Level-2A product that hide the surface or saturate; 0 means clear. Cirrus counts up: 1 thin,
# 2 medium, 3 thick. QL_QUALITY_TESTFLAGS is not used: it grades the data and does not say that they are absent.
HIDING_LAYERS = (
    "QL_QUALITY_CLOUD",
    "QL_QUALITY_CIRRUS",
    "QL_QUALITY_HAZE",
    "QL_QUALITY_CLOUDSHADOW",
    "QL_QUALITY_SNOW",
)
# The product interpolates over dead detector elements and marks those pixels, band by band; a few marked bands say
# little against a pixel, so one is left out only when a tenth of the 202 bands is marked.
DEFECTIVE_BANDS = 20
SPLITS = ("easy", "hard")
_BACKGROUND = 3  # QL_QUALITY_CLASSES: 1 land, 2 water, 3 background (outside the swath)
_DATA, _TIFF = "-DATA.npy", "-SPECTRAL_IMAGE.TIF"


def is_hyspecnet(folder: str | Path) -> bool:
    """Whether a folder is laid out as HySpecNet-11k, at the top, at `patches` or at one tile."""
    root = Path(folder)
    return any(
        next(root.glob(f"{depth}*{end}"), None) for depth in ("", "*/", "*/*/", "*/*/*/") for end in (_DATA, _TIFF)
    )


def hyspecnet_patches(folder: str | Path, *, form: str = "data") -> dict[str, Path]:
    """The image file of each patch, by name, in order of names.

    Args:
        folder: the dataset, its `patches`, or a tile.
        form: `data` prefers -DATA.npy (202 bands, scaled to 0..1 by its authors), `tiff` prefers
            -SPECTRAL_IMAGE.TIF (224 bands, as delivered); the other form fills in where the preferred one is absent.

    Raises:
        UserError: no patch there.
    """
    if form not in ("data", "tiff"):
        raise unknown("form", form, ("data", "tiff"))
    root = Path(folder)
    found: dict[str, Path] = {}
    for end in (_TIFF, _DATA) if form == "data" else (_DATA, _TIFF):
        for path in sorted(root.rglob(f"*{end}")):
            found[path.name.removesuffix(end)] = path
    if not found:
        raise UserError("holds no HySpecNet patch", file=root, remedy=f"expected patches/TILE/PATCH/PATCH{_DATA}")
    return dict(sorted(found.items()))


def read_hyspecnet(
    folder: str | Path,
    *,
    form: str = "data",
    names: Collection[str] | None = None,
    layers: tuple[str, ...] = HIDING_LAYERS,
    defective_bands: int = DEFECTIVE_BANDS,
) -> Iterator[Item]:
    """Read patches one by one, 202 bands each, masked by their quality layers.

    A pixel is invalid where the reader finds it so, where a layer of `layers` is not zero, where the classes say
    background, and where the pixel mask calls more than `defective_bands` of the 202 bands defective. A patch
    without a valid pixel is passed over with a warning. The official lists that name a patch stand in its
    `source["official"]`, as {"easy": part, "hard": part}.

    Args:
        folder, form: as in `hyspecnet_patches`.
        names: patches to read; None reads all.
        layers: quality layers that make pixels invalid.
        defective_bands: how many defective (interpolated) bands a pixel may have.

    Raises:
        UserError: a name that is not there, or an unreadable file.
    """
    patches = hyspecnet_patches(folder, form=form)
    if names is not None:
        missing = sorted(set(names) - set(patches))
        if missing:
            raise UserError(f"misses {len(missing)} of {len(names)} patches", file=folder, found=missing[0])
        patches = {name: path for name, path in patches.items() if name in set(names)}
    official = {which: hyspecnet_split(folder, which) for which in SPLITS if _split_folder(Path(folder), which)}
    for name, path in patches.items():
        image = open_image(path)
        kept = np.flatnonzero(enmap_bands().hyspecnet)
        if image.shape[0] not in (len(kept), len(enmap_bands().hyspecnet)):
            remedy = f"expected {len(kept)} or {len(enmap_bands().hyspecnet)}"
            raise UserError("has an unexpected number of bands", file=path, found=image.shape[0], remedy=remedy)
        try:
            item = image.read(kept if image.shape[0] != len(kept) else None)
        except NothingValidError as error:
            log.warning("%s; the patch is passed over", error)
            continue
        valid = item.valid & ~quality_mask(path, image.shape[1:], kept, layers=layers, defective_bands=defective_bands)
        if not valid.any():
            log.warning("%s: no valid pixel is left by its quality layers; the patch is passed over", path)
            continue
        lists = {which: parts[name] for which, parts in official.items() if name in parts}
        yield replace(item, name=name, valid=valid, source={**item.source, "tile": tile_of(name), "official": lists})


def quality_mask(
    image_path: str | Path,
    shape: tuple[int, int],
    bands: np.ndarray,
    *,
    layers: tuple[str, ...] = HIDING_LAYERS,
    defective_bands: int = DEFECTIVE_BANDS,
) -> np.ndarray:
    """Pixels that the quality layers beside a patch exclude.

    Args:
        image_path: PATCH-DATA.npy or PATCH-SPECTRAL_IMAGE.TIF; layers that are not there exclude nothing.
        shape: (rows, cols).
        bands: 0-based EnMAP bands that are kept; QL_PIXELMASK may have one band for each of the 224.
        layers, defective_bands: as in `read_hyspecnet`.

    Returns:
        (rows, cols) bool, True where excluded.

    Raises:
        UserError: a layer of another size.
    """
    path = Path(image_path)
    stem = path.name.removesuffix(_DATA).removesuffix(_TIFF)
    excluded = np.zeros(shape, bool)
    for layer in layers:
        values = _layer(path.with_name(f"{stem}-{layer}.TIF"), shape)
        if values is not None:
            excluded |= (values != 0).any(axis=0)
    classes = _layer(path.with_name(f"{stem}-QL_QUALITY_CLASSES.TIF"), shape)
    if classes is not None:
        excluded |= (classes == _BACKGROUND).any(axis=0)
    defects = _layer(path.with_name(f"{stem}-QL_PIXELMASK.TIF"), shape)
    if defects is not None:
        if len(defects) == len(enmap_bands().hyspecnet):
            defects = defects[bands]
        allowed = defective_bands if len(defects) > 1 else 0
        excluded |= np.count_nonzero(defects, axis=0) > allowed
    return excluded


def _split_folder(root: Path, which: str) -> Path | None:
    """Where an official split lies: in the dataset or beside its `patches`."""
    places = (base / "splits" / which for base in (root, root / "patches", root.parent))
    return next((place for place in places if place.is_dir()), None)


def hyspecnet_split(folder: str | Path, which: str = "easy") -> dict[str, str]:
    """The official split: part (train, val or test) of each patch.

    Args:
        folder: the dataset (with `splits`), or its `patches`.
        which: `easy` (by patch: tiles are shared between parts, so it leaks) or `hard` (by tile).

    Raises:
        UserError: no such split there, an empty list, or a patch in two parts.
    """
    if which not in SPLITS:
        raise unknown("split", which, SPLITS)
    base = _split_folder(Path(folder), which)
    if base is None:
        raise UserError(
            "has no official split", file=folder, remedy=f"expected splits/{which}/train.csv, val.csv, test.csv"
        )
    parts: dict[str, str] = {}
    for part in PARTS:
        file = base / f"{part}.csv"
        if not file.is_file():
            raise UserError("does not exist", file=file)
        with open(file, newline="", encoding="utf-8") as stream:
            # A line is the path of a patch's file under `patches`: TILE/PATCH/PATCH-DATA.npy.
            lines = [line[0].strip() for line in csv.reader(stream) if line and line[0].strip()]
        if not lines:
            raise UserError("lists no patch", file=file)
        for line in lines:
            name = Path(line).name.removesuffix(_DATA).removesuffix(_TIFF)
            if parts.get(name, part) != part:
                raise UserError(f"patch {name!r} is also in {parts[name]}", file=file)
            parts[name] = part
    return parts


def _layer(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    if not path.is_file():
        return None
    with open_raster(path) as raster:
        values = np.asarray(raster.read())
    if values.shape[1:] != tuple(shape):
        raise UserError(
            "does not fit its image", file=path, found="{} x {} for {} x {}".format(*values.shape[1:], *shape)
        )
    return values
