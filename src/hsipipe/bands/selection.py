"""`fit_bands`: the bands of a case, from its settings and the training part."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import numpy as np

from hsipipe.bands.candidates import Candidates, Choice
from hsipipe.bands.issc import issc
from hsipipe.bands.opbs import opbs
from hsipipe.bands.ranking import pca, peer_every_nth, peer_pca, variance
from hsipipe.bands.spectrum import every, listed, random, region, rgb, uniform
from hsipipe.bands.table import BandSelection, read_bands_csv, write_bands_csv
from hsipipe.errors import UserError, unknown
from hsipipe.settings import convert

__all__ = [
    "STRATEGIES",
    "BandSelection",
    "check_band_settings",
    "check_band_values",
    "fit_bands",
    "read_bands_csv",
    "write_bands_csv",
]

STRATEGIES: dict[str, Callable[..., Choice]] = {
    "all": every,
    "uniform": uniform,
    "region": region,
    "rgb": rgb,
    "list": listed,
    "pca": pca,
    "variance": variance,
    "issc": issc,
    "opbs": opbs,
    "random": random,
    "peer-every-nth": peer_every_nth,
    "peer-pca": peer_pca,
}
NEEDS_SPECTRA = frozenset({"pca", "variance", "issc", "opbs", "peer-pca"})
"""Strategies that must be given training spectra."""


LIMITS: dict[str, dict[str, float]] = {
    "count": {"minimum": 1},
    "per_region": {"minimum": 1},
    "components": {"minimum": 1},
    "bands": {"minimum": 0},
    "tolerance_nm": {"minimum": 0},
    "regularisation": {"minimum": 0},
}


def check_band_settings(settings: Mapping[str, Any]) -> None:
    """Raise UserError unless the strategy and its settings exist and the required ones are given."""
    strategy = settings.get("strategy")
    if strategy is None:
        raise UserError("a band selection needs a strategy", key="bands", remedy=f"one of {', '.join(STRATEGIES)}")
    if strategy not in STRATEGIES:
        raise unknown("band strategy", str(strategy), STRATEGIES)
    parameters = _parameters(strategy)
    for name in settings:
        if name not in ("strategy", "seed") and name not in parameters:
            raise unknown(f"setting of the band strategy {strategy!r}", name, parameters)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in settings:
            raise UserError(f"the strategy {strategy!r} needs {name}", key=f"bands.{name}")


def check_band_values(settings: Mapping[str, Any]) -> None:
    """Raise UserError unless the values of a config's band selection have the types that its strategy asks for."""
    hints = get_type_hints(STRATEGIES[settings["strategy"]])
    for name, value in settings.items():
        if name in hints:
            convert(value, hints[name], LIMITS.get(name, {}), None, f"bands.{name}")


def _parameters(strategy: str) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a strategy: its settings."""
    parameters = inspect.signature(STRATEGIES[strategy]).parameters
    return {name: parameter for name, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}


def fit_bands(
    settings: Mapping[str, Any],
    *,
    wavelength_nm: np.ndarray | None,
    good_bands: np.ndarray,
    spectra: np.ndarray | None = None,
) -> BandSelection:
    """Choose bands.

    Args:
        settings: {strategy: NAME, ...}, for example {strategy: uniform, count: 50}; the strategy's function documents
            its settings (`STRATEGIES`). Each takes `seed`; where it draws nothing, the sample of spectra still does.
        wavelength_nm: (bands,) in the sensor's order, or None.
        good_bands: (bands,) bool; others are never chosen.
        spectra: (N, bands) sample of the training part; needed by the strategies of `NEEDS_SPECTRA`.

    Returns:
        Indices among all bands, in the sensor's order; for `list` in the order given.

    Raises:
        UserError: unknown strategy or setting, more bands than there are, no wavelengths or spectra where needed.
        ValueError: arrays that do not fit each other.
    """
    check_band_settings(settings)
    strategy = settings["strategy"]
    good = np.asarray(good_bands, bool)
    if wavelength_nm is not None and len(wavelength_nm) != len(good):
        raise ValueError(f"{len(wavelength_nm)} wavelengths for {len(good)} bands")
    if spectra is not None and (spectra.ndim != 2 or spectra.shape[1] != len(good)):
        raise ValueError(f"spectra {spectra.shape} do not have {len(good)} bands")
    indices = np.flatnonzero(good)
    if not len(indices):
        raise UserError("the scene has no usable band", key="bands")
    wavelengths = None if wavelength_nm is None else np.asarray(wavelength_nm, np.float64)
    candidates = Candidates(
        strategy=strategy,
        indices=indices,
        good_bands=good,
        wavelength_nm=None if wavelengths is None else wavelengths[indices],
        spectra=None if spectra is None or strategy not in NEEDS_SPECTRA else spectra[:, indices],
    )
    own = _parameters(strategy)
    positions, scores = STRATEGIES[strategy](candidates, **{name: settings[name] for name in settings if name in own})
    if strategy != "list":
        order = np.argsort(positions)
        positions, scores = positions[order], None if scores is None else scores[order]
    chosen = indices[positions].astype(np.int64)
    return BandSelection(chosen, None if wavelengths is None else wavelengths[chosen], strategy, scores)
