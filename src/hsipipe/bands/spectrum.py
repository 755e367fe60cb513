"""Strategies that look at wavelengths alone: uniform, region, rgb, list (and all, random, which look at nothing)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hsipipe.bands.candidates import Candidates, Choice
from hsipipe.errors import UserError, unknown
from hsipipe.randomness import generator_for

REGIONS_NM: dict[str, tuple[float, float]] = {
    "uv": (300, 400),
    "blue": (400, 500),
    "green": (500, 600),
    "red": (600, 700),
    "nir": (700, 1000),
    "swir": (1000, 2500),
}
"""Spectral regions, low <= wavelength < high. NIR ends where silicon detectors do."""

PEER_REGIONS_NM: dict[str, tuple[float, float]] = {
    "uv": (348, 400),
    "blue": (400, 480),
    "green": (480, 550),
    "red": (550, 650),
    "nir": (650, 810),
}
"""The limits of the lepidoptera SimCLR work, for comparison with it (`limits: peer`)."""

RGB_NM = (640.0, 550.0, 460.0)
"""Red, green and blue of a true-colour composite (multispectral sensors: 655-665, 560, 480-490); the nearest good band
is taken."""

_GAP = 4.0
"""A step between neighbouring bands of more than this many median steps is a gap."""


def every(candidates: Candidates) -> Choice:
    """All good bands."""
    return np.arange(len(candidates)), None


def random(candidates: Candidates, *, count: int, seed: int = 0) -> Choice:
    """`count` bands drawn without replacement, the control of every comparison of strategies."""
    generator = generator_for("bands", "random", seed)
    return generator.permutation(len(candidates))[: candidates.check_count(count)], None


def uniform(candidates: Candidates, *, count: int) -> Choice:
    """The bands nearest to the centres of `count` equal bins between the first and the last wavelength (nm).

    Centres, not ends: the outermost bands of a sensor are its noisiest. Gaps between the good bands are left out of the
    bins.
    """
    return _uniform(candidates.need_wavelengths(), candidates.check_count(count)), None


def _uniform(wavelength_nm: np.ndarray, count: int) -> np.ndarray:
    """Positions of `count` different bands nearest to the bins' centres (least sum of distances)."""
    from scipy.optimize import linear_sum_assignment

    order = np.argsort(wavelength_nm, kind="stable")
    steps = np.diff(wavelength_nm[order])
    if len(steps):
        # A gap (absorption bands left out) counts as one ordinary step. Otherwise every centre in it would fall to the
        # bands at its edges, which are the noisiest there are.
        steps = np.where(steps > _GAP * np.median(steps), np.median(steps), steps)
    place = np.zeros(len(wavelength_nm))
    place[order] = np.concatenate([[0.0], np.cumsum(steps)])
    centres = (np.arange(count) + 0.5) * place.max() / count
    return linear_sum_assignment(np.abs(centres[:, None] - place))[1]


def region(
    candidates: Candidates,
    *,
    count: int | None = None,
    per_region: int | None = None,
    regions: Sequence[str] | None = None,
    limits: Mapping[str, Sequence[float]] | str | None = None,
) -> Choice:
    """Bands from every spectral region, uniform within it.

    Args:
        count: number of bands in all, shared evenly; what a region cannot give, because the sensor does not see it or
            has few bands there, goes to the others.
        per_region: instead, number of bands of each region that the sensor sees; fewer there is an error.
        regions: names of the regions; all by default. A region named here must not be empty.
        limits: {name: [low, high]} in nm, replaces or adds regions; or `peer` for those of the lepidoptera work.
    """
    wavelength_nm = candidates.need_wavelengths()
    bounds = _limits(limits)
    names = list(bounds) if regions is None else list(regions)
    for name in names:
        if name not in bounds:
            raise unknown("spectral region", name, bounds)
    members = {
        name: np.flatnonzero((wavelength_nm >= bounds[name][0]) & (wavelength_nm < bounds[name][1])) for name in names
    }
    empty = [name for name in names if not len(members[name])]
    if (regions is not None and empty) or len(empty) == len(names):
        raise UserError(
            f"the sensor has no good band in the region {', '.join(empty)}",
            key="bands.regions",
            found=f"bands from {wavelength_nm.min():g} to {wavelength_nm.max():g} nm",
        )
    members = {name: own for name, own in members.items() if len(own)}
    if (count is None) == (per_region is None):
        raise UserError("give either count or per_region", key="bands")
    if per_region is not None:
        candidates.check_count(per_region)
        shares = dict.fromkeys(members, per_region)
        for name, own in members.items():
            if len(own) < per_region:
                raise UserError(
                    f"the region {name} has too few bands",
                    key="bands.per_region",
                    found=f"{len(own)}, asked for {per_region}",
                    remedy="lower per_region, leave the region out with `regions`, or use count",
                )
    else:
        shares = _share(candidates.check_count(count), {name: len(own) for name, own in members.items()})
    chosen = [own[_uniform(wavelength_nm[own], shares[name])] for name, own in members.items() if shares[name]]
    return np.unique(np.concatenate(chosen)), None


