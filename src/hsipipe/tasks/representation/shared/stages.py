"""Progressive training over numbers of bands: few first, all at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.settings import settings_from

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Stage:
    """A stretch of a training. Which stage a step is in follows from its number alone, so that a resumed training goes
    on in the right one."""

    bands: int = field(
        metadata={"meaning": "how many bands, centres of as many equal bins of wavelength", "minimum": 1}
    )
    share: float = field(metadata={"meaning": "share of the training's steps", "above": 0, "maximum": 1})


def stages_from(given: Sequence[Mapping[str, Any]], *, bands: int) -> tuple[Stage, ...]:
    """The stages of a config, checked: shares that sum to 1, and no more bands than there are.

    Raises:
        UserError: one of these is not so.
    """
    stages = tuple(settings_from(Stage, entry, "stages") for entry in given)
    if stages and abs(sum(stage.share for stage in stages) - 1) > 1e-6:
        raise UserError("shares of the stages must sum to 1", key="stages", found=[stage.share for stage in stages])
    for stage in stages:
        if stage.bands > bands:
            raise UserError(
                f"a stage asks for more bands than the {bands} that there are", key="stages", found=stage.bands
            )
    return stages


def bands_of_stage(stages: Sequence[Stage], share: float, wavelength_nm: Tensor) -> Tensor:
    """The bands (n,) int64, rising, of the stage that a share in [0, 1] of the training lies in."""
    import torch

    ends = np.cumsum([stage.share for stage in stages])
    stage = stages[min(int(np.searchsorted(ends, share + 1e-9, side="left")), len(stages) - 1)]
    centres = wavelength_nm.cpu().numpy().astype(np.float64)
    if stage.bands >= len(centres):
        return torch.arange(len(centres))
    edges = np.linspace(centres.min(), centres.max(), stage.bands + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    nearest = np.unique(np.abs(centres[:, None] - middles).argmin(axis=0))
    return torch.from_numpy(nearest)
