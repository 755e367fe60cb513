"""What the two views of a specimen differ in: settings of every operation, and presets of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from hsipipe.errors import UserError, unknown
from hsipipe.settings import check, settings_from
from hsipipe.tasks.representation.augment.refused import refuse


def _probability(what: str, default: float = 0.0) -> Any:
    return field(default=default, metadata={"meaning": f"probability of {what}", "minimum": 0, "maximum": 1})


@dataclass(frozen=True)
class Augmentation:
    """Settings of `hsipipe.tasks.representation.augment.views.make_views`; see each field's meaning.

    The defaults change nothing: the whole image, fitted into the view. Each operation is an invariance that the
    representation is asked to learn, so each costs the information that it varies.
    """

    placement: Literal["crop", "resize"] = field(
        default="resize",
        metadata={"meaning": "crop: a random part of the image; resize: all of it, its long side fitted into the view"},
    )
    crop_scale: tuple[float, float] = field(
        default=(0.2, 1.0),
        metadata={
            "meaning": "least and largest area of a crop, as a fraction of the image's",
            "above": 0,
            "maximum": 1,
        },
    )
    crop_ratio: tuple[float, float] = field(
        default=(0.75, 4 / 3), metadata={"meaning": "least and largest width / height of a crop", "above": 0}
    )
    specimen_fraction: float = field(
        default=0.1,
        metadata={"meaning": "fraction of a crop that the specimen must fill", "minimum": 0, "maximum": 1},
    )
    crop_attempts: int = field(
        default=8,
        metadata={"meaning": "crops drawn until one is full enough; else the fullest is taken", "minimum": 1},
    )
    horizontal_flip: float = _probability("a mirror image, left to right")
    vertical_flip: float = _probability("a mirror image, top to bottom")
    quarter_turns: float = _probability("a turn by 0, 90, 180 or 270 degrees, equally likely")
    rotation_probability: float = _probability("a rotation")
    rotation_deg: float = field(
        default=45.0, metadata={"meaning": "largest rotation, degrees", "minimum": 0, "maximum": 180}
    )
    perspective_probability: float = _probability("a perspective distortion")
    perspective: float = field(
        default=0.3,
        metadata={
            "meaning": "how far a corner moves inwards at most, as a fraction of half a side",
            "minimum": 0,
            "below": 1,
        },
    )
    thin_plate_probability: float = _probability("a thin-plate spline deformation")
    thin_plate: float = field(
        default=0.1,
        metadata={
            "meaning": "how far the corners and the centre move at most, as a fraction of half a side",
            "minimum": 0,
            "maximum": 1,
        },
    )
    antialias: bool = field(
        default=True, metadata={"meaning": "average over the pixels that fall into one where a view is coarser"}
    )
    blur_probability: float = _probability("a Gaussian blur in space")
    blur_sigma_px: tuple[float, float] = field(
        default=(0.1, 2.0),
        metadata={"meaning": "least and largest standard deviation of the blur, pixels of the view", "above": 0},
    )
    blur_radius_px: int = field(
        default=1, metadata={"meaning": "pixels on either side that the blur reaches", "minimum": 1, "maximum": 16}
    )
    gain_probability: float = _probability("a gain")
    gain: float = field(
        default=0.2,
        metadata={"meaning": "gains lie in 1 ± this, one per specimen; erases albedo", "minimum": 0, "below": 1},
    )
    offset_probability: float = _probability("an offset")
    offset: float = field(
        default=0.01, metadata={"meaning": "offsets (dark signal) lie in ± this, reflectance", "minimum": 0}
    )
    tilt_probability: float = _probability("a tilt along the wavelengths")
    tilt: float = field(
        default=0.15,
        metadata={"meaning": "relative change at either end of the wavelengths, at most", "minimum": 0, "below": 1},
    )
    curvature: float = field(
        default=0.0,
        metadata={
            "meaning": "relative change at both ends against the middle that comes with a tilt, at most",
            "minimum": 0,
            "below": 1,
        },
    )
    drop_probability: float = _probability("dropping a run of bands")
    drop: float = field(
        default=0.2,
        metadata={
            "meaning": "largest run that is dropped, as a fraction of the range of wavelengths",
            "above": 0,
            "below": 1,
        },
    )
    drop_fill: Literal["interpolation", "zero"] = field(
        default="interpolation",
        metadata={"meaning": "what dropped bands become: interpolated from the bands beside them, or 0"},
    )
    smoothing_probability: float = _probability("smoothing along the wavelengths")
    smoothing_fwhm_nm: tuple[float, float] = field(
        default=(1.0, 8.0),
        metadata={"meaning": "least and largest full width at half maximum of the smoothing, nm", "above": 0},
    )
    shift_probability: float = _probability("a shift of the wavelengths")
    shift_nm: float = field(default=2.0, metadata={"meaning": "largest shift, nm", "minimum": 0})
    noise_probability: float = _probability("noise")
    noise: float = field(
        default=0.01,
        metadata={
            "meaning": "largest standard deviation of the noise at reflectance 1; grows as its root",
            "minimum": 0,
        },
    )
    noise_floor: float = field(
        default=0.002, metadata={"meaning": "largest standard deviation of the noise at reflectance 0", "minimum": 0}
    )
    band_subset: Literal["all", "random", "disjoint"] = field(
        default="all",
        metadata={
            "meaning": "which bands a view shows: all; random: a part of them, drawn anew for each view and batch; "
            "disjoint: as random, and no band in both views"
        },
    )
    band_fraction: float = field(
        default=0.5,
        metadata={"meaning": "fraction of the bands in a view unless it shows all", "above": 0, "maximum": 1},
    )

    def __post_init__(self) -> None:
        # A list of a YAML file must not make settings that cannot be hashed.
        for item in fields(self):
            if isinstance(getattr(self, item.name), list):
                object.__setattr__(self, item.name, tuple(getattr(self, item.name)))
        check(self)
        for name in ("crop_scale", "crop_ratio", "blur_sigma_px", "smoothing_fwhm_nm"):
            least, largest = getattr(self, name)
            if least > largest:
                raise UserError(
                    "runs from the largest to the least", key=name, found=f"[{least}, {largest}]", remedy="swap them"
                )
        if self.tilt + self.curvature >= 1:
            raise UserError(
                "tilt and curvature together reach 1: light would vanish",
                key="curvature",
                found=f"{self.tilt} + {self.curvature}",
            )
        if self.band_subset == "disjoint" and self.band_fraction > 0.5:
            raise UserError(
                "two views cannot both show more than half of the bands and share none",
                key="band_fraction",
                found=self.band_fraction,
                remedy="at most 0.5, or `band_subset: random`",
            )


_GEOMETRY = {
    "placement": "crop",
    "horizontal_flip": 0.5,
    "vertical_flip": 0.5,
    "rotation_probability": 0.5,
}
_SPECTRAL = {
    "gain_probability": 0.8,
    "offset_probability": 0.5,
    "tilt_probability": 0.8,
    "curvature": 0.05,
    "drop_probability": 0.5,
    "smoothing_probability": 0.3,
    "shift_probability": 0.5,
    "noise_probability": 0.5,
}
# The list of the Lepidoptera recipe: no operation on the spectra, subsampling without a filter, crops of any content.
_UPSTREAM = {
    "placement": "crop",
    "crop_scale": (0.05, 1.0),
    "specimen_fraction": 0.0,
    "crop_attempts": 1,
    "vertical_flip": 0.5,
    "rotation_probability": 0.5,
    "blur_probability": 0.25,
    "thin_plate_probability": 0.5,
    "thin_plate": 0.5,
    "perspective_probability": 0.5,
    "perspective": 0.5,
    "antialias": False,
}
PRESETS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "geometry": Augmentation(**_GEOMETRY),  # type: ignore[arg-type]
    "spectral": Augmentation(**_GEOMETRY, **_SPECTRAL),  # type: ignore[arg-type]
    "upstream": Augmentation(**_UPSTREAM),  # type: ignore[arg-type]
    "upstream-resize": Augmentation(**{**_UPSTREAM, "placement": "resize"}),  # type: ignore[arg-type]
}


def augmentation_from(
    choice: str | Mapping[str, Any] | Augmentation | None, where: str | Path | None = None, *, key: str = "augmentation"
) -> Augmentation:
    """Settings from what a config says: the name of a preset, or settings with a `preset` that they change.

    >>> augmentation_from({"preset": "spectral", "gain": 0.1}).gain
    0.1

    Args:
        choice: a name of `PRESETS`; a mapping of settings, on top of its `preset` (`none` if absent); None: `none`.
        where: the file, for errors.
        key: the name of the setting, for errors.

    Raises:
        UserError: an unknown preset, a wrong setting, or an operation that has no place on spectra (with the reason).
    """
    if isinstance(choice, Augmentation):
        return choice
    changes = {} if choice is None else {"preset": choice} if isinstance(choice, str) else dict(choice)
    name = str(changes.pop("preset", "none"))
    for asked in (name, *changes):
        refuse(str(asked), where=where, key=key)
    if name not in PRESETS:
        raise unknown("augmentation preset", name, PRESETS, file=where)
    return settings_from(Augmentation, {**asdict(PRESETS[name]), **changes}, where, key=key)
