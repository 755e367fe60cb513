"""What a figure of representation is drawn from: scores, records, images and embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from hsipipe.errors import UserError
from hsipipe.report.figures.results import Results
from hsipipe.report.theme import COLOURBLIND
from hsipipe.tasks.representation.case import CaseFile
from hsipipe.tasks.representation.prediction import Embeddings, read_embeddings

CONTROLS = ("majority", "untrained")


@dataclass(frozen=True)
class Material(Results):
    """All that a figure can be drawn from.

    Attributes: those of `Results`; case (path); kept (variant -> its embeddings); windows_nm, where classes are known
    to differ.
    """

    task: ClassVar[str] = "representation"
    controls: ClassVar[tuple[str, ...]] = CONTROLS

    case: str | Path
    kept: dict[str, str]
    windows_nm: list[tuple[float, float]]

    @cached_property
    def embeddings(self) -> dict[str, Embeddings]:
        """Variant -> what it made of all images."""
        return {variant: read_embeddings(path) for variant, path in self.kept.items()}

    def open(self) -> CaseFile:
        """The case."""
        return CaseFile(self.case)

    def having(self, name: str) -> dict[str, Embeddings]:
        """The variants whose embeddings come with the array `name`.

        Raises:
            UserError: none has.
        """
        found = {variant: made for variant, made in self.embeddings.items() if name in made.more}
        if not found:
            raise UserError(
                f"a figure of kind {self.figure['kind']!r} has nothing to show of these variants",
                key="variants",
                found=", ".join(self.embeddings),
                remedy="name others, or give the case `importance_nm`",
            )
        return found


def class_colours(count: int) -> list[Any]:
    """Colours of classes, told apart by eyes that see fewer of them too; pairs of neighbours are dark and light."""
    if count <= len(COLOURBLIND):
        return list(COLOURBLIND[:count])
    import seaborn as sns

    return list(sns.color_palette("husl", count))


def shade_windows(axis: Any, windows_nm: list[tuple[float, float]]) -> None:
    """Mark the windows in which classes are known to differ."""
    for number, (low, high) in enumerate(windows_nm):
        axis.axvspan(low, high, color="#f2d9a6", alpha=0.6, zorder=0, label="planted" if number == 0 else None)
