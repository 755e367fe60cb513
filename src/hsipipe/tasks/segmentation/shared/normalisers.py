"""How spectra are scaled before a network sees them, and exactly back again.

A normaliser is fitted once, on spectra of the training part, saved with the model and reused: what it learned of them
are its `values`. What differs from spectrum to spectrum (its minimum, its norm) goes with the normalised spectra as
their parameters, since nothing could bring them back otherwise. NumPy arrays and torch tensors are both taken, and
given back as they came.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hsipipe.errors import UserError, unknown

Values = dict[str, Any]
Apply = Callable[[Any, Any, Values], tuple[Any, list[Any]]]
Invert = Callable[[Any, Any, list[Any], Values], Any]

PEER_OFFSET = 1e-3  # what the program deephyp adds to each value, in the scene's units


@dataclass(frozen=True)
class Kind:
    """A way to normalise. Attributes: meaning (one line), parameters (how many each spectrum has of its own), fit
    (spectra (N, C) float64 to values), apply and invert (with the array library, NumPy or torch, first)."""

    meaning: str
    parameters: int
    fit: Callable[[np.ndarray], Values]
    apply: Apply
    invert: Invert


@dataclass(frozen=True)
class Normaliser:
    """A fitted normaliser. Attributes: name (one of `NORMALISERS`), values (what was learned: numbers, or lists of one
    per band)."""

    name: str
    values: Values = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """How many numbers of its own each spectrum has besides its normalised values."""
        return NORMALISERS[self.name].parameters

    def apply(self, spectra: Any) -> tuple[Any, Any]:
        """Spectra (N, C) to the normalised (N, C) and their parameters (N, p); p may be 0."""
        library, values = self._for(spectra)
        normalised, parameters = NORMALISERS[self.name].apply(library, spectra, values)
        return normalised, library.concatenate([*parameters, spectra[:, :0]], axis=1)

    def invert(self, normalised: Any, parameters: Any) -> Any:
        """Normalised spectra (N, C) and their parameters (N, p) to spectra (N, C) in the scene's units."""
        library, values = self._for(normalised)
        own = [parameters[:, index : index + 1] for index in range(self.parameters)]
        return NORMALISERS[self.name].invert(library, normalised, own, values)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads back: plain values only, for model files and JSON."""
        return {"name": self.name, "values": dict(self.values)}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Normaliser:
        """The normaliser that `to_dict` described."""
        if content.get("name") not in NORMALISERS:
            raise unknown("normaliser", str(content.get("name")), NORMALISERS)
        return Normaliser(content["name"], dict(content["values"]))

    def _for(self, spectra: Any) -> tuple[Any, Values]:
        """The library of an array, and the values as its arrays of the same type, on the same device."""
        bands = next((len(value) for value in self.values.values() if isinstance(value, list)), spectra.shape[1])
        if spectra.ndim != 2 or spectra.shape[1] != bands:
            found = " x ".join(map(str, spectra.shape))
            raise UserError(f"the normaliser {self.name!r} was fitted to spectra of {bands} bands", found=found)
        if isinstance(spectra, np.ndarray):
            return np, {name: np.asarray(value, spectra.dtype) for name, value in self.values.items()}
        torch = sys.modules["torch"]  # whoever has a tensor has imported it
        return torch, {name: torch.as_tensor(value).to(spectra) for name, value in self.values.items()}


def fit_normaliser(name: str, spectra: Any) -> Normaliser:
    """Fit a normaliser to spectra (N, C) of the training part, NumPy or torch.

    Raises:
        UserError: a normaliser that there is not, no spectra, or values that are not finite.
    """
    if name not in NORMALISERS:
        raise unknown("normaliser", name, NORMALISERS)
    array = np.asarray(spectra if isinstance(spectra, np.ndarray) else spectra.detach().cpu().numpy(), np.float64)
    if array.ndim != 2 or not array.size:
        raise UserError("a normaliser is fitted to spectra (N, bands)", found=" x ".join(map(str, array.shape)))
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array).all(0))
        found = f"in bands {', '.join(map(str, bad[:5]))}{', ...' if len(bad) > 5 else ''}"
        raise UserError("the spectra hold values that are not finite", found=found, remedy="mask those pixels or bands")
    return Normaliser(name, NORMALISERS[name].fit(array))


def _nothing(_: np.ndarray) -> Values:
    return {}


def _usable(library: Any, size: Any) -> Any:
    """`size`, and 1 where it is zero: a constant or a zero spectrum is only shifted."""
    return library.where(size == 0, library.ones_like(size), size)


def _apply_range(library: Any, spectra: Any, _: Values) -> tuple[Any, list[Any]]:
    low = library.amin(spectra, axis=1, keepdims=True)
    span = _usable(library, library.amax(spectra, axis=1, keepdims=True) - low)
    return (spectra - low) / span, [low, span]


def _apply_deephyp(library: Any, spectra: Any, _: Values) -> tuple[Any, list[Any]]:
    low = library.amin(spectra, axis=1, keepdims=True)
    high = _usable(library, library.amax(spectra, axis=1, keepdims=True))
    return (spectra - low + PEER_OFFSET) / high, [low - PEER_OFFSET, high]


def _apply_l2(library: Any, spectra: Any, _: Values) -> tuple[Any, list[Any]]:
    # By the largest value first, so that squares neither overflow nor vanish.
    largest = _usable(library, library.amax(library.abs(spectra), axis=1, keepdims=True))
    norm = largest * library.sqrt(((spectra / largest) ** 2).sum(axis=1, keepdims=True))
    norm = _usable(library, norm)
    return spectra / norm, [norm]


def _apply_snv(library: Any, spectra: Any, _: Values) -> tuple[Any, list[Any]]:
    mean = library.mean(spectra, axis=1, keepdims=True)
    centred = spectra - mean
    deviation = library.sqrt((centred**2).mean(axis=1, keepdims=True))
    # The mean of equal values is not always exactly that value: their deviation is rounding, not shape.
    noise = 4 * np.finfo(np.float32).eps * library.abs(mean)
    deviation = _usable(library, library.where(deviation <= noise, library.zeros_like(deviation), deviation))
    return centred / deviation, [mean, deviation]


def _fit_mean_range(spectra: np.ndarray) -> Values:
    span = float(spectra.max() - spectra.min())
    return {"mean": float(spectra.mean()), "span": span if span > 0 else 1.0}


def _fit_scale(spectra: np.ndarray) -> Values:
    size = float(np.sqrt(np.mean(spectra**2)))
    return {"span": size if size > 0 else 1.0}


def _fit_zscore(spectra: np.ndarray) -> Values:
    mean, deviation = spectra.mean(0), spectra.std(0)
    deviation[deviation <= 1e-6 * np.abs(mean)] = 1.0  # the rounding of float32 is not a spread
    return {"mean": mean.tolist(), "span": np.where(deviation > 0, deviation, 1.0).tolist()}


def _apply_fitted(_: Any, spectra: Any, values: Values) -> tuple[Any, list[Any]]:
    return (spectra - values["mean"]) / values["span"], []


def _invert_fitted(_: Any, normalised: Any, __: list[Any], values: Values) -> Any:
    return normalised * values["span"] + values["mean"]


def _invert_shifted(_: Any, normalised: Any, own: list[Any], __: Values) -> Any:
    return normalised * own[1] + own[0]


NORMALISERS: dict[str, Kind] = {
    "scale": Kind(
        "divided by the scene's root mean square: angles stay, and a latent holds all there is",
        0,
        _fit_scale,
        lambda _, spectra, values: (spectra / values["span"], []),
        lambda _, normalised, __, values: normalised * values["span"],
    ),
    "mean_range": Kind(
        "less the scene's mean, by its range (deepHSI's)", 0, _fit_mean_range, _apply_fitted, _invert_fitted
    ),
    "zscore": Kind("each band less its mean, by its standard deviation", 0, _fit_zscore, _apply_fitted, _invert_fitted),
    "range": Kind("each spectrum from its minimum, 0, to its maximum, 1", 2, _nothing, _apply_range, _invert_shifted),
    "deephyp": Kind(
        "each spectrum less its minimum, plus 0.001, by its maximum (deephyp's)",
        2,
        _nothing,
        _apply_deephyp,
        _invert_shifted,
    ),
    "l2": Kind(
        "each spectrum by its Euclidean norm",
        1,
        _nothing,
        _apply_l2,
        lambda _, normalised, own, __: normalised * own[0],
    ),
    "snv": Kind(
        "standard normal variate: each spectrum less its mean, by its standard deviation",
        2,
        _nothing,
        _apply_snv,
        _invert_shifted,
    ),
    "none": Kind(
        "as it is", 0, _nothing, lambda _, spectra, __: (spectra, []), lambda _, normalised, __, ___: normalised
    ),
}
