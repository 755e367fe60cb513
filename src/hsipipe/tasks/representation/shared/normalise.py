"""How reflectance is scaled before an encoder sees it: fitted on the training part, kept with the model.

Background, where an image is 0 in every band or a mask says so, stays 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hsipipe.errors import UserError, unknown

NORMALISATIONS = {
    "none": "as it is",
    "band": "each band less its mean over the training part's pixels, by its standard deviation",
    "snv": "standard normal variate: each pixel's spectrum less its mean, by its standard deviation; albedo is lost",
    "l2": "each pixel's spectrum by its Euclidean norm; albedo is lost",
    "light": "each image by the gain and tilt of its mean spectrum: the straight line over wavelength that fits its "
    "logarithm; overall albedo and slope are lost",
    "pca": "principal components of the training part's spectra in place of bands",
    "peer": "each image and band from its minimum, 0, to its maximum, 1; albedo and spectral shape are lost",
}
DARKEST = 1e-3  # reflectance of a band's mean below which the light is not read from it
SMALLEST = 1e-6  # a smaller deviation, norm or range, of reflectance, is taken as none


@dataclass(frozen=True, eq=False)
class BandStatistics:
    """Of the spectra of a training part.

    Attributes:
        count: of pixels.
        mean: (C,) float64.
        covariance: (C, C) float64, of the population (divided by count).
    """

    count: int
    mean: np.ndarray
    covariance: np.ndarray


def band_statistics(cubes: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> BandStatistics:
    """Mean and covariance over the valid pixels of cubes, one cube in memory at a time.

    Moments of cubes are joined about their means (T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances", COMPSTAT 1982), which loses no digits to a large mean.

    Args:
        cubes: pairs of reflectance (C, H, W) and validity (H, W) or None for all; pixels with values that are not
            finite are left out.

    Raises:
        UserError: no valid pixel, or cubes of unequal numbers of bands.
    """
    count, mean, moment = 0, np.zeros(0), np.zeros((0, 0))
    for cube, valid in cubes:
        spectra = cube.reshape(cube.shape[0], -1)
        keep = np.isfinite(spectra).all(axis=0)
        if valid is not None:
            keep &= np.asarray(valid, bool).ravel()
        spectra = spectra[:, keep].astype(np.float64)
        size = spectra.shape[1]
        if not size:
            continue
        own = spectra.mean(axis=1)
        spectra -= own[:, None]
        if not count:
            count, mean, moment = size, own, spectra @ spectra.T
            continue
        if len(own) != len(mean):
            raise UserError(f"all cubes must have {len(mean)} bands", key="bands", found=len(own))
        step = own - mean
        moment = moment + spectra @ spectra.T + np.outer(step, step) * (count * size / (count + size))
        mean = mean + step * (size / (count + size))
        count += size
    if not count:
        raise UserError("the training part has no valid pixel to fit a normalisation to")
    return BandStatistics(count, mean, moment / count)


class Normalisation(nn.Module):
    """A normalisation, fitted by `fit_normalisation` or filled by `load_state_dict`.

    Attributes:
        name: one of NORMALISATIONS.
        bands: how many it was fitted to; None where any number serves.
        channels: how many come out: the components of `pca`, the bands of `band`; None for as many as go in.

    Args:
        name: one of NORMALISATIONS.
        bands: C, where the name has statistics (`band`, `pca`); None otherwise, and then any number serves.
        components: of `pca`.
    """

    shift: Tensor
    scale: Tensor
    axes: Tensor

    def __init__(self, *, name: str, bands: int | None = None, components: int | None = None) -> None:
        super().__init__()
        if name not in NORMALISATIONS:
            raise unknown("normalisation", name, NORMALISATIONS)
        fitted = name in ("band", "pca")
        if fitted and not bands:
            raise UserError(f"the normalisation {name!r} is made for a number of bands", key="bands", remedy="give it")
        self.name, self.bands = name, bands if fitted else None
        self.components = components if name == "pca" else None
        self.channels = self.components or self.bands
        self.register_buffer("shift", torch.zeros(bands or 0) if fitted else None)
        self.register_buffer("scale", torch.ones(bands or 0) if name == "band" else None)
        self.register_buffer("axes", torch.zeros(components or 0, bands or 0) if name == "pca" else None)

    def describe(self) -> dict[str, Any]:
        """The arguments that make an empty one of this kind, for model files; its state has the rest."""
        return {"name": self.name, "bands": self.bands, "components": self.components}

    def forward(self, images: Tensor, masks: Tensor | None = None, wavelength_nm: Tensor | None = None) -> Tensor:
        """Reflectance (B, C, H, W) to float32 of the same shape, or (B, components, H, W) for `pca`.

        Args:
            images: background 0.
            masks: (B, 1, H, W), 1 within the specimen; None for where an image is not 0 in every band.
            wavelength_nm: (C,) of the bands, which `light` looks at; None for bands that are evenly spaced.

        Raises:
            UserError: another number of bands than it was fitted to.
        """
        if self.bands is not None and images.shape[1] != self.bands:
            message = f"the normalisation {self.name!r} was fitted to {self.bands} bands"
            raise UserError(message, key="bands", found=images.shape[1])
        inside = (images != 0).any(dim=1, keepdim=True) if masks is None else masks > 0
        # In full precision whatever surrounds it: differences of reflectance are small beside reflectance.
        with torch.autocast(images.device.type, enabled=False):
            if self.name == "light":
                normalised = _without_light(images.float(), inside, wavelength_nm)
            else:
                normalised = self._normalised(images.float())
            return torch.where(inside, normalised, 0.0)

    def _normalised(self, images: Tensor) -> Tensor:
        if self.name == "band":
            return (images - self.shift[:, None, None]) / self.scale[:, None, None]
        if self.name == "pca":
            return torch.einsum("kc,bchw->bkhw", self.axes, images - self.shift[:, None, None])
        if self.name == "snv":
            centred = images - images.mean(dim=1, keepdim=True)
            return centred / _usable(centred.square().mean(dim=1, keepdim=True).sqrt())
        if self.name == "l2":
            return images / _usable(images.square().sum(dim=1, keepdim=True).sqrt())
        if self.name == "peer":
            # As the original has it: over the whole image, background included.
            low = images.amin(dim=(2, 3), keepdim=True)
            return (images - low) / _usable(images.amax(dim=(2, 3), keepdim=True) - low)
        return images


def fit_normalisation(
    name: str, statistics: BandStatistics | None = None, *, components: int = 30, whiten: bool = False
) -> Normalisation:
    """Fit a normalisation to the training part.

    Args:
        name: one of NORMALISATIONS.
        statistics: of the training part, from `band_statistics`; needed by `band` and `pca`.
        components: of `pca`, at most as many as bands; each one's sign makes its largest weight positive.
        whiten: give the components of `pca` a variance of 1 each.

    Raises:
        UserError: an unknown name, statistics that are needed and missing, or a number of components out of range.
    """
    if name not in ("band", "pca"):
        return Normalisation(name=name)
    if statistics is None:
        raise UserError(f"the normalisation {name!r} needs statistics of the training part", key="normalisation")
    bands = len(statistics.mean)
    fitted = Normalisation(name=name, bands=bands, components=components)
    values: Mapping[str, np.ndarray]
    if name == "band":
        deviation = np.sqrt(np.diag(statistics.covariance))
        # A band without spread is only shifted.
        values = {"shift": statistics.mean, "scale": np.where(deviation > SMALLEST, deviation, 1.0)}
    else:
        if not 1 <= components <= bands:
            raise UserError(f"must be from 1 to the number of bands, {bands}", key="components", found=components)
        variances, vectors = np.linalg.eigh(statistics.covariance)
        axes, variances = vectors[:, ::-1][:, :components].T, variances[::-1][:components]
        axes = axes * np.sign(axes[np.arange(components), np.abs(axes).argmax(axis=1)])[:, None]
        if whiten:
            # Directions without variance, of fewer pixels than components, are left at 0 and not blown up.
            enough = variances > max(variances[0], 0.0) * 1e-10
            axes = np.where(enough, 1 / np.sqrt(np.where(enough, variances, 1.0)), 0.0)[:, None] * axes
        values = {"shift": statistics.mean, "axes": axes}
    fitted.load_state_dict({key: torch.tensor(value, dtype=torch.float32) for key, value in values.items()})
    return fitted


def _without_light(images: Tensor, inside: Tensor, wavelength_nm: Tensor | None) -> Tensor:
    """Images (B, C, H, W) by the gain and tilt of each one's mean spectrum, less 1.

    The light of a session multiplies all spectra of an image by nearly exp(gain + tilt x wavelength), so that what is
    left is free of it. With every pixel's own line instead this is the detrending of R. J. Barnes, M. S. Dhanoa and
    S. J. Lister (Applied Spectroscopy 43(5), 1989) on logarithms; by image, the pattern on the specimen stays.
    """
    bands = images.shape[1]
    place = torch.arange(bands, dtype=torch.float32) if wavelength_nm is None else wavelength_nm.float()
    place = place.to(images.device) - place.mean().to(images.device)
    place = place / _usable(place.abs().amax())
    mean = (images * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)).clamp_min(1)
    logarithm = mean.clamp_min(DARKEST).log()
    tilt = (logarithm @ place) / _usable(place.square().sum())
    light = (logarithm.mean(dim=1, keepdim=True) + tilt[:, None] * place).exp()
    return images / light[:, :, None, None] - 1


def _usable(size: Tensor) -> Tensor:
    """`size`, and 1 where it is too small to divide by."""
    return torch.where(size > SMALLEST, size, torch.ones_like(size))
