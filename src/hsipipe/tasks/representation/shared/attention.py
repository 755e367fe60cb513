"""Weights for bands that depend on the image: squeeze and excitation over the spectrum.

J. Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018. Squeezed is the mean spectrum of the specimen, not of the
whole image: background is 0 in every band and is left out, so that weights do not depend on how much of it there is.

Deviation: between the layers is a SiLU, because of four rectified units all may be dead. The gate is twice a sigmoid
and starts at exactly 1 for every band, so that a pretrained network behind it sees the image unchanged at first, rather
than at half its brightness.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsipipe.tasks.representation.shared.wavelength_code import wavelength_code

CODE = 16  # length of a wavelength's code


def hidden_units(bands: int, reduction: int = 16) -> int:
    """bands // reduction, at least 4: with nine bands and a reduction of 16 there would be none."""
    return max(4, bands // reduction)


def mean_spectrum(images: Tensor) -> Tensor:
    """The mean of images (B, C, H, W) over the pixels that are not 0 in all bands, (B, C) float32; 0 without such."""
    inside = (images != 0).any(dim=1, keepdim=True)
    return images.sum(dim=(2, 3), dtype=torch.float32) / inside.sum(dim=(2, 3)).clamp(min=1)


class SpectralAttention(nn.Module):
    """For a fixed number of bands: two layers from the mean spectrum to a gate for each band.

    Args:
        bands: C.
        hidden: units between the layers; None for `hidden_units(bands)`.
    """

    def __init__(self, *, bands: int, hidden: int | None = None) -> None:
        super().__init__()
        self.squeeze = nn.Linear(bands, hidden or hidden_units(bands))
        self.excite = nn.Linear(self.squeeze.out_features, bands)
        nn.init.zeros_(self.excite.weight)
        nn.init.zeros_(self.excite.bias)

    def gates(self, images: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Images (B, C, H, W) to the bands' weights (B, C), within (0, 2)."""
        return 2 * torch.sigmoid(self.excite(functional.silu(self.squeeze(mean_spectrum(images)))))

    def forward(self, images: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) with each band times its gate, the same shape and type."""
        return images * self.gates(images, wavelength_nm)[:, :, None, None].to(images.dtype)


class SetAttention(nn.Module):
    """For any number of bands in any order: what it knows of a band is its mean, its wavelength and the other bands.

    Each band's mean and wavelength go through one layer that all bands share; the mean of the outcome over bands
    describes the whole spectrum (M. Zaheer et al., "Deep Sets", NeurIPS 2017), and a second shared layer makes of it,
    and of the band, the band's gate.

    Args:
        hidden: units of the shared layers.
    """

    def __init__(self, *, hidden: int = 16) -> None:
        super().__init__()
        self.describe = nn.Linear(1 + CODE, hidden)
        self.excite = nn.Linear(2 * hidden, 1)
        nn.init.zeros_(self.excite.weight)
        nn.init.zeros_(self.excite.bias)

    def gates(self, images: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) and wavelengths (C,), 0 in place of their codes if None, to weights (B, C) in (0, 2)."""
        means = mean_spectrum(images)
        if wavelength_nm is None:
            codes = means.new_zeros(means.shape[1], CODE)
        else:
            codes = wavelength_code(wavelength_nm.to(means.device), CODE)
        bands = torch.cat([means[:, :, None], codes.expand(means.shape[0], -1, -1)], dim=2)
        bands = functional.silu(self.describe(bands))
        whole = bands.mean(dim=1, keepdim=True).expand_as(bands)
        return 2 * torch.sigmoid(self.excite(torch.cat([bands, whole], dim=2)))[:, :, 0]

    def forward(self, images: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) with each band times its gate, the same shape and type."""
        return images * self.gates(images, wavelength_nm)[:, :, None, None].to(images.dtype)
