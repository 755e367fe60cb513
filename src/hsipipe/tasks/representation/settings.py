"""What a config says of a representation case."""

from __future__ import annotations

from dataclasses import dataclass, field

from hsipipe.cases.settings import CommonCaseSettings
from hsipipe.cases.split import SplitSettings
from hsipipe.errors import UserError

# The kinds of figure that `draw` knows.
FIGURES = ("bars", "time", "embedding-map", "importance", "signatures", "sweep", "course", "fractions")

# Which settings of a case each step reads: a change of the others does not make it run again.
USED_BY = {
    "split": ("split", "crop", "items"),
    "bands": ("bands",),
    "prepare": ("size", "patch", "stride", "folds", "block", "guard", "seed"),
    "fit": (),
    "predict": ("windows_nm", "importance_nm"),
    "score": ("pairs", "windows_nm", "importance_nm"),
    "draw": ("windows_nm",),
}


@dataclass(frozen=True, kw_only=True)
class CaseSettings(CommonCaseSettings):
    """A representation case: images with a class, an individual and a session, and folds that share no individual.

    Images are specimens, cropped to their mask and resized, or with `patch` the surroundings of the labelled pixels of
    scenes, where a block of pixels stands for an individual. A run of seed s is trained without fold s modulo `folds`,
    and judged on it: encoders never see what they are tested on.
    """

    split: SplitSettings = field(
        default_factory=lambda: SplitSettings(by="test"),
        metadata={"meaning": "has no meaning here: `folds` share out the images"},
    )
    size: int = field(
        default=64,
        metadata={"meaning": "side that specimens are brought to, pixels; not used with `patch`", "minimum": 8},
    )
    patch: int | None = field(
        default=None,
        metadata={
            "meaning": "side of the patches round labelled pixels, odd; null: the images are specimens",
            "minimum": 1,
        },
    )
    stride: int = field(
        default=1, metadata={"meaning": "with `patch`, every so many rows and columns of pixels", "minimum": 1}
    )
    folds: int | None = field(
        default=5,
        metadata={
            "meaning": "folds over individuals or blocks; null: the `split` of the specimens' metadata",
            "minimum": 2,
        },
    )
    block: int = field(
        default=10, metadata={"meaning": "with `patch`, side of the blocks that folds keep together", "minimum": 1}
    )
    guard: int | None = field(
        default=None,
        metadata={
            "meaning": "with `patch`, training pixels within so many pixels of a test pixel are dropped; half a patch "
            "if absent",
            "minimum": 0,
        },
    )
    pairs: list[list[str]] = field(
        default_factory=list,
        metadata={"meaning": "pairs of classes whose accuracy is told by itself, such as those alike in RGB"},
    )
    windows_nm: list[tuple[float, float]] = field(
        default_factory=list,
        metadata={
            "meaning": "windows of wavelengths in which classes are known to differ, where one knows",
            "above": 0,
        },
    )
    importance_nm: float | None = field(
        default=None,
        metadata={
            "meaning": "width of the windows of wavelength whose importance is asked, nm; null: not asked",
            "above": 0,
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split.by != "test":
            raise UserError("has no meaning here", key="split", found=f"by: {self.split.by}", remedy="set `folds`")
        if self.patch is not None and self.patch % 2 == 0:
            raise UserError("must be odd: a pixel is in its middle", key="patch", found=self.patch)
        if self.patch is not None and self.folds is None:
            raise UserError("patches have no split of their own", key="folds", remedy="give a number of folds")
        for pair in self.pairs:
            if len(pair) != 2:
                raise UserError("must be two classes each", key="pairs", found=pair)
        for low, high in self.windows_nm:
            if not low < high:
                raise UserError("must rise", key="windows_nm", found=[low, high])

    @property
    def has_training(self) -> bool:
        """Whether there is something to train on: the other folds."""
        return True

    @property
    def note(self) -> str:
        """How training and test lie to each other."""
        if self.folds is None:
            return "trained and tested as the specimens' metadata says; no individual in both"
        kept = "blocks of pixels with a guard" if self.patch else "individuals, all sides of one together"
        return f"{self.folds} folds over {kept}; a run of seed s neither sees nor trains on fold s modulo {self.folds}"
