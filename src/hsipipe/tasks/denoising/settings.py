"""What a config says of a denoising case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_type_hints

from hsipipe.bands.selection import STRATEGIES, check_band_settings
from hsipipe.cases.split import SplitSettings
from hsipipe.degrade.noise import parse_noise
from hsipipe.errors import UserError
from hsipipe.settings import convert

BAND_LIMITS: dict[str, dict[str, float]] = {
    "count": {"minimum": 1},
    "per_region": {"minimum": 1},
    "components": {"minimum": 1},
    "bands": {"minimum": 0},
    "tolerance_nm": {"minimum": 0},
    "regularisation": {"minimum": 0},
}
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


@dataclass(frozen=True)
class CaseSettings:
    """A denoising case: scenes, split, bands, noise."""

    scenes: list[str] = field(
        metadata={
            "meaning": "names of scenes: of the catalogue, or of the config's `scenes`",
            "nonempty": True,
            "distinct": True,
        }
    )
    noise: Any = field(metadata={"meaning": "a preset such as `hyspecnet`, or a list of noise components"})
    split: SplitSettings = field(default_factory=SplitSettings, metadata={"meaning": "how units are shared out"})
    bands: dict[str, Any] = field(
        default_factory=lambda: {"strategy": "all"}, metadata={"meaning": "band selection: strategy and its settings"}
    )
    crop: tuple[int, int] | None = field(
        default=None, metadata={"meaning": "use at most these central rows, columns", "minimum": 1}
    )
    items: int | None = field(
        default=None, metadata={"meaning": "use at most this many items of each scene", "minimum": 1}
    )
    seed: int = field(default=0, metadata={"meaning": "seed of the synthesised noise"})
    models_from: str | None = field(
        default=None, metadata={"meaning": "another case whose trained models are used here, without retraining"}
    )
    variants: list[str] | None = field(
        default=None,
        metadata={"meaning": "variants to run on this case; all if absent", "nonempty": True, "distinct": True},
    )
    figure_unit: int = field(
        default=0, metadata={"meaning": "which test unit (by its number) the pictures show", "minimum": 0}
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
        check_band_settings(self.bands)
        _check_band_values(self.bands)
        _check_figure_band(self.figure_band, self.bands)
        parse_noise(self.noise)


def _check_band_values(bands: dict[str, Any]) -> None:
    """Check the values of a band selection by the types of its strategy's parameters."""
    hints = get_type_hints(STRATEGIES[bands["strategy"]])
    for name, value in bands.items():
        if name in hints:
            convert(value, hints[name], BAND_LIMITS.get(name, {}), None, f"bands.{name}")


def _check_figure_band(band: int | None, bands: dict[str, Any]) -> None:
    """Refuse a band beyond those of the case, where the config says how many these are."""
    count = bands.get("count") or len(bands.get("bands", ())) or None
    if band is not None and count is not None and band >= count:
        raise UserError(
            f"the case has {count} bands", key="figure_band", found=band, remedy=f"choose one from 0 to {count - 1}"
        )
