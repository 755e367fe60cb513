"""Converting files and folders of any supported format: reading, then writing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.files import sha256_of
from hsipipe.scenes.readers import detect_format, read_folder, read_image, read_scene_items
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.scenes.specimens.reader import is_simulated_folder, is_specimen_folder, read_specimens
from hsipipe.scenes.writers import check_output, write_image

log = logging.getLogger(__name__)


def convert(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    labels: str | Path | None = None,
    key: str | None = None,
    layout: str | None = None,
    table: bool = False,
    name: str | None = None,
) -> Path:
    """Convert an image, several, or a folder of them.

    Args:
        inputs: a file, a folder (GeoTIFF tiles, specimens as `read_specimens` takes them, HySpecNet-11k), or several
            files; more than one image makes a scene file.
        output: the extension says the format, see `write_image`.
        labels: FILE[:KEY] of a label map (for a folder: the folder of label maps).
        key, layout, table: as in `open_image`.
        name: of the scene; None takes the output's.

    Returns:
        The output's path.

    Raises:
        UserError: as the readers and writers do; nothing is left at `output` then.
    """
    target = check_output(output)
    several = [Path(inputs)] if isinstance(inputs, (str, Path)) else [Path(path) for path in inputs]
    if not several:
        raise UserError("no input was given", remedy="name a file or a folder")
    for path in several:
        if not path.exists():
            raise UserError("does not exist", file=path)
        if target.exists() and path.samefile(target):
            raise UserError("is both input and output", file=path, remedy="choose another output")
    scene = target.suffix.lower() == ".h5"
    if len(several) == 1 and several[0].is_file() and not (scene and key is None and _is_scene(several[0])):
        item = read_image(several[0], key=key, layout=layout, labels=labels, table=table)
        item.source["sha256"] = sha256_of(item.source.get("data") or several[0])
        if scene:
            write_scene(target, [item], name=name or target.stem, simulated=_simulated(several))
        else:
            write_image(target, item)
        return target
    if not scene:
        raise UserError("holds one image", file=target, remedy="several images go to a scene file, x.h5")
    items = _items(several, labels=labels, key=key, layout=layout, table=table)
    write_scene(target, items, name=name or target.stem, simulated=_simulated(several))
    return target


def _is_scene(path: Path) -> bool:
    return detect_format(path) == "scene"


def _simulated(paths: Sequence[Path]) -> bool:
    """Whether any input is a simulated scene or set of specimens; what is made of it stays simulated."""
    for path in paths:
        if path.is_file() and _is_scene(path):
            with Scene(path) as scene:
                if scene.simulated:
                    return True
        elif path.is_dir() and is_specimen_folder(path) and is_simulated_folder(path):
            return True
    return False


def _items(
    paths: Sequence[Path], *, labels: str | Path | None, key: str | None, layout: str | None, table: bool
) -> Iterator[Item]:
    for path in paths:
        if path.is_dir() and labels is None and is_specimen_folder(path):
            yield from read_specimens(path)
        elif path.is_dir():
            yield from read_folder(path, labels_folder=labels, key=key, layout=layout, table=table)
        elif labels is not None and not Path(labels).is_dir():
            raise UserError("is one label map for several images", file=labels, remedy="name the folder of label maps")
        elif key is None and _is_scene(path):
            yield from read_scene_items(path)
        else:
            item = read_image(path, key=key, layout=layout, table=table)
            item.source["sha256"] = sha256_of(item.source.get("data") or path)
            yield item
