"""Writing an `Item` in the format that the output's extension names.

What enters is an item and, if it was made of another, what it is to be like: type, nodata, scale, georeference. Begin
with `write_image` below; `check` refuses what cannot be written before work is done, `values` gives the numbers to
store, a module writes each format, `windows` writes images larger than memory.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from hsipipe.scenes.readers import ImageFile, open_image
from hsipipe.scenes.scene import Item, write_scene
from hsipipe.scenes.writers.arrays import write_mat, write_npy
from hsipipe.scenes.writers.check import (
    ENVI_SUFFIXES,
    OUTPUT_SUFFIXES,
    check_output,
    check_outputs,
    check_place,
    refuse_foreign_header,
)
from hsipipe.scenes.writers.envi import envi_paths, write_envi
from hsipipe.scenes.writers.geotiff import write_geotiff
from hsipipe.scenes.writers.values import refuse_input, stored_values, target_dtype

__all__ = ["OUTPUT_SUFFIXES", "check_output", "check_outputs", "check_place", "write_image"]

log = logging.getLogger(__name__)


def write_image(
    path: str | Path,
    item: Item,
    *,
    like: ImageFile | Item | str | Path | None = None,
    dtype: str | np.dtype | None = None,
) -> None:
    """Write an item, atomically, in the format of the output's extension.

    Type, layout, nodata, scale and georeference are those of the input: `like` if given, else `item.source`.
    Integers are rounded and clipped; invalid pixels hold nodata again. An item whose values mean something else than
    its input's (an embedding, a map) says so by `dtype`, or by a `source` of its own.

    Args:
        path: .h5 (scene file), .tif, .hdr/.bil/.bsq/.bip/.img/.raw/.dat (ENVI: header and data), .npy, .mat (v5).
        item: cube (bands, rows, cols) in the input's units.
        like: a file (or the item read from it) to take type, layout, nodata and georeference from.
        dtype: the type to store, in place of the input's.

    Raises:
        UserError: unknown extension, or the output is the input, or its header would replace that of another image.
    """
    target = check_output(path)
    if isinstance(like, (str, Path)):
        like = open_image(like)
    kept = like.source() if isinstance(like, ImageFile) else like.source if like is not None else {}
    source = {**item.source, **kept}
    suffix = target.suffix.lower()
    targets = list(envi_paths(target, source)[:2]) if suffix in ENVI_SUFFIXES else [target]
    for origin in (item.source, source):
        refuse_input(target, origin, targets)
    refuse_foreign_header(target)
    if suffix == ".h5":
        write_scene(target, [item], name=item.name, simulated=bool(item.source.get("simulated")))
        return
    values, nodata = stored_values(item, source, target_dtype(item, source, dtype))
    if item.labels is not None and suffix != ".mat":
        log.warning("%s: labels are not stored in this format; write .h5 or .mat to keep them", target)
    if suffix in (".tif", ".tiff"):
        write_geotiff(target, values, item, source, nodata)
    elif suffix == ".npy":
        write_npy(target, values, source)
    elif suffix == ".mat":
        write_mat(target, values, item, source)
    else:
        write_envi(target, values, item, source, nodata)
