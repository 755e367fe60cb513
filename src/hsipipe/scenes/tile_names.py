"""Which satellite tile an item was cut from, by its name."""

from __future__ import annotations

import re

_PATCH_PART = re.compile(r"-(Y\d+_X\d+|patch_?\d+)$", re.IGNORECASE)


def tile_of(item_name: str) -> str:
    """The EnMAP tile that a patch was cut from; names that are no patch's stand for themselves.

    >>> tile_of("ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z-Y01460273_X03110438")
    'ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z'
    """
    return _PATCH_PART.sub("", item_name)
