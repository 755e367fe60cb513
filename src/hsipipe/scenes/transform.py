"""From a file to a file: a function of items applied to one image, or to every item of a scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hsipipe.scenes.readers import detect_format, read_image, read_scene_items
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.scenes.writers import check_outputs, write_image


def transform_file(
    source: str | Path,
    target: str | Path,
    function: Callable[[Item], Item],
    *,
    key: str | None = None,
    layout: str | None = None,
    table: bool = False,
) -> None:
    """Read an image, apply a function, write what it returns.

    From a scene file to a scene file all items go through, one at a time, unless `key` names one. What is made of a
    simulated scene stays simulated.

    Args:
        source, key, layout, table: as in `open_image`.
        target: as in `write_image`; it is checked before anything is read.
        function: item to item; type, layout and georeference of the output are those of the result's `source`.

    Raises:
        UserError: as the readers and writers do; nothing is left at `target` then.
    """
    check_outputs([(source, target)])
    output = Path(target)
    whole = key is None and layout is None and output.suffix.lower() == ".h5"
    if whole and detect_format(source) == "scene":
        with Scene(source) as scene:
            simulated = scene.simulated
        items = (function(item) for item in read_scene_items(source))
        write_scene(output, items, name=output.stem, simulated=simulated)
        return
    write_image(output, function(read_image(source, key=key, layout=layout, table=table)))
