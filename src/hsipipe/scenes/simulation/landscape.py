"""Where the materials of the simulated scene lie: parcels, woods, a town, a river, a lake, roads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from hsipipe.scenes.simulation.materials import MATERIALS
from hsipipe.scenes.simulation.texture import fractal_field, fractal_line

Field = Callable[[float, float], np.ndarray]  # (exponent, outer scale in pixels) -> a new fractal field
OVERSAMPLING = 3  # sub-pixels per pixel and axis: sharp borders become mixed pixels by the area each side covers

# What a parcel grows, how often, and what shows between it.
_PARCELS = (
    ("crop", 0.34, "wet soil"),
    ("meadow", 0.20, "dry soil"),
    ("ripe cereal", 0.20, "dry soil"),
    ("dry soil", 0.15, "ripe cereal"),
    ("wet soil", 0.11, "crop"),
)
# A town's surfaces: mean of each one's log-share and how far fractal fields move it; sheds with metal roofs cluster.
_TOWN = {
    "red roof tile": (0.9, 1.1),
    "metal roof": (-0.5, 1.9),
    "asphalt": (0.6, 1.1),
    "concrete": (0.1, 1.1),
    "meadow": (0.5, 1.1),
    "deciduous forest": (0.0, 1.1),
}


@dataclass(frozen=True)
class Landscape:
    """A simulated piece of land.

    Attributes:
        abundances: (materials, rows, cols) float32, area shares, >= 0, sum 1 in every pixel.
        parcel: (rows, cols) int, number of the field under each pixel's centre.
        elevation: (rows, cols) float32, arbitrary unit.
    """

    abundances: np.ndarray
    parcel: np.ndarray
    elevation: np.ndarray


class _Layers:
    """Adds covers from the top down: what one leaves uncovered, the next may take."""

    def __init__(self, rows: int, cols: int) -> None:
        self.abundances = np.zeros((len(MATERIALS), rows, cols), np.float32)
        self.open = np.ones((rows * OVERSAMPLING, cols * OVERSAMPLING), np.float32)

    def add(self, cover: np.ndarray, shares: Mapping[str, np.ndarray | float]) -> None:
        taken = self.open * cover
        for name, share in shares.items():
            self.abundances[MATERIALS.index(name)] += _pixel_mean(taken * share)
        self.open -= taken


def lay_out(rows: int, cols: int, generator: np.random.Generator) -> Landscape:
    """Lay out a landscape of rows x cols pixels of 30 m; all lengths below are in pixels."""
    shape = (rows * OVERSAMPLING, cols * OVERSAMPLING)

    def field(exponent: float, outer_scale: float) -> np.ndarray:
        return fractal_field(shape, generator, exponent=exponent, outer_scale=outer_scale * OVERSAMPLING)

    elevation = field(3.6, 60)
    river = _distance_to_curve(shape, generator, wander=7, outer_scale=30)
    river_half_width = 1.3 + 0.35 * field(3.0, 25)
    lake = field(4.0, 30)
    lake_edge = np.quantile(lake, 0.97)
    fields, border = _parcels(shape, generator)

    layers = _Layers(rows, cols)
    layers.add(_within(_distance_to_curve(shape, generator, wander=4, outer_scale=60), 0.45), {"concrete": 1.0})
    layers.add(_within(_distance_to_curve(shape, generator, wander=6, outer_scale=35), 0.25), {"asphalt": 1.0})
    layers.add(_within(_distance_to_curve(shape, generator, wander=6, outer_scale=35), 0.25), {"asphalt": 1.0})
    layers.add(_within(river, river_half_width), {"turbid water": 1.0})
    layers.add((lake > lake_edge).astype(np.float32), {"clear water": 1.0})
    bars = (river < river_half_width + 1.4) & (field(2.6, 10) > 0.5)
    beach = lake > lake_edge - 0.06
    layers.add((bars | beach).astype(np.float32), {"sand": 1.0})
    _add_town(layers, field, river)
    _add_woods(layers, field, elevation)
    _add_parcels(layers, field, fields, border, generator)

    abundances = layers.abundances / layers.abundances.sum(0)
    middle = OVERSAMPLING // 2
    return Landscape(abundances, fields[middle::OVERSAMPLING, middle::OVERSAMPLING], _pixel_mean(elevation))


def _add_town(layers: _Layers, field: Field, river: np.ndarray) -> None:
    # Towns lie near the river; their edge is loose, their surfaces are mixed below the size of a pixel.
    site = field(3.0, 28) - 0.03 * river
    edge = np.quantile(site, 0.90)
    cover = _soft_step((site - edge) / 0.12)
    logits = {name: mean + spread * field(1.8, 5) for name, (mean, spread) in _TOWN.items()}
    layers.add(cover, dict(zip(logits, _softmax(list(logits.values())), strict=True)))


def _add_woods(layers: _Layers, field: Field, elevation: np.ndarray) -> None:
    # Woods stand on high ground; broad-leaved and conifer stands grade into each other.
    site = field(3.8, 26) + 0.12 * field(2.0, 6) + 0.6 * elevation
    cover = _soft_step((site - np.quantile(site, 0.72)) / 0.05)
    stand = 2.6 * field(2.6, 16) + 0.8 * field(1.5, 3)
    floor = 0.04 * _soft_step(field(2.0, 5) - 1.0)
    conifer = _soft_step(stand) * (1 - floor)
    layers.add(cover, {"conifer forest": conifer, "deciduous forest": 1 - conifer - floor, "meadow": floor})


def _add_parcels(
    layers: _Layers, field: Field, fields: np.ndarray, border: np.ndarray, generator: np.random.Generator
) -> None:
    hedges = border & (field(2.5, 12) > 0.7)
    layers.add(0.8 * hedges.astype(np.float32), {"deciduous forest": 0.6, "meadow": 0.4})
    count = int(fields.max()) + 1
    kinds = generator.choice(len(_PARCELS), size=count, p=[share for _, share, _ in _PARCELS])
    bare = generator.beta(1.2, 9.0, size=count)[fields] + 0.05 * field(2.0, 8)
    bare = np.clip(bare, 0, 0.6).astype(np.float32)
    for kind, (grown, _, between) in enumerate(_PARCELS):
        layers.add((kinds[fields] == kind).astype(np.float32), {grown: 1 - bare, between: bare})


def _parcels(shape: tuple[int, int], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the fields, (rows, cols) int from 0, and where two of them meet (bool).

    The land falls into blocks (Voronoi cells of jittered seeds); each block is cut into strips of its own direction and
    width, each strip into fields.
    """
    spacing = 26 * OVERSAMPLING
    corners = np.indices([length // spacing + 3 for length in shape]).reshape(2, -1).T * spacing - 1.5 * spacing
    seeds = corners + generator.uniform(0, spacing, corners.shape)
    grid = np.indices(shape).reshape(2, -1).T
    _, block = cKDTree(seeds).query(grid)
    angle = generator.uniform(0, np.pi, len(seeds))[block]
    width = generator.uniform(4, 9, len(seeds))[block] * OVERSAMPLING
    length = generator.uniform(9, 24, len(seeds))[block] * OVERSAMPLING
    along = np.cos(angle) * grid[:, 0] + np.sin(angle) * grid[:, 1]
    across = -np.sin(angle) * grid[:, 0] + np.cos(angle) * grid[:, 1]
    strip = np.floor(across / width).astype(int)
    shift = generator.random(997)[(31 * strip + 17 * block) % 997]
    cell = np.floor(along / length + shift).astype(int)
    _, number = np.unique(np.stack([block, strip, cell]), axis=1, return_inverse=True)
    number = number.reshape(shape)
    border = np.zeros(shape, bool)
    border[1:] |= number[1:] != number[:-1]
    border[:, 1:] |= number[:, 1:] != number[:, :-1]
    return number, border


def _distance_to_curve(
    shape: tuple[int, int], generator: np.random.Generator, *, wander: float, outer_scale: float
) -> np.ndarray:
    """Distance in pixels to a winding line that crosses the scene from side to side: (rows, cols) float32."""
    upright = bool(generator.integers(2))
    rows, cols = (shape[1], shape[0]) if upright else shape
    start, end = generator.uniform(0.15, 0.85, 2) * rows
    course = np.linspace(start, end, cols)
    course += wander * OVERSAMPLING * fractal_line(cols, generator, outer_scale=outer_scale * OVERSAMPLING)
    # The distance across the line, not along the column: a steep stretch is no wider than a level one.
    distance = np.abs(np.arange(rows)[:, None] - course) / np.sqrt(1 + np.gradient(course) ** 2)
    distance = (distance / OVERSAMPLING).astype(np.float32)
    return distance.T if upright else distance


def _within(distance: np.ndarray, half_width: np.ndarray | float) -> np.ndarray:
    """Cover (0..1) of a line of the given half width, whose edge falls off over one sub-pixel."""
    return np.clip((half_width - distance) * OVERSAMPLING + 0.5, 0, 1).astype(np.float32)


def _soft_step(value: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(value, -30, 30)))).astype(np.float32)


def _softmax(logits: list[np.ndarray]) -> list[np.ndarray]:
    top = np.max(logits, axis=0)
    powers = [np.exp(logit - top) for logit in logits]
    total = np.sum(powers, axis=0)
    return [power / total for power in powers]


def _pixel_mean(fine: np.ndarray) -> np.ndarray:
    rows, cols = fine.shape[0] // OVERSAMPLING, fine.shape[1] // OVERSAMPLING
    return fine.reshape(rows, OVERSAMPLING, cols, OVERSAMPLING).mean((1, 3))
