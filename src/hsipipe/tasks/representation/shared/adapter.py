"""A spectral stem whose weights do not depend on the number of bands.

N. A. A. Braham et al., "SpectralEarth: Training Hyperspectral Foundation Models at Scale", arXiv 2408.08447: three
convolutions along the spectrum of each pixel, shared by all positions, kernels 7, 7, 5 with strides 5, 5, 3, and the
mean over what is left of the spectral axis.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hsipipe.tasks.representation.shared.wavelength_code import wavelength_code

KERNELS, STRIDES = (7, 7, 5), (5, 5, 3)
CODE = 32  # length of a wavelength's code
CODE_DEVIATION = 0.2  # of what codes add at first, beside reflectance within [0, 1]
FINE = 8  # points in each step of the grid over which a fine spectrum is averaged
SLAB_PIXELS = 16384  # how many pixels' spectra are worked on at once where memory is to be spared


def spectral_grid(wavelength_nm: np.ndarray, step_nm: float) -> tuple[np.ndarray, np.ndarray]:
    """A regular grid of wavelengths within a sensor's range, and the matrix that takes spectra onto it.

    Points are multiples of the step, so that sensors share them. A spectrum is interpolated linearly between band
    centres and then averaged with a triangle of one step to either side, within the range: where bands are finer than
    the step they are averaged, where they are coarser they are interpolated.

    Args:
        wavelength_nm: (C,) band centres in nm, any order.
        step_nm: above 0.

    Returns:
        Points (L,) in nm, ascending, L >= 1, and matrix (L, C), rows with a sum of 1; both float64. A range without a
        multiple of the step in it has one point, its middle.
    """
    from hsipipe.bands.resample import interpolation

    centres = np.asarray(wavelength_nm, np.float64)
    first, last = centres.min(), centres.max()
    points = np.arange(np.ceil(first / step_nm), np.floor(last / step_nm) + 1) * step_nm
    if not len(points):
        points = np.array([(first + last) / 2])
    offsets = np.arange(-FINE, FINE + 1) / FINE
    triangle = 1 - np.abs(offsets)
    fine = points[:, None] + offsets * step_nm
    inside = np.where((fine >= first - 1e-9) & (fine <= last + 1e-9), triangle, 0.0)
    if last == first:
        inside = np.broadcast_to(triangle, fine.shape)
    inside = inside / np.maximum(inside.sum(axis=1, keepdims=True), 1e-12)
    values = interpolation(centres, fine.ravel()).reshape(*fine.shape, len(centres))
    return points, np.einsum("lf,lfc->lc", inside, values)


@lru_cache(maxsize=64)
def _grid(wavelength_nm: tuple[float, ...], step_nm: float) -> tuple[Tensor, Tensor]:
    """`spectral_grid` as tensors; kept, because every batch asks for that of the same few sensors."""
    points, matrix = spectral_grid(np.asarray(wavelength_nm), step_nm)
    return torch.from_numpy(points), torch.from_numpy(matrix).float()


class SpectralAdapter(nn.Module):
    """Images of any number of bands to a fixed number of maps, pixel by pixel.

    With wavelengths, spectra are first put on a regular grid (`spectral_grid`), so that a kernel spans the same range
    of wavelengths whatever the sensor or the choice of bands, and codes of wavelength are added after the first
    convolution; the order of the bands is then of no consequence. Without, the bands are taken in their order as
    equally spaced.

    Deviation: grid and codes are ours; the paper convolves over band numbers of one sensor. Normalised is over channels
    at each position, not over the batch: a contrastive batch is small, and each pixel's outcome then depends on its own
    spectrum only. Ends are padded by their own value, so that a spectrum of one band will do and a constant one gives
    the same maps (without codes) whatever its length. The last convolution's maps may be mixed down, because a
    transformer's patch embedding grows with them.

    Args:
        maps: how many come out.
        width: channels of the last convolution, a multiple of 4; the first has a quarter of it, the second half.
        step_nm: of the grid.
        checkpointing: recompute the maps of a slab of pixels in the backward pass instead of storing what is inside.
    """

    def __init__(self, *, maps: int, width: int = 128, step_nm: float = 5.0, checkpointing: bool = False) -> None:
        super().__init__()
        widths = (width // 4, width // 2, width)
        self.step_nm, self.checkpointing = step_nm, checkpointing
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, (kernel, 1), stride=(stride, 1))
            for before, after, kernel, stride in zip((1, *widths), widths, KERNELS, STRIDES, strict=False)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(after) for after in widths[1:])
        self.code = nn.Linear(CODE, widths[0], bias=False)
        self.mix = nn.Linear(width, maps) if maps != width else nn.Identity()
        for layer in (*self.convolutions, self.mix):
            # Offsets as large as the spectrum's own part would make all untrained embeddings alike.
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.code.weight, std=CODE_DEVIATION / CODE**0.5)

    def forward(self, images: Tensor, wavelength_nm: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W), C >= 1, and wavelengths (C,) in nm or None, to (B, maps, H, W)."""
        batch, _, rows, columns = images.shape
        matrix = codes = None
        if wavelength_nm is not None:
            points, weights = _grid(tuple(wavelength_nm.tolist()), self.step_nm)
            matrix = weights.to(images.device)
            codes = self.code(wavelength_code(points[:: STRIDES[0]].to(images.device), CODE)).T[None, :, :, None]
        spectra = images.flatten(2)
        sparing = self.checkpointing or not torch.is_grad_enabled()
        slabs = spectra.split(max(1, SLAB_PIXELS // batch), dim=2) if sparing else (spectra,)
        if self.checkpointing and torch.is_grad_enabled():
            maps = [checkpoint(self._maps, slab, matrix, codes, use_reentrant=False) for slab in slabs]
        else:
            maps = [self._maps(slab, matrix, codes) for slab in slabs]
        return torch.cat(maps, dim=2).unflatten(2, (rows, columns))

    def _maps(self, spectra: Tensor, matrix: Tensor | None, codes: Tensor | None) -> Tensor:
        """Spectra (B, C, P) to (B, maps, P)."""
        if matrix is not None:
            spectra = torch.einsum("lc,bcp->blp", matrix, spectra.to(matrix.dtype))
        values = spectra[:, None]
        for index, convolution in enumerate(self.convolutions):
            margin = KERNELS[index] // 2
            values = convolution(functional.pad(values, (0, 0, margin, margin), mode="replicate"))
            if index == 0:
                # Not normalised: the brightness of a spectrum would be lost.
                values = values if codes is None else values + codes.to(values.dtype)
            else:
                values = self.norms[index - 1](values.movedim(1, -1)).movedim(-1, 1)
            values = functional.gelu(values)
        return self.mix(values.mean(dim=2).transpose(1, 2)).transpose(1, 2)
