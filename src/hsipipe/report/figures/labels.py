"""Names beside points and lines of a plot, none on another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

NAME_STYLE: dict[str, Any] = {"fontsize": 8, "va": "center", "zorder": 4}
LEADER = {"arrowstyle": "-", "color": "#9aa5b1", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
BACKGROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.4}  # a line below leaves a name legible
POINT_PIXELS = 5.0  # radius of the room that a point takes
BESIDE_PIXELS = 8.0  # from a point to its name
STEP_PIXELS = 3.0  # by which a name is moved at a time


def label_points(axis: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write each name beside its point, moved up or down where it would lie on a name or a point.

    Call it last: limits, labels and title of the axis must be final, since room is measured on the drawn figure.

    Args:
        axis: a Matplotlib axis.
        points: (x, y, name) in data units.
    """
    axis.figure.draw_without_rendering()  # settles the layout, on which the size of a name in data units depends
    frame = axis.get_window_extent()
    places = axis.transData.transform([point[:2] for point in points])
    taken = [(x - POINT_PIXELS, y - POINT_PIXELS, x + POINT_PIXELS, y + POINT_PIXELS) for x, y in places]
    to_data = axis.transData.inverted()
    for index in sorted(range(len(points)), key=lambda index: (places[index][1], places[index][0])):
        x, y = places[index]
        text = axis.annotate(points[index][2], points[index][:2], annotation_clip=False, **NAME_STYLE)
        extent = text.get_window_extent()
        text.remove()
        left, height = _free_place(x, y, extent.width, extent.height, taken, frame)
        taken.append((left, height - extent.height / 2, left + extent.width, height + extent.height / 2))
        leader = {**LEADER, "relpos": (0.0 if left > x else 1.0, 0.5)}
        axis.annotate(
            points[index][2],
            points[index][:2],
            to_data.transform((left, height)),
            textcoords="data",
            arrowprops=leader if height != y else None,
            bbox=BACKGROUND,
            annotation_clip=False,
            **NAME_STYLE,
        ).set_in_layout(False)


def _free_place(
    x: float, y: float, width: float, height: float, taken: Iterable[tuple[float, float, float, float]], frame: Any
) -> tuple[float, float]:
    """Left end and middle height of the free place nearest to a point, right of it before left of it, in pixels.

    A place within the frame if there is one; where the frame is full, above it.
    """
    boxes = np.array(list(taken)).reshape(-1, 4)
    reach = int(np.ceil(frame.height / STEP_PIXELS)) + len(boxes) * int(np.ceil(height / STEP_PIXELS) + 4)
    beyond: tuple[float, float] | None = None
    for step in range(reach + 1):
        for at in (y,) if step == 0 else (y + step * STEP_PIXELS, y - step * STEP_PIXELS):
            for left in (x + BESIDE_PIXELS, x - BESIDE_PIXELS - width):
                low, high = at - height / 2, at + height / 2
                right = left + width
                free = (boxes[:, 0] >= right) | (boxes[:, 2] <= left) | (boxes[:, 1] >= high) | (boxes[:, 3] <= low)
                if not free.all():
                    continue
                if left >= frame.x0 and right <= frame.x1 and low >= frame.y0 and high <= frame.y1:
                    return left, at
                if beyond is None and low >= frame.y0:
                    beyond = (left, at)
    return beyond or (x + BESIDE_PIXELS, y)


def label_lines(axis: Any, lines: Sequence[tuple[float, str, str]]) -> None:
    """Write the name of each horizontal line right of the axis, at its height or as near as others let it.

    Call it when the limits of the axis are final.

    Args:
        axis: a Matplotlib axis.
        lines: (y, name, colour) in data units.
    """
    low, high = axis.get_ylim()
    ordered = sorted(lines)
    heights = spread(np.array([line[0] for line in ordered]), 0.045 * (high - low))
    for (y, name, colour), height in zip(ordered, heights, strict=True):
        axis.annotate(
            name,
            (1.0, y),
            (1.02, height),
            xycoords=axis.get_yaxis_transform(),
            textcoords=axis.get_yaxis_transform(),
            color=colour,
            arrowprops={**LEADER, "color": colour, "shrinkB": 0},
            annotation_clip=False,
            **NAME_STYLE,
        )


def spread(values: np.ndarray, least: float) -> np.ndarray:
    """Rising values moved as little as possible (least squares) until neighbours are at least `least` apart.

    Values that must touch form a group about their common mean (pool adjacent violators; Barlow and others, 1972).
    """
    groups: list[tuple[float, int]] = []  # mean and size of runs of values, each less its own offset
    for index, value in enumerate(np.asarray(values, float)):
        mean, size = value - index * least, 1
        while groups and groups[-1][0] > mean:
            other, count = groups.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        groups.append((mean, size))
    shifted = np.repeat([mean for mean, _ in groups], [size for _, size in groups])
    return shifted + least * np.arange(len(shifted))
