"""Apply any fusion method to one pair; the workflow and the command line both come through here."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.methods import Method
from hsipipe.randomness import seed_for
from hsipipe.tasks.fusion.result import Fused


def fuse(
    method: Method,
    settings: dict[str, Any],
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None,
    srf: np.ndarray | None,
    edge: str,
    wavelength_nm: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    device: str = "cpu",
    seed: int = 0,
    name: str = "",
) -> Fused:
    """Fuse a pair.

    Args:
        method, settings: which, with complete settings.
        lr_hsi, hr_msi: (C, h, w) and (m, H, W) float32 in one scaling, about [0, 1].
        psf, srf: (n, n) and (m, C), or None where they are not known.
        edge: what the blur met beyond the image: reflect or zero.
        wavelength_nm: (C,) or None.
        truth: (C, H, W), for an oracle.
        device, seed, name: of the run; the seed and the pair's name seed random methods.

    Raises:
        UserError: the method needs something that is not known, or cannot work on such a pair.
        ValueError: a result of another shape.
    """
    extra: dict[str, Any] = {}
    if method.backend == "torch":
        extra["device"] = device
    if method.random:
        extra["seed"] = seed_for(seed, name)
    if method.kind == "oracle":
        extra["truth"] = truth
    result = method.load().fuse(
        lr_hsi, hr_msi, psf=psf, srf=srf, edge=edge, wavelength_nm=wavelength_nm, **extra, **settings
    )
    fused = result if isinstance(result, Fused) else Fused(result)
    expected = (len(lr_hsi), *hr_msi.shape[1:])
    if fused.cube.shape != expected:
        raise ValueError(f"{method.name} returned a cube of {fused.cube.shape}, not {expected}")
    return fused
