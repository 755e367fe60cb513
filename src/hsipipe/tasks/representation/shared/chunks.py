"""Embedding a cube in pieces of its spectrum, so that only one piece need be on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from hsipipe.errors import UserError
from hsipipe.tasks.representation.shared.encoder import Encoder

COMBINE = ("mean", "concatenate")


def embed_in_chunks(
    encoder: Encoder, images: Tensor, wavelength_nm: Tensor | None, *, chunk: int = 50, combine: str = "mean"
) -> Tensor:
    """Embed images piece by piece of their spectrum, by an encoder that takes any number of bands.

    The bands are sorted by wavelength (if known) and cut into K = ceil(C / chunk) runs of `chunk` bands, the last of
    what is left. Each run is embedded as an image of its own. `mean` gives the sum over runs of n_k / C times the
    embedding of run k, n_k its bands; `concatenate` puts the K embeddings one after another, by wavelength. With
    chunk >= C both are the encoder's embedding of the whole image; otherwise they are not: relations between bands of
    different runs are not seen. Nothing else of a run is kept, so that, without gradients, memory is that of one run.

    Args:
        encoder: from `build_encoder(stem="adapter", ...)`; in evaluation mode if batches are not to matter.
        images: (B, C, H, W), on any device; each run is moved to the encoder's.
        wavelength_nm: (C,) in nm, or None if the encoder was built without.
        chunk: bands in a run, at least 1.
        combine: one of COMBINE.

    Returns:
        (B, D), or (B, K D) for `concatenate`, on the encoder's device.

    Raises:
        UserError: an encoder for a fixed number of bands, or a setting out of range.
    """
    if combine not in COMBINE:
        raise UserError(f"must be one of {', '.join(COMBINE)}", key="combine", found=combine)
    if chunk < 1:
        raise UserError("must be at least 1", key="chunk", found=chunk)
    if encoder.bands is not None:
        raise UserError(
            f"a chunk of {min(chunk, images.shape[1])} bands does not fit a stem for {encoder.bands} bands",
            key="chunk",
            remedy="use the stem `adapter`, which takes any number of bands",
        )
    if wavelength_nm is None and encoder.wavelength_nm is not None:
        if len(encoder.wavelength_nm) != images.shape[1]:
            raise UserError("the wavelengths of the images are needed", key="wavelength_nm", found=None)
        wavelength_nm = encoder.wavelength_nm
    count = images.shape[1]
    order = torch.arange(count) if wavelength_nm is None else torch.argsort(wavelength_nm.cpu(), stable=True)
    device = next(encoder.parameters()).device
    parts: list[Tensor] = []
    total: Tensor | None = None
    for run in order.split(chunk):
        centres = None if wavelength_nm is None else wavelength_nm[run.to(wavelength_nm.device)].to(device)
        embedding = encoder(images[:, run.to(images.device)].to(device), centres)
        if combine == "concatenate":
            parts.append(embedding)
        else:
            weighted = embedding * (len(run) / count)
            total = weighted if total is None else total + weighted
    return torch.cat(parts, dim=1) if total is None else total
