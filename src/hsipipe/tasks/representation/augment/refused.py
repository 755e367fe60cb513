"""Operations of colour photography that are not offered for spectra, each with the reason."""

from __future__ import annotations

from pathlib import Path

from hsipipe.errors import UserError

_THREE = "it is defined for red, green and blue only"
_ORDER = "it breaks the order of the bands, which carries the wavelengths"
_GREY = "it replaces every spectrum by its mean: all that tells pigments apart is gone"
_TONE = "it remaps each band by a curve of its own that depends on the image, so spectra of one pigment no longer agree"
_CLIP = "it clips to [0, 1] and bends reflectance by a curve that no sensor or lamp has"

# Names as kornia, torchvision and albumentations have them, without `Random`, in lower case, without separators.
REASONS: dict[str, str] = {
    "hue": _THREE,
    "saturation": _THREE,
    "colorjitter": f"hue and saturation are among it, and {_THREE}; brightness and contrast clip to [0, 1]",
    "colorjiggle": f"hue and saturation are among it, and {_THREE}; brightness and contrast clip to [0, 1]",
    "planckianjitter": f"{_THREE} (its table has three columns per lamp temperature)",
    "rgbshift": _THREE,
    "jpeg": f"{_THREE}: it converts to luma and chroma",
    "snow": _THREE,
    "rain": _THREE,
    "saltandpeppernoise": f"{_THREE}, and it sets whole spectra to 0 or 1",
    "grayscale": _GREY,
    "channelshuffle": _ORDER,
    "channeldropout": "it drops single bands, which their neighbours a nanometre away give back",
    "solarize": "it inverts bright bands and leaves dark ones, so spectra get edges that no material has",
    "posterize": "it rounds reflectance to a few levels and so erases absorption features",
    "invert": "1 - reflectance turns absorption into reflection: another material",
    "equalize": _TONE,
    "autocontrast": _TONE,
    "clahe": _TONE,
    "brightness": _CLIP,
    "contrast": _CLIP,
    "gamma": _CLIP,
    "sharpness": "it overshoots at edges by mixing spectra of neighbours with negative weights",
    "medianblur": "the median of each band alone makes spectra that no pixel has, and it takes 18 s per batch",
    "mixup": "it mixes specimens, so a view has two identities; it is for supervised heads",
    "cutmix": "it mixes specimens, so a view has two identities; it is for supervised heads",
    "jigsaw": "it cuts a specimen into tiles, so the views have no common geometry",
}
REMEDIES: dict[str, str] = {
    "brightness": "take `gain_probability`",
    "contrast": "take `gain_probability` with `offset_probability`",
    "gamma": "take `gain_probability`",
    "colorjitter": "take `gain_probability` and `tilt_probability`",
    "colorjiggle": "take `gain_probability` and `tilt_probability`",
    "planckianjitter": "take `tilt_probability`: a lamp's colour on any number of bands",
    "rgbshift": "take `offset_probability` or `tilt_probability`",
    "channeldropout": "take `drop_probability`: a run of bands",
    "medianblur": "take `blur_probability`",
    "sharpness": "take `blur_probability`",
    "saltandpeppernoise": "take `noise_probability`",
    "channelshuffle": "take `band_subset: random`",
}
_ALIASES = {
    "colourjitter": "colorjitter",
    "greyscale": "grayscale",
    "gray": "grayscale",
    "grey": "grayscale",
    "jpegcompression": "jpeg",
    "saltandpepper": "saltandpeppernoise",
    "planckian": "planckianjitter",
    "sharpen": "sharpness",
    "mixupv2": "mixup",
    "cutmixv2": "cutmix",
    "posterise": "posterize",
    "solarise": "solarize",
    "equalise": "equalize",
    "adjustsharpness": "sharpness",
}


def plain_name(name: str) -> str:
    """The name by which an operation is looked up.

    >>> plain_name("RandomChannel_Shuffle")
    'channelshuffle'
    """
    text = "".join(letter for letter in name.lower() if letter.isalnum())
    text = text.removeprefix("random").removesuffix("probability")
    return _ALIASES.get(text, text)


def refuse(name: str, *, where: str | Path | None = None, key: str | None = None) -> None:
    """Raise if an operation has no place on spectra.

    Raises:
        UserError: the name is in `REASONS`; with the reason, and with what to take instead where there is something.
    """
    operation = plain_name(name)
    if operation in REASONS:
        raise UserError(
            f"{name!r} is not offered: {REASONS[operation]}",
            file=where,
            key=key,
            remedy=REMEDIES.get(operation, "leave it out"),
        )
