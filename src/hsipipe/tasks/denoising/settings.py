"""What a config says of a denoising case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hsipipe.bands.selection import check_band_settings
from hsipipe.cases.split import SplitSettings
from hsipipe.degrade.noise import parse_noise

FIGURES = ("bars", "visual", "spectra", "time")  # the kinds of figure that `draw` knows

# Which settings of a case each step reads: a change of the others does not make it run again.
USED_BY = {
    "split": ("split", "crop", "items"),
    "bands": ("bands",),
    "prepare": ("noise", "seed"),
    "fit": ("noise",),
    "predict": ("figure_unit",),
}


@dataclass(frozen=True)
class CaseSettings:
    """A denoising case: scenes, split, bands, noise."""

    scenes: list[str] = field(metadata={"meaning": "names of scenes: of the catalogue, or of the config's `scenes`"})
    noise: Any = field(metadata={"meaning": "a preset such as `hyspecnet`, or a list of noise components"})
    split: SplitSettings = field(default_factory=SplitSettings, metadata={"meaning": "how units are shared out"})
    bands: dict[str, Any] = field(
        default_factory=lambda: {"strategy": "all"}, metadata={"meaning": "band selection: strategy and its settings"}
    )
    crop: tuple[int, int] | None = field(default=None, metadata={"meaning": "use at most these central rows, columns"})
    items: int | None = field(default=None, metadata={"meaning": "use at most this many items of each scene"})
    seed: int = field(default=0, metadata={"meaning": "seed of the synthesised noise"})
    models_from: str | None = field(
        default=None, metadata={"meaning": "another case whose trained models are used here, without retraining"}
    )
    variants: list[str] | None = field(
        default=None, metadata={"meaning": "variants to run on this case; all if absent"}
    )
    figure_unit: int = field(
        default=0, metadata={"meaning": "which test unit (by its number) the pictures show", "minimum": 0}
    )

    def __post_init__(self) -> None:
        check_band_settings(self.bands)
        parse_noise(self.noise)
