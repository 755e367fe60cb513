"""SpectraMorph trained on the truth: the most that a network on single pixels with K endmembers can reach.

Source: the oracle rows of SpectraMorph (arXiv 2510.20814, 2025).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for
from hsipipe.settings import settings_from
from hsipipe.tasks.fusion.methods.spectramorph.model import apply_with_latents, fit_pixels
from hsipipe.tasks.fusion.methods.spectramorph.pixels import as_rows, prior_pixels
from hsipipe.tasks.fusion.methods.spectramorph.settings import SpectraMorphSettings
from hsipipe.tasks.fusion.result import Fused
from hsipipe.tasks.fusion.shared.pair import ratio_of

ENDMEMBER_PIXELS = 5_000  # spectra of the truth from which the endmembers come, at most


def fuse(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    truth: np.ndarray,
    psf: np.ndarray | None = None,  # noqa: ARG001
    srf: np.ndarray | None = None,
    edge: str = "reflect",  # noqa: ARG001
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
    device: str = "cpu",
    seed: int = 0,
    pixels: int = 16_384,
    **settings: Any,
) -> Fused:
    """Train SpectraMorph's network on HR-MSI pixels and the truth's spectra, and apply it to the same MSI.

    Args:
        lr_hsi: (C, h, w); used by the coarse spectral prior alone.
        hr_msi: (m, H, W).
        truth: (C, H, W).
        psf: not used.
        srf: not used; checked if given.
        edge: not used.
        wavelength_nm: not used.
        device: "cpu" or a CUDA device.
        seed: of the weights, the pixels and the endmembers.
        pixels: train on at most so many pixels in an epoch, drawn anew each time.
        settings: fields of `SpectraMorphSettings`.

    Returns:
        As SpectraMorph's `fuse`.

    Raises:
        UserError: sizes that do not fit, an unknown setting, or more endmembers than bands or pixels.
    """
    chosen = settings_from(SpectraMorphSettings, settings)
    ratio_of(lr_hsi, hr_msi, srf=srf)
    if truth.shape != (lr_hsi.shape[0], *hr_msi.shape[1:]):
        raise UserError("the truth must have the HSI's bands and the MSI's size", key="truth", found=truth.shape)
    if not np.isfinite(truth).all():
        raise UserError("has values that are not finite", key="truth", remedy="fill or drop those pixels or bands")
    if pixels < 1:
        raise UserError("must be at least 1", key="pixels", found=pixels)
    inputs, targets = as_rows(hr_msi), as_rows(truth)
    if chosen.spectral_prior:
        # The very prior that the network is given when it is applied: no coarser one stands in for it.
        places = np.arange(inputs.shape[0])
        inputs = np.concatenate([inputs, prior_pixels(lr_hsi, hr_msi.shape[1:], places)], 1)
    sample = targets
    if len(targets) > ENDMEMBER_PIXELS:
        rows = generator_for("endmember pixels", seed).choice(len(targets), ENDMEMBER_PIXELS, False)
        sample = targets[np.sort(rows)]
    model = fit_pixels(
        inputs,
        targets,
        chosen,
        msi_bands=len(hr_msi),
        device=device,
        seed=seed,
        pixels_per_epoch=pixels,
        endmember_spectra=sample,
    )
    cube, latents = apply_with_latents(model, lr_hsi, hr_msi)
    return Fused(cube, endmembers=model.endmembers.cpu().numpy(), latents=latents, found=model.found)
