"""What a config says of a denoising case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hsipipe.cases.settings import CommonCaseSettings
from hsipipe.degrade.noise import parse_noise
from hsipipe.errors import UserError

FIGURES = ("bars", "visual", "spectra", "time", "band", "parameters")  # the kinds of figure that `draw` knows

# Which settings of a case each step reads: a change of the others does not make it run again.
USED_BY = {
    "split": ("split", "crop", "items"),
    "bands": ("bands",),
    "prepare": ("noise", "seed"),
    "fit": ("noise",),
    "predict": ("figure_unit",),
    "score": ("figure_unit", "figure_band"),
    "draw": ("figure_band",),  # the unit is the one that `predict` kept
}


@dataclass(frozen=True, kw_only=True)
class CaseSettings(CommonCaseSettings):
    """A denoising case: scenes, split, bands, noise."""

    noise: Any = field(
        metadata={
            "meaning": "a preset such as `hyspecnet`, a text such as `gaussian:sigma=0.1`, or a list of components"
        }
    )
    figure_band: int | None = field(
        default=None,
        metadata={
            "meaning": "number among the case's bands of the one that is shown and scored by itself; if absent the "
            "band nearest to 860 nm, or the middle one",
            "minimum": 0,
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_figure_band(self.figure_band, self.bands)
        parse_noise(self.noise)


def _check_figure_band(band: int | None, bands: dict[str, Any]) -> None:
    """Refuse a band beyond those of the case, where the config says how many these are."""
    count = bands.get("count") or len(bands.get("bands", ())) or None
    if band is not None and count is not None and band >= count:
        raise UserError(
            f"the case has {count} bands", key="figure_band", found=band, remedy=f"choose one from 0 to {count - 1}"
        )