def _limits(limits: Mapping[str, Sequence[float]] | str | None) -> dict[str, tuple[float, float]]:
    if limits is None:
        return dict(REGIONS_NM)
    if isinstance(limits, str):
        if limits != "peer":
            raise unknown("limits of spectral regions", limits, ["peer"])
        return dict(PEER_REGIONS_NM)
    bounds = dict(REGIONS_NM)
    for name, pair in limits.items():
        values = list(pair) if isinstance(pair, Sequence) and not isinstance(pair, str) else []
        if len(values) != 2 or not all(isinstance(value, (int, float)) for value in values) or values[0] >= values[1]:
            raise UserError("must be [low, high] in nm", key=f"bands.limits.{name}", found=repr(pair))
        bounds[name] = (float(values[0]), float(values[1]))
    return bounds


def _share(count: int, capacity: dict[str, int]) -> dict[str, int]:
    """`count` shared one by one round the regions until it is used up; full regions are passed over."""
    if count > sum(capacity.values()):
        raise UserError(
            f"asks for {count} bands",
            key="bands.count",
            found=f"{sum(capacity.values())} in the regions {list(capacity)}",
        )
    shares = dict.fromkeys(capacity, 0)
    while count:
        for name in capacity:
            if count and shares[name] < capacity[name]:
                shares[name] += 1
                count -= 1
    return shares


def rgb_bands(
    wavelength_nm: np.ndarray, good_bands: np.ndarray | None = None, *, tolerance_nm: float = 50.0
) -> tuple[int, int, int]:
    """Indices of the bands for red, green and blue (in this order) of a true-colour composite.

    Args:
        wavelength_nm: (bands,) in any order.
        good_bands: (bands,) bool or None.
        tolerance_nm: how far the nearest band may lie from `RGB_NM`.

    Raises:
        UserError: no band near enough, or one band nearest to two colours.
    """
    allowed = np.arange(len(wavelength_nm)) if good_bands is None else np.flatnonzero(good_bands)
    chosen = _nearest(np.asarray(wavelength_nm, float)[allowed], RGB_NM, tolerance_nm)
    if len(set(chosen.tolist())) < 3:
        raise UserError("the sensor has fewer than three bands in the visible", key="bands.strategy", found="rgb")
    red, green, blue = allowed[chosen].tolist()
    return red, green, blue


def _nearest(wavelength_nm: np.ndarray, targets_nm: Sequence[float], tolerance_nm: float) -> np.ndarray:
    targets = np.asarray(targets_nm, float)
    distance = np.abs(targets[:, None] - wavelength_nm)
    chosen = distance.argmin(axis=1)
    for target, gap, position in zip(targets, distance.min(axis=1), chosen, strict=True):
        if not gap <= tolerance_nm:
            raise UserError(
                f"no good band within {tolerance_nm:g} nm of {target:g} nm",
                key="bands",
                found=f"the nearest at {wavelength_nm[position]:g} nm",
            )
    return chosen


def rgb(candidates: Candidates, *, tolerance_nm: float = 50.0) -> Choice:
    """The three bands of a true-colour composite; in the sensor's order, `rgb_bands` tells which is which."""
    wavelength_nm = candidates.need_wavelengths()
    return np.array(rgb_bands(wavelength_nm, tolerance_nm=tolerance_nm)), None


def listed(
    candidates: Candidates,
    *,
    bands: Sequence[int] | None = None,
    wavelengths_nm: Sequence[float] | None = None,
    tolerance_nm: float = 20.0,
) -> Choice:
    """The bands named by 0-based index among all bands of the scene, or by wavelength (nearest good band), as ordered.

    Args:
        bands: indices; a band that is not good is refused.
        wavelengths_nm: wavelengths; each must have a good band within `tolerance_nm`.
    """
    if (bands is None) == (wavelengths_nm is None):
        raise UserError("the strategy 'list' needs either bands or wavelengths_nm", key="bands")
    key = "bands.bands" if bands is not None else "bands.wavelengths_nm"
    wanted: Any = bands if bands is not None else wavelengths_nm
    kinds = (int, np.integer) if bands is not None else (int, float, np.number)
    if isinstance(wanted, str) or not isinstance(wanted, (Sequence, np.ndarray)) or not len(wanted):
        raise UserError("must be a list of numbers", key=key, found=repr(wanted))
    for value in wanted:
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise UserError("must be a list of numbers", key=key, found=repr(value))
    if wavelengths_nm is not None:
        chosen = _nearest(candidates.need_wavelengths(), wavelengths_nm, tolerance_nm)
    else:
        total = len(candidates.good_bands)
        for index in wanted:
            if not 0 <= index < total:
                raise UserError("there is no such band", key=key, found=index, remedy=f"give 0 to {total - 1}")
            if not candidates.good_bands[index]:
                raise UserError("the band is not usable in this scene", key=key, found=index)
        chosen = np.searchsorted(candidates.indices, np.asarray(wanted, int))
    if len(np.unique(chosen)) < len(chosen):
        raise UserError("names one band twice", key=key, found=candidates.indices[chosen].tolist())
    return chosen, None
