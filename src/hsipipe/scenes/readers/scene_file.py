"""Scene files (HDF5) as images: the only item, or the one that the key names; and all items, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError, unknown
from hsipipe.scenes.readers.image import ImageFile
from hsipipe.scenes.scene import Item, Scene


def open_scene_file(path: Path, *, key: str | None = None) -> ImageFile:
    """Open one item of a scene file; `key` is its name, None takes the only one.

    Raises:
        UserError: no such item, or several without a key.
    """
    with Scene(path) as scene:
        name = choose_item(scene, key)
        rows, cols = scene.sizes[name]
        item = scene.read(name, bands=[0])
        image = ImageFile(
            path=path,
            format="scene",
            shape=(scene.bands, rows, cols),
            dtype=scene.dtype,
            layout="bands-rows-cols",
            load=lambda bands: read(bands).cube,
            item=lambda bands: read(bands),
            name=name,
            key=name,
            keys={item_name: (scene.bands, *size) for item_name, size in scene.sizes.items()},
            wavelength_nm=scene.wavelength_nm,
            fwhm_nm=scene.fwhm_nm,
            nodata=item.source.get("nodata"),
            scale=item.source.get("scale"),
            crs=item.source.get("crs"),
            transform=None if item.source.get("transform") is None else tuple(item.source["transform"]),
            class_names=list(scene.class_names),
            declared_bad=None if scene.good_bands.all() else ~scene.good_bands,
            labels=[name] if item.labels is not None else [],
            extra={"simulated": scene.simulated},
        )

    def read(bands: np.ndarray | None) -> Item:
        with Scene(path) as opened:
            return _read(opened, name, bands)

    return image


def read_scene_items(path: str | Path) -> Iterator[Item]:
    """Read all items of a scene file, one at a time; `source["simulated"]` tells whether the scene is simulated."""
    with Scene(path) as scene:
        for name in scene.items:
            yield _read(scene, name, None)


def choose_item(scene: Scene, key: str | None) -> str:
    """The item that the key names, or the only one.

    Raises:
        UserError: no such item, or several without a key.
    """
    if key is not None:
        if key not in scene.sizes:
            raise unknown("item", key, scene.items, file=scene.path)
        return key
    if len(scene.items) > 1:
        shown = ", ".join(scene.items[:5]) + (", ..." if len(scene.items) > 5 else "")
        raise UserError(
            "holds several items", file=scene.path, found=f"{len(scene.items)}: {shown}", remedy="say --key ITEM"
        )
    return scene.items[0]


def _read(scene: Scene, name: str, bands: Sequence[int] | np.ndarray | None) -> Item:
    item = scene.read(name, bands=bands)
    return replace(item, source={**item.source, "simulated": scene.simulated})
