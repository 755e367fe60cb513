"""What a config says of a case of any task; the tasks add what is their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hsipipe.bands.selection import check_band_settings, check_band_values
from hsipipe.cases.split import SplitSettings


@dataclass(frozen=True, kw_only=True)
class CommonCaseSettings:
    """A case: scenes, split, bands, and which variants run on it."""

    scenes: list[str] = field(
        metadata={
            "meaning": "names of scenes: of the catalogue, or of the config's `scenes`",
            "nonempty": True,
            "distinct": True,
        }
    )
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

    @property
    def has_training(self) -> bool:
        """Whether there is something to train on."""
        return self.split.has_training

    @property
    def note(self) -> str:
        """What a reader of the case's scores must know of its split; nothing in most tasks."""
        return ""

    def __post_init__(self) -> None:
        check_band_settings(self.bands)
        check_band_values(self.bands)
