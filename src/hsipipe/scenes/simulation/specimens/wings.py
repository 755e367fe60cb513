"""Outlines of simulated wings and the pattern on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Share of the wing that the pattern covers; the ring round it has the same.
PATTERN_SHARE = 0.24


@dataclass(frozen=True)
class Wing:
    """A specimen's wings on the card.

    Attributes:
        cover: (rows, cols) float32, the share of each pixel that is specimen.
        across, along: (rows, cols) float32, coordinates on the wing, mirrored at the body; about 0..1 and -1..1.
    """

    cover: np.ndarray
    across: np.ndarray
    along: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """(rows, cols) bool: more specimen than card."""
        return self.cover > 0.5


def draw_outline(rows: int, cols: int, individual: np.random.Generator, pose: np.random.Generator) -> Wing:
    """Fore wings, hind wings and body of one individual, spread on a card.

    Each wing is a turned ellipse, the body a narrow one; their axes, angles and places vary with the individual,
    place, turn and scale with how it was pinned. All species share one distribution: shape tells nothing of them.

    Args:
        rows, cols: of the image.
        individual: seeded by the individual (the same for both sides).
        pose: seeded by the image.
    """
    turn, scale = 0.15 * pose.standard_normal(), 0.95 + 0.05 * pose.standard_normal()
    shift = 0.04 * pose.standard_normal(2)
    half = scale * min(rows, cols) / 2
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    x, y = (x - (cols - 1) / 2) / half - shift[0], ((rows - 1) / 2 - y) / half - shift[1]
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    x = np.abs(x)
    vary = np.exp(0.06 * individual.standard_normal(6))
    angle = np.radians([32, -38]) + 0.07 * individual.standard_normal(2)
    parts = (
        (0.46, 0.24, 0.46 * vary[0], 0.27 * vary[1], angle[0]),
        (0.33, -0.33, 0.38 * vary[2], 0.28 * vary[3], angle[1]),
        (0.0, -0.05, 0.06 * vary[4], 0.42 * vary[5], 0.0),
    )
    cover = np.zeros((rows, cols), np.float32)
    for centre_x, centre_y, long_axis, short_axis, lean in parts:
        u = (np.cos(lean) * (x - centre_x) + np.sin(lean) * (y - centre_y)) / long_axis
        v = (np.cos(lean) * (y - centre_y) - np.sin(lean) * (x - centre_x)) / short_axis
        radius = np.hypot(u, v)
        # (radius - 1) over its slope is the distance to the rim in pixels, near it; half a pixel either side is mixed.
        slope = np.maximum(np.hypot(u / long_axis, v / short_axis) / np.maximum(radius, 1e-6), 1e-6) / half
        cover = np.maximum(cover, np.clip(0.5 - (radius - 1) / slope, 0, 1))
    return Wing(cover=cover.astype(np.float32), across=x.astype(np.float32), along=y.astype(np.float32))


def draw_pattern(wing: Wing, kind: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The dark pattern and the ring round it, of equal area, mirrored at the body.

    Args:
        kind: `stripes` or `spots`.
        generator: seeded by the image.

    Returns:
        Two (rows, cols) bool arrays, disjoint, inside the wing; each `PATTERN_SHARE` of its pixels (rounded).
    """
    x, y = wing.across, wing.along
    if kind == "stripes":
        lean, waves = generator.uniform(-0.6, 0.6), generator.uniform(2.2, 3.2)
        phase = generator.uniform(0, 2 * np.pi)
        along = np.cos(lean) * x + np.sin(lean) * y + 0.05 * np.sin(5 * y + phase)
        field = np.sin(2 * np.pi * waves * along + phase)
    else:
        count = int(generator.integers(5, 9))
        chosen = generator.choice(np.flatnonzero(wing.inside), count, replace=False)
        field = np.full(x.shape, -np.inf, np.float32)
        for place in chosen:
            size = generator.uniform(0.8, 1.25)
            distance = np.hypot(x - x.flat[place], y - y.flat[place]) / size
            field = np.maximum(field, -distance)
    inside = np.flatnonzero(wing.inside)
    order = inside[np.argsort(-field.ravel()[inside], kind="stable")]
    count = round(PATTERN_SHARE * len(inside))
    core, ring = np.zeros((2, x.size), bool)
    core[order[:count]] = True
    ring[order[count : 2 * count]] = True
    return core.reshape(x.shape), ring.reshape(x.shape)
