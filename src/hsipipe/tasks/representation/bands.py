"""The bands of a variant: chosen among those of the case, on its training images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hsipipe.bands.selection import NEEDS_SPECTRA, check_band_settings, fit_bands
from hsipipe.randomness import generator_for
from hsipipe.tasks.representation.case import CaseFile

IMAGES, SPECTRA = 200, 20_000  # that a choice by statistics looks at, at most


def choose_bands(case: CaseFile, settings: Mapping[str, Any], train: np.ndarray, *, seed: int) -> np.ndarray:
    """Places (n,) int64 among the case's bands, rising.

    Args:
        case: opened.
        settings: a strategy and its settings, as a case has them; `random` draws anew for each seed of the runs.
        train: numbers of the training images.
        seed: of the run.

    Raises:
        UserError: as `fit_bands`.
    """
    check_band_settings(settings)
    given = dict(settings)
    if given["strategy"] == "random":
        given.setdefault("seed", seed)
    spectra = _spectra(case, train, seed) if given["strategy"] in NEEDS_SPECTRA else None
    count = case.shape[0]
    chosen = fit_bands(given, wavelength_nm=case.wavelength_nm, good_bands=np.ones(count, bool), spectra=spectra)
    return np.sort(np.asarray(chosen.indices, np.int64))


def _spectra(case: CaseFile, train: np.ndarray, seed: int) -> np.ndarray:
    """A sample of the spectra (N, bands) within the masks of training images."""
    generator = generator_for(case.name, seed, "spectra")
    some = np.sort(generator.choice(train, min(IMAGES, len(train)), replace=False))
    drawn = []
    for number in some:
        images, masks = case.read([number])
        inside = images[0][:, masks[0]].T
        take = min(len(inside), max(1, SPECTRA // len(some)))
        drawn.append(inside[generator.choice(len(inside), take, replace=False)])
    return np.concatenate(drawn)
