"""Spectral response of a multispectral sensor, sampled at the bands of a hyperspectral one: M = S X.

Sensors are told by band edges (`sensors.csv`: IKONOS, WorldView-2 and -3, Sentinel-2A), by centres and FWHM, by
measured curves, or by a ready matrix.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.degrade.curves import curves_of, is_curves
from hsipipe.degrade.spacing import band_cells
from hsipipe.degrade.tables import is_table_path, read_table
from hsipipe.errors import UserError, unknown

log = logging.getLogger(__name__)

FWHM_FACTOR = 2.3548  # full width at half maximum of a Gaussian in standard deviations: edges are half-power points
PEER_FWHM_FACTOR = 4.2  # SpectraMorph's, which makes the bands 1.8 times as narrow
BY_COUNT = {1: "ikonos-pan", 3: "ikonos-rgb", 4: "ikonos", 8: "worldview-2", 16: "worldview-3"}
AXES = ("measured", "stretched")
SEEN = 0.01  # an HSI band counts as seen by an MSI band from this share of that row's largest weight on
WHOLE = 0.98  # an MSI band counts as wholly covered from this share of its half-power width on


@dataclass(frozen=True)
class Response:
    """A spectral response.

    Attributes:
        matrix: (m, C) float64; row i makes MSI band i of the C HSI bands; rows sum to 1.
        name: of the sensor or file.
        centres_nm, lower_nm, upper_nm: (m,) float64: centre and edges of the MSI bands; None for a plain matrix
            without wavelengths.
        axis: "measured" or "stretched". On the stretched axis the centres are the sensor's, not where its bands lie
            on the HSI's own wavelengths.
        fwhm_factor: how many standard deviations the edges are apart; 2.3548 where they are half-power points.
    """

    matrix: np.ndarray
    name: str
    centres_nm: np.ndarray | None = None
    lower_nm: np.ndarray | None = None
    upper_nm: np.ndarray | None = None
    axis: str = "measured"
    fwhm_factor: float = FWHM_FACTOR

    @property
    def fwhm_nm(self) -> np.ndarray | None:
        """(m,) full widths at half maximum of the MSI bands in nm; None without edges."""
        if self.lower_nm is None or self.upper_nm is None:
            return None
        return (self.upper_nm - self.lower_nm) * (FWHM_FACTOR / self.fwhm_factor)


@dataclass(frozen=True)
class Coverage:
    """How the bands of two sensors meet.

    Attributes:
        unseen_bands: indices of HSI bands that no MSI band sees (all weights below 1 % of their rows' largest).
        partly_covered: MSI band index -> share of its half-power width that lies within the HSI's bands, where below
            98 %; empty without wavelengths.
        wavelength_nm: (C,), or None.
        response: what was looked at.
    """

    unseen_bands: list[int]
    partly_covered: dict[int, float]
    wavelength_nm: np.ndarray | None
    response: Response

    def lines(self) -> list[str]:
        """The findings as lines to print; none if all is covered."""
        partly = [_partly(self.response, band, share) for band, share in self.partly_covered.items()]
        return [*self.unseen_lines(), *partly]

    def unseen_lines(self) -> list[str]:
        """The line about HSI bands that no MSI band sees, or none."""
        if not self.unseen_bands:
            return []
        total = self.response.matrix.shape[1]
        where = _ranges(self.unseen_bands, self.wavelength_nm)
        return [f"{len(self.unseen_bands)} of {total} HSI bands are seen by no MSI band: {where}"]


def sensors() -> dict[str, np.ndarray]:
    """The known sensors: name -> (m, 3) table of centre, lower and upper edge in nm."""
    table: dict[str, list[list[float]]] = {}
    with Path(__file__).with_name("sensors.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            table.setdefault(row["sensor"], []).append(
                [float(row[key]) for key in ("centre_nm", "lower_nm", "upper_nm")]
            )
    return {name: np.array(rows) for name, rows in table.items()}


def make_srf(
    spec: int | str | Path | Mapping[str, Any] | np.ndarray,
    *,
    wavelength_nm: np.ndarray | None,
    bands: int,
    axis: str = "measured",
    fwhm_factor: float = FWHM_FACTOR,
    good_bands: np.ndarray | None = None,
) -> Response:
    """The response of a specification at the bands of an HSI.

    A row is proportional to the response at the band's centre times the stretch of spectrum the band stands for (see
    `band_cells`), so that unequally spaced bands (EnMAP, overlapping spectrometers) sum like an integral. On the
    stretched axis all bands are equally far apart.

    Args:
        spec: a number of bands (1, 3, 4, 8, 16: IKONOS pan, RGB, all four; WorldView-2; WorldView-3), a sensor's name,
            a mapping {centres_nm: [...], fwhm_nm: [...]} or {file:, key:} or {sensor:}, a file FILE or FILE:KEY, or an
            array. A file or array is either measured curves (first column the wavelength in nm or micrometres,
            strictly monotonic; the others one MSI band each) or a ready matrix (m, C), transposed if only that fits.
        wavelength_nm: (C,) band centres in the sensor's order, not necessarily monotonic; None if unknown.
        bands: C.
        axis: "measured": the wavelengths as they are; "stretched": C bands spread evenly between the lowest and the
            highest edge of the sensor (SpectraMorph's way, for comparison with its tables).
        fwhm_factor: a Gaussian band's standard deviation is (upper - lower) / fwhm_factor; 2.3548 takes the edges for
            half-power points, SpectraMorph takes 4.2.
        good_bands: (C,) bool; the result then has columns for these bands only, in their order. A ready matrix may
            have a column for each of the C bands or for the good ones.

    Raises:
        UserError: an unknown sensor, no wavelengths where they are needed, a band outside the HSI's range, a matrix
            whose columns do not match the bands, negative rows.
    """
    if axis not in AXES:
        raise unknown("axis of the spectral response", axis, AXES)
    if not fwhm_factor > 0:
        raise UserError("must be positive", key="fwhm_factor", found=fwhm_factor)
    if wavelength_nm is not None:
        wavelength_nm = np.asarray(wavelength_nm, np.float64)
        if wavelength_nm.shape != (bands,):
            raise UserError(f"{wavelength_nm.size} wavelengths for {bands} bands", key="wavelength_nm")
    good = np.ones(bands, bool) if good_bands is None else np.asarray(good_bands, bool)
    if wavelength_nm is not None:
        wavelength_nm = wavelength_nm[good]
    name, edges, table = _resolve(spec)
    if edges is not None:
        return _from_edges(name, edges, wavelength_nm, int(good.sum()), axis, fwhm_factor)
    assert table is not None
    if is_curves(table):
        return _from_curves(name, table, wavelength_nm, int(good.sum()), axis)
    return _from_matrix(name, table, wavelength_nm, good)


def _resolve(spec: Any) -> tuple[str, np.ndarray | None, np.ndarray | None]:
    """A specification as a name and either edges (m, 3) or a table (rows, columns)."""
    if isinstance(spec, np.ndarray) and spec.ndim > 0:
        if spec.ndim != 2 or spec.dtype.kind not in "iufb" or not np.isfinite(spec).all():
            raise UserError("must be a table of finite numbers", key="srf", found=f"{spec.dtype} {spec.shape}")
        return "matrix", None, np.asarray(spec, np.float64)
    if isinstance(spec, Mapping):
        return _resolve_mapping(spec)
    if isinstance(spec, Path) or (isinstance(spec, str) and is_table_path(spec)):
        return _file_name(spec), None, read_table(spec)
    known = sensors()
    text = str(spec).strip()
    if text in known:
        return text, known[text], None
    try:
        name = BY_COUNT[int(text)]
    except (ValueError, KeyError):
        raise unknown("spectral response", text, [*known, *map(str, BY_COUNT)]) from None
    return name, known[name], None


def _file_name(path: str | Path) -> str:
    """The name of a file, as messages tell it: without its folders and key."""
    return Path(path).name.partition(":")[0]


def _resolve_mapping(spec: Mapping[str, Any]) -> tuple[str, np.ndarray | None, np.ndarray | None]:
    keys = ["centres_nm", "fwhm_nm", "file", "key", "sensor", "name"]
    for key in spec:
        if key not in keys:
            raise unknown("setting of the srf", str(key), keys)
    if "file" in spec:
        table = read_table(spec["file"], key=spec.get("key"))
        return str(spec.get("name", _file_name(spec["file"]))), None, table
    if "sensor" in spec:
        return _resolve(spec["sensor"])
    if not {"centres_nm", "fwhm_nm"} <= set(spec):
        raise UserError("needs centres_nm and fwhm_nm, or file, or sensor", key="srf", found=dict(spec))
    try:
        centres = np.atleast_1d(np.asarray(spec["centres_nm"], np.float64))
        fwhm = np.broadcast_to(np.asarray(spec["fwhm_nm"], np.float64), centres.shape)
    except (TypeError, ValueError) as error:
        raise UserError(
            "centres_nm and fwhm_nm must be lists of as many numbers", key="srf", found=dict(spec)
        ) from error
    if centres.ndim != 1 or not (np.isfinite(centres).all() and np.isfinite(fwhm).all() and (fwhm > 0).all()):
        raise UserError("centres_nm must be finite and fwhm_nm positive", key="srf", found=dict(spec))
    edges = np.stack([centres, centres - fwhm / 2.0, centres + fwhm / 2.0], axis=1)
    return str(spec.get("name", "centres and FWHM")), edges, None


def _axis_of(
    name: str, low: float, high: float, wavelength_nm: np.ndarray | None, bands: int, axis: str
) -> tuple[np.ndarray, np.ndarray]:
    """The wavelengths at which to sample a sensor from `low` to `high` nm, and the weight of each."""
    if axis == "stretched":
        return np.linspace(low, high, bands), np.ones(bands)
    if wavelength_nm is None:
        raise UserError(
            f"the response {name} needs the wavelengths of the HSI's bands, and the file tells none",
            key="srf",
            remedy="give a file with wavelengths, a ready matrix (MSI bands, HSI bands), or --axis stretched",
        )
    lower, upper = band_cells(wavelength_nm)
    widths = upper - lower
    return wavelength_nm, widths if widths.any() else np.ones(bands)


def _from_edges(
    name: str, edges: np.ndarray, wavelength_nm: np.ndarray | None, bands: int, axis: str, fwhm_factor: float
) -> Response:
    centres, lower, upper = edges.T
    positions, weights = _axis_of(name, lower.min(), upper.max(), wavelength_nm, bands, axis)
    std = (upper - lower) / fwhm_factor
    matrix = np.exp(-0.5 * ((positions - centres[:, None]) / std[:, None]) ** 2) * weights
    response = Response(matrix, name, centres.copy(), lower.copy(), upper.copy(), axis, fwhm_factor)
    return _finish(response, positions)


def _from_curves(name: str, table: np.ndarray, wavelength_nm: np.ndarray | None, bands: int, axis: str) -> Response:
    curves = curves_of(table, name=name)
    positions, weights = _axis_of(name, curves.lower_nm.min(), curves.upper_nm.max(), wavelength_nm, bands, axis)
    matrix = curves.at(positions) * weights
    return _finish(Response(matrix, name, curves.centres_nm, curves.lower_nm, curves.upper_nm, axis), positions)


def _from_matrix(name: str, table: np.ndarray, wavelength_nm: np.ndarray | None, good: np.ndarray) -> Response:
    sizes = (len(good), int(good.sum()))
    if table.shape[1] not in sizes and table.shape[0] in sizes:
        table = table.T
    if table.shape[1] not in sizes:
        raise UserError(
            f"is a response matrix of {table.shape[0]} x {table.shape[1]}, the HSI has {len(good)} bands",
            key="srf",
            file=name,
            remedy="it must be (MSI bands, HSI bands), or curves whose first column is the wavelength",
        )
    if table.shape[1] == len(good):
        table = table[:, good]
    sums = table.sum(axis=1)
    if (sums <= 0).any():
        raise UserError(
            "a row of a response matrix must have a positive sum",
            key="srf",
            file=name,
            found=f"{sums.min():g} in MSI band {sums.argmin() + 1}",
        )
    matrix = table / sums[:, None]
    if wavelength_nm is None:
        return Response(matrix, name)
    high = matrix >= matrix.max(axis=1, keepdims=True) / 2.0
    cell_lower, cell_upper = band_cells(wavelength_nm)
    lower = np.array([cell_lower[row].min() for row in high])
    upper = np.array([cell_upper[row].max() for row in high])
    return Response(matrix, name, matrix @ wavelength_nm, lower, upper)


def _finish(response: Response, positions: np.ndarray) -> Response:
    """Divide the rows by their sums; refuse bands outside the HSI's range, warn of those partly outside."""
    if response.axis == "measured":
        shares = _shares(response, positions)
        low, high = _range(positions)
        for band, share in enumerate(shares):
            if share <= 0:
                raise UserError(
                    f"MSI band {_band_name(response, band)} lies outside the HSI's bands",
                    key=f"srf {response.name}",
                    found=f"HSI {low:.0f} to {high:.0f} nm",
                    remedy="choose a sensor that fits, or the stretched axis to compare with SpectraMorph's tables",
                )
            if share < WHOLE:
                log.warning("srf %s: %s", response.name, _partly(response, band, share))
    sums = response.matrix.sum(axis=1, keepdims=True)
    empty = np.flatnonzero(~(sums[:, 0] > 0))
    if len(empty):
        raise UserError(
            f"no HSI band falls within MSI band {_band_name(response, int(empty[0]))}",
            key=f"srf {response.name}",
            remedy="choose wider MSI bands",
        )
    return replace(response, matrix=response.matrix / sums)


def coverage(response: Response, wavelength_nm: np.ndarray | None) -> Coverage:
    """Which HSI bands no MSI band sees, and which MSI bands the HSI covers only in part.

    Args:
        response: of `make_srf`.
        wavelength_nm: (C,) true band centres; None if unknown: the MSI bands cannot be judged then. On the stretched
            axis they are not judged either.
    """
    peaks = response.matrix.max(axis=1, keepdims=True)
    unseen = np.flatnonzero((response.matrix < SEEN * peaks).all(axis=0)).tolist()
    partly: dict[int, float] = {}
    if wavelength_nm is not None and response.lower_nm is not None and response.axis == "measured":
        shares = _shares(response, np.asarray(wavelength_nm, np.float64))
        partly = {band: float(share) for band, share in enumerate(shares) if share < WHOLE}
    return Coverage(unseen, partly, wavelength_nm, response)


def _shares(response: Response, wavelength_nm: np.ndarray) -> np.ndarray:
    """The share of each MSI band's half-power width that lies within the cells of the HSI's bands."""
    assert response.lower_nm is not None
    assert response.upper_nm is not None
    cell_lower, cell_upper = band_cells(wavelength_nm)
    order = np.argsort(cell_lower)
    cell_lower, cell_upper = cell_lower[order], np.maximum.accumulate(cell_upper[order])
    # Cells that overlap count once: each begins where those before it end.
    cell_lower[1:] = np.maximum(cell_lower[1:], cell_upper[:-1])
    lower, upper = response.lower_nm[:, None], response.upper_nm[:, None]
    inside = np.clip(np.minimum(upper, cell_upper) - np.maximum(lower, cell_lower), 0.0, None).sum(axis=1)
    return inside / (response.upper_nm - response.lower_nm)


def _range(wavelength_nm: np.ndarray) -> tuple[float, float]:
    lower, upper = band_cells(wavelength_nm)
    return float(lower.min()), float(upper.max())


def _band_name(response: Response, band: int) -> str:
    if response.lower_nm is None or response.upper_nm is None:
        return str(band + 1)
    return f"{band + 1} ({response.lower_nm[band]:.0f} to {response.upper_nm[band]:.0f} nm)"


def _partly(response: Response, band: int, share: float) -> str:
    return f"MSI band {_band_name(response, band)} is covered by the HSI's bands to {share:.0%} only"


def _ranges(bands: list[int], wavelength_nm: np.ndarray | None) -> str:
    """Band indices as runs: wavelengths in nm, or numbers from 1 on."""
    index = np.asarray(bands)
    runs = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
    if wavelength_nm is None:
        texts = [f"{run[0] + 1}" if len(run) == 1 else f"{run[0] + 1} to {run[-1] + 1}" for run in runs]
        return f"bands {', '.join(texts)}"
    pairs = [(wavelength_nm[run].min(), wavelength_nm[run].max()) for run in runs]
    return ", ".join(f"{low:.0f} nm" if low == high else f"{low:.0f} to {high:.0f} nm" for low, high in pairs)
