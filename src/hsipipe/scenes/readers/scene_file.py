"""Scene files (HDF5) as images: the first item, or the one that the key names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hsipipe.errors import unknown
from hsipipe.scenes.readers.image import ImageFile
from hsipipe.scenes.scene import Item, Scene


def open_scene_file(path: Path, *, key: str | None = None) -> ImageFile:
    """Open one item of a scene file; `key` is its name, the first if None.

    Raises:
        UserError: no such item.
    """
    with Scene(path) as scene:
        if key is not None and key not in scene.sizes:
            raise unknown("item", key, scene.items, file=path)
        name = key or scene.items[0]
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
        )

    def read(bands: np.ndarray | None) -> Item:
        with Scene(path) as opened:
            return opened.read(name, bands=bands)

    return image
