"""What a config says of a segmentation case."""

from __future__ import annotations

from dataclasses import dataclass, field

from hsipipe.cases.pixels import PixelSplitSettings
from hsipipe.cases.settings import CommonCaseSettings
from hsipipe.cases.split import SplitSettings
from hsipipe.errors import UserError

# The kinds of figure that `draw` knows.
FIGURES = (
    "bars",
    "time",
    "parameters",
    "loss-curves",
    "slices",
    "pixel-spectra",
    "latents",
    "latent-scatter",
    "cluster-maps",
    "cluster-spectra",
    "classification-maps",
    "confusion",
)

# Which settings of a case each step reads: a change of the others does not make it run again.
USED_BY = {
    "split": ("split", "crop", "items"),
    "bands": ("bands",),
    "prepare": ("split", "spectra", "pixels", "train_map", "test_map", "seed"),
    "fit": (),
    "predict": ("figure_unit", "clusters"),
    "score": (),
    "draw": (),
}


def _default_spectra() -> PixelSplitSettings:
    return PixelSplitSettings(by="blocks", fraction=0.7, validation_fraction=0.1, buffer=0)


@dataclass(frozen=True, kw_only=True)
class CaseSettings(CommonCaseSettings):
    """A segmentation case: scenes, and which of their pixels train and test.

    With `split: {by: test}` every image is divided within: all its spectra for autoencoders as `spectra` says, its
    labelled pixels for classifiers as `pixels` says. With any other split whole units train, validate and test, and
    both have no meaning. Clusterings see no label and are scored at all labelled pixels of the test units.
    """

    split: SplitSettings = field(
        default_factory=lambda: SplitSettings(by="test"),
        metadata={"meaning": "how units are shared out; `by: test` divides each image within"},
    )
    spectra: PixelSplitSettings | None = field(
        default=None,
        metadata={
            "meaning": "within an image, which spectra train and test autoencoders; 70 % and a tenth for validation in "
            "blocks if absent"
        },
    )
    pixels: PixelSplitSettings | None = field(
        default=None,
        metadata={
            "meaning": "within an image, which labelled pixels train and test classifiers; 30 % in blocks with a "
            "buffer of 3 pixels if absent, without the classes too rare for that"
        },
    )
    train_map: str | None = field(
        default=None, metadata={"meaning": "FILE[:KEY] of a map whose pixels above 0 train, with `pixels: {by: maps}`"}
    )
    test_map: str | None = field(
        default=None, metadata={"meaning": "FILE[:KEY] of a map whose pixels above 0 are tested, likewise"}
    )
    clusters: int | None = field(
        default=None,
        metadata={
            "meaning": "number of clusters where a variant says none; if absent too, each clustering chooses it",
            "minimum": 1,
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, default in (("spectra", _default_spectra()), ("pixels", PixelSplitSettings(rare="leave-out"))):
            if self.divides_within and getattr(self, name) is None:
                object.__setattr__(self, name, default)
            if not self.divides_within and getattr(self, name) is not None:
                raise UserError(
                    "divides single images, and the split shares out whole units",
                    key=name,
                    found=f"split by {self.split.by}",
                    remedy="leave it out, or `split: {by: test}`",
                )
        by_maps = self.pixels is not None and self.pixels.by == "maps"
        if self.spectra is not None and self.spectra.by == "maps":
            raise UserError("spectra are not divided by maps", key="spectra.by", remedy="take blocks")
        for name in ("train_map", "test_map"):
            if by_maps != (getattr(self, name) is not None):
                raise UserError("goes with `pixels: {by: maps}`", key=name, found=getattr(self, name))
        if by_maps and len(self.scenes) > 1:
            raise UserError("maps are of one scene", key="scenes", found=", ".join(self.scenes))

    @property
    def divides_within(self) -> bool:
        """Whether pixels of one image both train and test."""
        return self.split.by == "test"

    @property
    def has_training(self) -> bool:
        """Whether there is something to train on: pixels of each image, or whole units."""
        return self.divides_within or self.split.has_training

    @property
    def files(self) -> list[str]:
        """Files that are read besides the scenes: `FILE[:KEY]` of the maps."""
        return [name for name in (self.train_map, self.test_map) if name is not None]

    @property
    def note(self) -> str:
        """How training and test lie to each other."""
        if self.pixels is None or self.spectra is None:
            return f"whole units (split by {self.split.by}) train or test"
        return f"of labelled pixels: {self.pixels.leak}; of spectra for autoencoders: {self.spectra.leak}"
