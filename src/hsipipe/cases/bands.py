"""The bands of a case: selected once, from spectra of the training part only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hsipipe.bands.sample import SPECTRA, sample_spectra
from hsipipe.bands.selection import NEEDS_SPECTRA, BandSelection, fit_bands
from hsipipe.cases.split import Unit
from hsipipe.errors import UserError
from hsipipe.randomness import seed_for
from hsipipe.scenes.scene import Scene

UNITS = 200


def training_spectra(scenes: Sequence[Scene], units: Sequence[Unit], *, seed: int = 0) -> np.ndarray | None:
    """At most 20,000 valid spectra (N, bands) float32 of at most 200 training units; None without a training part."""
    by_name = {scene.name: scene for scene in scenes}
    train = [unit for unit in units if unit.part == "train"]
    if not train:
        return None
    train = sorted(train, key=lambda unit: seed_for("spectra", seed, unit.name))[:UNITS]
    share = max(1, SPECTRA // len(train))
    drawn = []
    for unit in train:
        item = by_name[unit.scene].read(unit.item, window=unit.window)
        drawn.append(sample_spectra(item.cube, item.valid, share, "spectra", seed, unit.name))
    return np.concatenate(drawn)


def common_bands(scenes: Sequence[Scene]) -> tuple[np.ndarray, np.ndarray | None]:
    """The good bands that scenes share (mask) and their wavelengths.

    Raises:
        UserError: scenes with different numbers of bands, or wavelengths that differ by more than 1 nm.
    """
    first = scenes[0]
    good = first.good_bands.copy()
    for scene in scenes[1:]:
        if scene.bands != first.bands:
            raise UserError(
                f"scene {scene.name!r} has {scene.bands} bands, {first.name!r} has {first.bands}",
                file=scene.path,
                remedy="make a case of each",
            )
        if first.wavelength_nm is not None and scene.wavelength_nm is not None:
            apart = float(np.abs(first.wavelength_nm - scene.wavelength_nm).max())
            if apart > 1:
                raise UserError(
                    f"wavelengths of {scene.name!r} and {first.name!r} differ by up to {apart:.1f} nm",
                    file=scene.path,
                    remedy="make a case of each",
                )
        good &= scene.good_bands
    return good, first.wavelength_nm


def select_case_bands(scenes: Sequence[Scene], units: Sequence[Unit], settings: dict[str, Any]) -> BandSelection:
    """The bands of a case, fitted on spectra of its training part where the strategy needs them."""
    good, wavelength_nm = common_bands(scenes)
    needed = settings["strategy"] in NEEDS_SPECTRA
    spectra = training_spectra(scenes, units, seed=int(settings.get("seed", 0))) if needed else None
    if needed and spectra is None:
        raise UserError(
            f"strategy {settings['strategy']!r} is fitted on the training part, and the case has none",
            key="bands",
            remedy="split the case, or use a strategy that needs no data, such as `uniform`",
        )
    return fit_bands(settings, wavelength_nm=wavelength_nm, good_bands=good, spectra=spectra)


def mean_spectrum(scenes: Sequence[Scene], units: Sequence[Unit]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (bands,) of the training spectra; without a training part, of the first unit's."""
    spectra = training_spectra(scenes, units)
    if spectra is None:
        by_name = {scene.name: scene for scene in scenes}
        item = by_name[units[0].scene].read(units[0].item, window=units[0].window)
        spectra = item.cube[:, item.valid].T
    return np.nanmean(spectra, axis=0), np.nanstd(spectra, axis=0)
