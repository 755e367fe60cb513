"""Reading images and label maps of every supported format into `Item`s.

What enters is a path, a `Path` or a `FILE:KEY`; what leaves is an `Item`, or an `ImageFile` that reads no more than is
asked for. Begin with `read_image` below and with `detect`, which finds the format by content; a module reads each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hsipipe.scenes.readers.detect import SUFFIXES, detect_format, open_image
from hsipipe.scenes.readers.folder import image_files, read_folder
from hsipipe.scenes.readers.image import ImageFile
from hsipipe.scenes.readers.labels import read_labels, split_key
from hsipipe.scenes.readers.scene_file import read_scene_items
from hsipipe.scenes.scene import Item

__all__ = [
    "SUFFIXES",
    "ImageFile",
    "detect_format",
    "image_files",
    "open_image",
    "read_folder",
    "read_image",
    "read_labels",
    "read_scene_items",
    "split_key",
]


def read_image(
    path: str | Path,
    *,
    key: str | None = None,
    layout: str | None = None,
    labels: str | Path | None = None,
    bands: Sequence[int] | np.ndarray | None = None,
    table: bool = False,
) -> Item:
    """Read an image of any supported format.

    Args:
        path, key, layout, table: as in `open_image`.
        labels: FILE[:KEY] of a label map, or the key of one in the image's own file.
        bands: 0-based indices to read, in this order; None reads all.

    Returns:
        Item with cube (bands, rows, cols): integers as stored, otherwise float32; see `ImageFile.read`.

    Raises:
        UserError: whatever is wrong with the files or the choice, in one line.
    """
    image = open_image(path, key=key, layout=layout, table=table)
    item = image.read(bands)
    if labels is not None:
        inside = str(labels) in image.keys and not Path(labels).exists()
        item.labels = read_labels(f"{path}:{labels}" if inside else labels, item.cube.shape[1:])
    return item
