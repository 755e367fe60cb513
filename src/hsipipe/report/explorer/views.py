"""What the explorer shows of a case besides numbers: cubes, label maps, embeddings; and how they become JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hsipipe.report.style import rgb_bands

LEVELS = 255
MOST_BANDS, FEWEST_BANDS = 24, 8
MOST_SIDE, FEWEST_SIDE = 96, 32
MOST_MAP_SIDE = 256
BYTES_PER_PIXEL = 0.9  # of a compressed picture, in base64; noise has more than smooth images


@dataclass(frozen=True)
class CubeView:
    """One item as each of several methods makes it, band by band.

    Attributes: item (name); reference (what the truth is called); truth (bands, rows, cols); beside: further cubes of
    the same shape by name, such as the noisy input; variants: the methods that have one; read: gives the cube of a
    variant; good (bands,): False for bands without a measurement; valid (rows, cols); wavelength_nm (bands,) or None;
    unit: what the values are in.
    """

    item: str
    reference: str
    truth: np.ndarray
    beside: Mapping[str, np.ndarray]
    variants: Sequence[str]
    read: Callable[[str], np.ndarray]
    good: np.ndarray
    valid: np.ndarray
    wavelength_nm: np.ndarray | None
    unit: str


@dataclass(frozen=True)
class CodeMap:
    """A map of classes or clusters. Attributes: codes (rows, cols), 0 for none; names and colours (#rrggbb) by code."""

    codes: np.ndarray
    names: Mapping[int, str]
    colours: Mapping[int, str]


@dataclass(frozen=True)
class MapView:
    """One item as several methods divide it.

    Attributes: item (name); picture (rows, cols, 3) in [0, 1]; labels: the true classes, or None; tested (rows, cols):
    pixels at which classifiers are judged, or None; maps: variant -> its map.
    """

    item: str
    picture: np.ndarray
    labels: CodeMap | None
    tested: np.ndarray | None
    maps: Mapping[str, CodeMap]


@dataclass(frozen=True)
class PointView:
    """Embeddings of the tested images on a plane.

    Attributes: method of the map; names (N,); groups: heading -> what each image has there (N,), such as its species;
    pictures (N, side, side, 3) in [0, 1], or empty; places: variant -> (N, 2).
    """

    method: str
    names: Sequence[str]
    groups: Mapping[str, Sequence[str]]
    pictures: Sequence[np.ndarray]
    places: Mapping[str, np.ndarray]


View = CubeView | MapView | PointView


@dataclass
class Budget:
    """How many pixels and bands a cube may have, so that all pictures of a paper stay below `total` bytes."""

    total: int
    cubes: int
    side: int = field(init=False)
    bands: int = field(init=False)

    def __post_init__(self) -> None:
        self.side, self.bands = MOST_SIDE, MOST_BANDS
        each = self.total / max(self.cubes, 1) / BYTES_PER_PIXEL
        while self.side**2 * self.bands > each and (self.side > FEWEST_SIDE or self.bands > FEWEST_BANDS):
            if self.side > FEWEST_SIDE and self.side * FEWEST_BANDS >= self.bands * FEWEST_SIDE:
                self.side -= 8
            else:
                self.bands -= 2


def encode(view: View, budget: Budget) -> dict[str, Any]:
    """A view as JSON: pictures are data URLs of lossless WebP."""
    if isinstance(view, CubeView):
        return _encode_cubes(view, budget)
    if isinstance(view, MapView):
        return _encode_maps(view)
    return _encode_points(view)


def _encode_cubes(view: CubeView, budget: Budget) -> dict[str, Any]:
    """Cubes in 8 bits, each band between limits that all of them share; the middle of the image where it is large."""
    window = tuple(_middle(size, budget.side) for size in view.valid.shape)
    bands, rgb = _pick_bands(view, budget.bands)

    def cut(cube: np.ndarray) -> np.ndarray:
        return np.asarray(cube[bands][:, window[0], window[1]], np.float32)

    valid = view.valid[window]
    truth = cut(view.truth)
    cubes = {view.reference: truth, **{name: cut(cube) for name, cube in view.beside.items()}}
    cubes |= {variant: cut(view.read(variant)) for variant in view.variants}
    inside = (
        [cube[:, valid] for cube in cubes.values()]
        if valid.any()
        else [cube.reshape(len(bands), -1) for cube in cubes.values()]
    )
    # A few wild values of one method must not take the levels from all others.
    low = np.min([np.percentile(cube, 0.1, axis=1) for cube in inside], axis=0)
    high = np.maximum(np.max([np.percentile(cube, 99.9, axis=1) for cube in inside], axis=0), low + 1e-9)
    shown_low, shown_high = np.percentile(inside[0], (1, 99), axis=1)
    centres = None if view.wavelength_nm is None else view.wavelength_nm[bands]
    return {
        "kind": "cube",
        "item": view.item,
        "reference": view.reference,
        "beside": list(view.beside),
        "variants": list(view.variants),
        "unit": view.unit,
        "rows": truth.shape[1],
        "cols": truth.shape[2],
        "of": list(view.valid.shape),
        "bands": bands.tolist(),
        "all_bands": len(view.truth),
        "nm": None if centres is None else _short(centres),
        "rgb": [int(np.searchsorted(bands, band)) for band in rgb],
        "low": _short(low),
        "high": _short(high),
        "shown_low": _short(shown_low),
        "shown_high": _short(shown_high),
        "valid": None if valid.all() else _webp(valid.astype(np.uint8) * LEVELS),
        "columns": _columns(len(bands)),
        "pictures": {name: _webp(_tiles(_levels(cube, low, high))) for name, cube in cubes.items()},
    }


def _pick_bands(view: CubeView, most: int) -> tuple[np.ndarray, list[int]]:
    """Measured bands spread evenly along the wavelengths, those of the colour picture among them; and the latter."""
    measured = np.flatnonzero(view.good)
    if view.wavelength_nm is not None:
        measured = measured[np.argsort(view.wavelength_nm[measured], kind="stable")]
    centres = None if view.wavelength_nm is None else view.wavelength_nm[measured]
    rgb = [int(measured[place]) for place in rgb_bands(len(measured), centres)]
    places = np.linspace(0, len(measured) - 1, min(most, len(measured))).round().astype(int)
    return np.array(sorted({*rgb, *measured[places].tolist()})), rgb


def _middle(size: int, most: int) -> slice:
    start = max(0, (size - most) // 2)
    return slice(start, min(size, start + most))


def _levels(cube: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Values as whole numbers from 0 (low) to 255 (high)."""
    share = (cube - low[:, None, None]) / (high - low)[:, None, None]
    return np.clip(np.rint(share * LEVELS), 0, LEVELS).astype(np.uint8)


def _columns(count: int) -> int:
    """How many bands stand beside each other in the picture of a cube."""
    return int(np.ceil(np.sqrt(count)))


def _tiles(cube: np.ndarray) -> np.ndarray:
    """The bands of a cube (bands, rows, cols) as one picture, in lines of `_columns` bands."""
    bands, rows, cols = cube.shape
    across = _columns(bands)
    down = -(-bands // across)
    filled = np.zeros((down * across, rows, cols), np.uint8)
    filled[:bands] = cube
    return filled.reshape(down, across, rows, cols).transpose(0, 2, 1, 3).reshape(down * rows, across * cols)


def _encode_maps(view: MapView) -> dict[str, Any]:
    rows, cols = view.picture.shape[:2]
    step = -(-max(rows, cols) // MOST_MAP_SIDE)

    def thin(array: np.ndarray) -> np.ndarray:
        return array[::step, ::step]

    def coded(shown: CodeMap) -> dict[str, Any]:
        codes = thin(shown.codes)
        present = [int(code) for code in np.unique(codes) if code > 0]
        places = np.zeros(max(present, default=0) + 1, np.uint8)
        places[present] = np.arange(1, len(present) + 1)
        legend = [[shown.names[code], shown.colours[code]] for code in present]
        return {"codes": _webp(places[np.maximum(codes, 0)]), "legend": legend}

    return {
        "kind": "map",
        "item": view.item,
        "variants": list(view.maps),
        "rows": len(range(0, rows, step)),
        "cols": len(range(0, cols, step)),
        "of": [rows, cols],
        "picture": _webp((thin(view.picture) * LEVELS).round().astype(np.uint8)),
        "labels": None if view.labels is None else coded(view.labels),
        "tested": None if view.tested is None else _webp(thin(view.tested).astype(np.uint8) * LEVELS),
        "maps": {variant: coded(shown) for variant, shown in view.maps.items()},
    }


def _encode_points(view: PointView) -> dict[str, Any]:
    places = {}
    for variant, points in view.places.items():
        low, high = points.min(axis=0), points.max(axis=0)
        scaled = (points - low) / np.maximum((high - low).max(), 1e-12)
        places[variant] = (scaled * 1000).round().astype(int).tolist()
    groups = {}
    for heading, values in view.groups.items():
        names = sorted(set(values))
        groups[heading] = {"names": names, "of": [names.index(value) for value in values]}
    pictures = None
    if len(view.pictures):
        sheet = np.concatenate([np.asarray(picture) for picture in view.pictures], axis=0)
        pictures = {"side": view.pictures[0].shape[0], "sheet": _webp((sheet * LEVELS).round().astype(np.uint8))}
    return {
        "kind": "points",
        "method": view.method,
        "variants": list(view.places),
        "names": list(view.names),
        "groups": groups,
        "pictures": pictures,
        "places": places,
    }


def _webp(picture: np.ndarray) -> str:
    """A picture, (rows, cols) or (rows, cols, 3) uint8, as data URL; every value survives."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).convert("RGB").save(stream, "WEBP", lossless=True, quality=60, method=3, exact=True)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _short(values: np.ndarray) -> list[float]:
    """Numbers in five significant digits."""
    return [float(f"{value:.5g}") for value in values]
