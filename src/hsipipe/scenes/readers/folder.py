"""Folders of images: GeoTIFF tiles, ENVI specimens, bare arrays."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.scenes.readers.detect import SUFFIXES, open_image
from hsipipe.scenes.readers.envi import DATA_SUFFIXES, find_header
from hsipipe.scenes.readers.labels import read_labels
from hsipipe.scenes.scene import Item

log = logging.getLogger(__name__)

_LABEL_STEM = re.compile(r"[-_.](gt|labels?|mask)$", re.IGNORECASE)


def image_files(folder: str | Path) -> list[Path]:
    """The images of a folder and the folders in it, in order of names.

    An ENVI image stands once, by its header. Hidden files, quality layers (`-QL_`) and files that are called labels
    (`x_gt`, `x_labels`) are left out; a folder `images` beside one called `labels` stands for the whole.

    Raises:
        UserError: no folder, or no image in it.
    """
    root = _root(Path(folder))
    found = []
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if hidden or not path.is_file() or path.stat().st_size == 0:
            continue
        bare = path.suffix == ""
        if not (path.suffix.lower() in SUFFIXES or bare) or "-QL_" in path.name or _LABEL_STEM.search(path.stem):
            continue
        if path.suffix.lower() != ".hdr" and (find_header(path) is not None or bare):
            continue  # its header stands for it
        if path.suffix.lower() in DATA_SUFFIXES and path.suffix.lower() != ".img":
            continue  # raw data that nothing describes
        if path.suffix.lower() == ".hdr" and find_header(path) is None:
            continue
        found.append(path)
    if not found:
        raise UserError("holds no image", file=root, remedy=f"known are {', '.join(SUFFIXES)}")
    return found


def read_folder(
    folder: str | Path,
    *,
    labels_folder: str | Path | None = None,
    key: str | None = None,
    layout: str | None = None,
    table: bool = False,
) -> Iterator[Item]:
    """Read the images of a folder one by one.

    Args:
        folder: as in `image_files`; a HySpecNet folder is read by `read_hyspecnet`.
        labels_folder: label maps, each called as its image (with or without _gt or _labels), in any format.
        key, layout, table: as in `open_image`, for all files.

    Yields:
        Items named after their files (and the folders in between, where two share a name).

    Raises:
        UserError: as the readers do, or an image without its label map.
    """
    from hsipipe.scenes.hyspecnet import is_hyspecnet, read_hyspecnet

    if not Path(folder).is_dir():
        raise UserError("is not a folder", file=folder)
    if is_hyspecnet(folder):
        yield from read_hyspecnet(folder)
        return
    files = image_files(folder)
    root = _root(Path(folder))
    if labels_folder is None and root != Path(folder):
        labels_folder = Path(folder) / "labels"
    images = [(path, _stem(path)) for path in files]
    stems = [stem for _, stem in images]
    for path, stem in images:
        item = open_image(path, key=key, layout=layout, table=table).read()
        where = path.relative_to(root).parent
        item.name = stem if stems.count(stem) == 1 else "_".join((*where.parts, stem))
        if labels_folder is not None:
            item.labels = read_labels(_label_of(Path(labels_folder), where, stem), item.cube.shape[1:])
        yield item


def _root(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError("is not a folder" if folder.exists() else "does not exist", file=folder)
    return folder / "images" if (folder / "images").is_dir() and (folder / "labels").is_dir() else folder


def _stem(path: Path) -> str:
    stem = path.stem
    return Path(stem).stem if Path(stem).suffix.lower() in SUFFIXES else stem


def _label_of(folder: Path, where: Path, stem: str) -> Path:
    for base in (folder / where, folder):
        candidates = [p for p in sorted(base.glob(f"{stem}*")) if p.is_file() and p.suffix.lower() != ".xml"]
        for candidate in candidates:
            if _LABEL_STEM.sub("", _stem(candidate)) == stem:
                return candidate
    raise UserError("has no label map of this image", file=folder, key=stem, remedy=f"expected {stem}.* or {stem}_gt.*")
