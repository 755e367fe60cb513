"""Splits that do not leak: whole items, whole tiles or blocks with a buffer, never neighbouring pixels."""

from __future__ import annotations

import csv
import fnmatch
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from hsipipe.errors import UserError, unknown
from hsipipe.files import write_text
from hsipipe.randomness import seed_for
from hsipipe.scenes.scene import Scene, Window
from hsipipe.settings import check

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class SplitSettings:
    """How the units of a case are shared out."""

    by: Literal["item", "tile", "block", "parts", "official", "test"] = field(
        default="item",
        metadata={
            "meaning": "item: whole items; tile: all items cut from one satellite tile together; block: squares of "
            "each item with a buffer; parts: named in `parts`; official: HySpecNet-11k's lists; test: all is tested"
        },
    )
    fractions: tuple[float, float, float] = field(
        default=(0.8, 0.1, 0.1),
        metadata={"meaning": "shares of training, validation and test; they sum to 1", "minimum": 0, "maximum": 1},
    )
    seed: int = field(default=0, metadata={"meaning": "seed of the shuffle"})
    block: int = field(default=64, metadata={"meaning": "side of a block in pixels", "minimum": 8})
    buffer: int = field(
        default=8, metadata={"meaning": "pixels left out between blocks; less than half a block", "minimum": 0}
    )
    parts: dict[str, list[str]] | None = field(
        default=None,
        metadata={"meaning": "part -> patterns of item names, such as {test: ['*_128_*']}", "nonempty": True},
    )
    official: Literal["easy", "hard"] = field(default="hard", metadata={"meaning": "which of HySpecNet-11k's lists"})

    def __post_init__(self) -> None:
        check(self)
        _check_fractions(self.fractions)
        if self.by == "block" and not self.buffer < self.block / 2:
            raise UserError(
                f"must be below half a block of {self.block} pixels",
                key="buffer",
                found=self.buffer,
                remedy="take a larger `block` or a smaller `buffer`",
            )
        if (self.by == "parts") != bool(self.parts):
            raise UserError(
                "`by: parts` and patterns in `parts` go together",
                key="parts",
                found=f"by: {self.by}, {'patterns' if self.parts else 'no patterns'}",
                remedy="as in parts: {train: ['*_0'], test: ['*_1']}",
            )
        for part in self.parts or {}:
            if part not in PARTS:
                raise unknown("part", part, PARTS)

    @property
    def has_training(self) -> bool:
        """Whether there is a training part."""
        if self.by == "parts":
            return "train" in (self.parts or {})
        return self.by == "official" or (self.by != "test" and self.fractions[0] > 0)


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) != 3 or abs(sum(fractions) - 1) > 1e-6 or min(fractions) < 0:
        raise UserError("must be three shares that sum to 1", key="fractions", found=list(fractions))


@dataclass(frozen=True)
class Unit:
    """An item of a scene, or a window of one: what a method is trained or tested on."""

    scene: str
    item: str
    part: str
    row_start: int
    row_end: int
    col_start: int
    col_end: int

    @property
    def window(self) -> Window:
        """First row, end row, first column, end column."""
        return (self.row_start, self.row_end, self.col_start, self.col_end)

    @property
    def name(self) -> str:
        """Unique within a case: scene, item and, for a window, its corner."""
        return f"{self.scene}/{self.item}@{self.row_start}-{self.col_start}"


def share_out(
    groups: Sequence[str],
    fractions: Sequence[float],
    seed: int,
    *,
    remedy: str = "split `by: block`, take more items, or set a fraction to 0",
) -> dict[str, str]:
    """Assign groups to train, val and test by fractions, in an order that depends on names and seed only.

    Each part whose fraction is above zero gets at least one group. `remedy` is told where there are too few for that.

    Raises:
        UserError: fewer groups than parts, or fractions that do not sum to one.
    """
    _check_fractions(fractions)
    wanted = [part for part, share in zip(PARTS, fractions, strict=True) if share > 0]
    names = sorted(set(groups), key=lambda name: seed_for("split", seed, name))
    if len(names) < len(wanted):
        raise UserError(
            f"{len(names)} groups cannot fill {len(wanted)} parts without a leak",
            key="split",
            remedy=remedy,
        )
    counts = [max(round(share * len(names)), 1) if share > 0 else 0 for share in fractions]
    while sum(counts) != len(names):
        difference = len(names) - sum(counts)
        largest = max(range(3), key=lambda part: counts[part])
        counts[largest] += 1 if difference > 0 else -1
    parts = [part for part, count in zip(PARTS, counts, strict=True) for _ in range(count)]
    return dict(zip(names, parts, strict=True))


def _centre(size: tuple[int, int], crop: Sequence[int] | None) -> Window:
    """The central window of at most `crop` (rows, cols) pixels."""
    rows, cols = size
    height, width = (min(rows, crop[0]), min(cols, crop[1])) if crop else (rows, cols)
    top, left = (rows - height) // 2, (cols - width) // 2
    return (top, top + height, left, left + width)


