"""Units that hold hardly a measurement: the corners of a swath, blocks of nodata."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hsipipe.cases.split import Unit
from hsipipe.errors import UserError
from hsipipe.scenes.scene import Scene

LEAST_VALID_SHARE = 0.25

log = logging.getLogger(__name__)


def drop_empty(scenes: Sequence[Scene], units: Sequence[Unit], *, least: float = LEAST_VALID_SHARE) -> list[Unit]:
    """The units of which at least the share `least` of the pixels is valid; the others are named in the log.

    Raises:
        UserError: no unit is left.
    """
    by_name = {scene.name: scene for scene in scenes}
    kept = []
    for unit in units:
        share = float(by_name[unit.scene].read_valid(unit.item, window=unit.window).mean())
        if share >= least:
            kept.append(unit)
        else:
            log.warning("%s is left out of the case: %.0f %% of its pixels are valid", unit.name, 100 * share)
    if not kept:
        raise UserError("no unit has enough valid pixels", file=scenes[0].path, key="split")
    return kept
