"""From images of many bands to embeddings: spectral attention, a spectral stem, and a backbone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hsipipe.errors import UserError, unknown
from hsipipe.tasks.representation.shared.adapter import SpectralAdapter
from hsipipe.tasks.representation.shared.attention import SetAttention, SpectralAttention
from hsipipe.tasks.representation.shared.backbones import build_backbone
from hsipipe.tasks.representation.shared.response import by_wavelength, tiled
from hsipipe.tasks.representation.shared.stems import MAPS, STEMS, Reduce, Unchanged


class Encoder(nn.Module):
    """What `build_encoder` makes.

    Attributes:
        bands: C, or None where images may have any number of bands.
        dimension: D, of embeddings and of feature maps.
        wavelengths: whether forward needs wavelengths of the images, because the encoder was built with some and takes
            any number of bands; those of its own bands are then taken if none are given.
    """

    wavelength_nm: Tensor | None

    def __init__(
        self,
        *,
        bands: int | None,
        wavelength_nm: np.ndarray | None,
        attention: nn.Module | None,
        stem: nn.Module,
        backbone: nn.Module,
    ) -> None:
        super().__init__()
        self.bands, self.dimension = bands, int(backbone.dimension)  # type: ignore[arg-type]
        centres = None if wavelength_nm is None else torch.as_tensor(np.asarray(wavelength_nm, np.float32))
        self.register_buffer("wavelength_nm", centres, persistent=False)
        self.attention, self.stem, self.backbone = attention, stem, backbone

    def forward(self, images: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W), reflectance or normalised, background 0, to embeddings (B, D).

        Args:
            images: of any rows and columns that the backbone takes.
            wavelength_nm: (C,) of the images in nm; used where any number of bands serves, and None then means those
                that the encoder was built with.

        Raises:
            UserError: another number of bands than the encoder's, or no wavelengths for them.
        """
        return self.backbone(self._maps(images, wavelength_nm))

    def feature_map(self, images: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) to (B, D, h, w), the embeddings of places; arguments and errors as of `forward`."""
        return self.backbone.feature_map(self._maps(images, wavelength_nm))  # type: ignore[operator]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute parts in the backward pass instead of storing what is inside them; results stay the same.

        Raises:
            UserError: the backbone has no such thing.
        """
        if isinstance(self.stem, SpectralAdapter):
            self.stem.checkpointing = enable
        self.backbone.set_grad_checkpointing(enable)  # type: ignore[operator]

    def _maps(self, images: Tensor, wavelength_nm: Tensor | None) -> Tensor:
        count = images.shape[1]
        if self.bands is not None and count != self.bands:
            raise UserError(
                f"the encoder takes images of {self.bands} bands",
                key="bands",
                found=count,
                remedy="give it those bands, or use the stem `adapter`, which takes any number",
            )
        if wavelength_nm is None and self.wavelength_nm is not None and len(self.wavelength_nm) == count:
            wavelength_nm = self.wavelength_nm
        if wavelength_nm is not None and len(wavelength_nm) != count:
            raise UserError("as many wavelengths as bands are needed", key="wavelength_nm", found=len(wavelength_nm))
        if self.bands is None and (wavelength_nm is None) != (self.wavelength_nm is None):
            given = "without" if self.wavelength_nm is None else "with"
            remedy = "give them always or never"
            raise UserError(f"the encoder was built {given} wavelengths", key="wavelength_nm", remedy=remedy)
        if self.attention is not None:
            images = self.attention(images, wavelength_nm)
        return self.stem(images, wavelength_nm)


def build_encoder(
    *,
    wavelength_nm: np.ndarray | None,
    backbone: str = "tiny",
    stem: str = "reduce",
    pretrained: bool | str | None = False,
    attention: bool = False,
    bands: int | None = None,
    maps: int | None = None,
    width: int = 128,
    step_nm: float = 5.0,
    attention_hidden: int | None = None,
    checkpointing: bool = False,
) -> Encoder:
    """An encoder with weights drawn from torch's global generator where they are not pretrained.

    Args:
        wavelength_nm: (C,) of the bands in nm, or None if not known.
        backbone: `tiny`, `small`, or a model of timm.
        stem: one of `STEMS`.
        pretrained: True for timm's weights, a path for a file of weights of the backbone, False for random ones, None
            for random ones without a word, since a state is loaded. With
            True, and none to be had, they are random, and the log says so: pass False where a state is loaded anyway.
        attention: weigh bands by spectral attention before the stem.
        bands: C where wavelength_nm is None, and the stem is not `adapter`.
        maps: what the stems `reduce` and `adapter` give to the backbone; None for 3 if pretrained, else 16.
        width: channels of the last convolution of `adapter`, a multiple of 4.
        step_nm: of the grid of wavelengths of `adapter`.
        attention_hidden: hidden units of the attention; None for `hidden_units(C)`, or 16 where C is free. Give the
            last stage's to all stages of a progressive training.
        checkpointing: see `Encoder.set_grad_checkpointing`.

    Raises:
        UserError: an unknown stem or backbone, wavelengths that are needed and not known, or weights that do not fit.
    """
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    centres = None if wavelength_nm is None else np.asarray(wavelength_nm, np.float64)
    if centres is not None and (centres.ndim != 1 or not len(centres) or not np.isfinite(centres).all()):
        raise UserError("must be finite numbers in nm, one per band", key="wavelength_nm", found=centres.shape)
    if centres is not None and bands not in (None, len(centres)):
        raise UserError(f"{bands} bands need as many wavelengths", key="wavelength_nm", found=len(centres))
    count = bands if centres is None else len(centres)
    if stem == "interpolated" and centres is None:
        remedy = "give wavelengths, or use the stem `reduce`"
        raise UserError("the stem `interpolated` needs the wavelengths of the bands", key="stem", remedy=remedy)
    if stem != "adapter" and not count:
        raise UserError(f"the stem {stem!r} is made for a number of bands", key="bands", remedy="give it")
    if width < 4 or width % 4:
        raise UserError("must be a positive multiple of 4", key="width", found=width)
    if not step_nm > 0:
        raise UserError("must be above 0", key="step_nm", found=step_nm)
    if maps is not None and maps < 1:
        raise UserError("must be at least 1", key="maps", found=maps)

    maps = maps or (3 if pretrained else MAPS)
    gate: nn.Module | None = None
    entry: nn.Module
    matrix: Tensor | None = None
    if stem == "adapter":
        entry = SpectralAdapter(maps=maps, width=width, step_nm=step_nm)
        gate = SetAttention(hidden=attention_hidden or 16) if attention else None
    else:
        assert count is not None
        gate = SpectralAttention(bands=count, hidden=attention_hidden) if attention else None
        if stem == "reduce":
            entry = Reduce(bands=count, maps=maps, wavelength_nm=centres)
        else:
            maps, entry = count, Unchanged()
            weights = tiled(count) if stem == "tiled" or centres is None else by_wavelength(centres)
            matrix = torch.from_numpy(weights)
    encoder = Encoder(
        bands=None if stem == "adapter" else count,
        wavelength_nm=centres,
        attention=gate,
        stem=entry,
        backbone=build_backbone(backbone, channels=maps, pretrained=pretrained, matrix=matrix),
    )
    if checkpointing:
        encoder.set_grad_checkpointing()
    return encoder