def _by_pattern(items: Iterable[str], parts: dict[str, list[str]]) -> dict[str, str]:
    """Assign items to the first part one of whose patterns they match; the others are left out."""
    assigned: dict[str, str] = {}
    for item in items:
        for part, patterns in parts.items():
            if any(fnmatch.fnmatchcase(item, pattern) for pattern in patterns):
                if item in assigned:
                    raise UserError(f"item {item!r} matches patterns of two parts", key="split.parts")
                assigned[item] = part
    return assigned


def _blocks(scene: str, item: str, window: Window, settings: SplitSettings) -> list[Unit]:
    """Cut a window into squares, assign them, and shrink each by half the buffer on its inner sides."""
    top, bottom, left, right = window
    rows = list(range(top, max(bottom - settings.block // 2, top + 1), settings.block))
    cols = list(range(left, max(right - settings.block // 2, left + 1), settings.block))
    corners = {f"{scene}/{item}/{row}-{col}": (row, col) for row in rows for col in cols}
    remedy = (
        f"{scene}/{item} has {bottom - top} x {right - left} pixels: take a smaller block than {settings.block}, "
        "or set a fraction to 0"
    )
    assigned = share_out(list(corners), settings.fractions, settings.seed, remedy=remedy)
    margin = (settings.buffer + 1) // 2
    units = []
    for name, (row, col) in corners.items():
        row_end = bottom if row == rows[-1] else row + settings.block
        col_end = right if col == cols[-1] else col + settings.block
        units.append(
            Unit(
                scene,
                item,
                assigned[name],
                row if row == top else row + margin,
                row_end if row_end == bottom else row_end - margin,
                col if col == left else col + margin,
                col_end if col_end == right else col_end - margin,
            )
        )
    return units


def split_scenes(
    scenes: Sequence[Scene],
    settings: SplitSettings,
    *,
    crop: Sequence[int] | None = None,
    items: int | None = None,
    tile_of: Callable[[str], str] = lambda name: name,
) -> list[Unit]:
    """Share out the items of scenes.

    Args:
        scenes: opened scenes.
        settings: how.
        crop: at most this many central rows and columns of each item are used.
        items: at most this many items of each scene (the first by a hash of their name, so that a smaller study's items
            are a subset of a larger one's).
        tile_of: the tile that an item was cut from, for `by: tile`.

    Raises:
        UserError: groups too few for the parts, or a part named in `parts` that no item matches.
    """
    units: list[Unit] = []
    chosen: list[tuple[Scene, str]] = []
    for scene in scenes:
        names = sorted(scene.items, key=lambda name: seed_for("items", name))[:items]
        chosen += [(scene, name) for name in scene.items if name in set(names)]
    if settings.by == "block":
        for scene, name in chosen:
            units += _blocks(scene.name, name, _centre(scene.sizes[name], crop), settings)
        return units
    qualified = [f"{scene.name}/{name}" for scene, name in chosen]
    if settings.by == "test":
        parts = dict.fromkeys(qualified, "test")
    elif settings.by == "item":
        parts = share_out(qualified, settings.fractions, settings.seed)
    elif settings.by == "tile":
        tiles = {f"{scene.name}/{name}": f"{scene.name}/{tile_of(name)}" for scene, name in chosen}
        of_tile = share_out(list(tiles.values()), settings.fractions, settings.seed)
        parts = {name: of_tile[tile] for name, tile in tiles.items()}
    elif settings.by == "official":
        parts = {}
        for scene, name in chosen:
            official = scene.read_source(name).get("official", {}).get(settings.official)
            if official is None:
                raise UserError(
                    f"item {name!r} of scene {scene.name!r} is in no official list",
                    file=scene.path,
                    key="split.by",
                    remedy="put HySpecNet-11k's `splits` folder beside `patches`, or split `by: tile`",
                )
            parts[f"{scene.name}/{name}"] = official
    else:
        parts = {}
        by_name = _by_pattern([name for _, name in chosen], settings.parts or {})
        for scene, name in chosen:
            if name in by_name:
                parts[f"{scene.name}/{name}"] = by_name[name]
        for part in settings.parts or {}:
            if part not in parts.values():
                raise UserError(
                    "no item matches",
                    key=f"split.parts.{part}",
                    found=", ".join(settings.parts[part]) if settings.parts else "nothing",
                    remedy=f"items are {', '.join(name for _, name in chosen[:6])} ...",
                )
    for scene, name in chosen:
        assigned = parts.get(f"{scene.name}/{name}")
        if assigned is not None:
            units.append(Unit(scene.name, name, assigned, *_centre(scene.sizes[name], crop)))
    return units


def write_split(path: str | Path, units: Sequence[Unit]) -> None:
    """Write a split as CSV: scene, item, part and the window."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(Unit.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(unit) for unit in units)
    write_text(path, text.getvalue())


def read_split(path: str | Path) -> list[Unit]:
    """Read a split that `write_split` wrote."""
    with open(path, encoding="utf-8", newline="") as file:
        return [
            Unit(row["scene"], row["item"], row["part"], *(int(row[key]) for key in list(row)[3:]))
            for row in csv.DictReader(file)
        ]
