"""Which labelled pixels of an image train, validate and test a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for, seed_for
from hsipipe.settings import check

NOT_USED, TRAIN, VAL, TEST = range(4)
ROLES = {"train": TRAIN, "val": VAL, "test": TEST}
LEAKS = {
    "random": "test pixels are neighbours of training pixels and resemble them: accuracies are too high",
    "raster": "test pixels adjoin training pixels of the same field, and training sees the top of the image only",
    "blocks": "training and test pixels lie in different blocks, at least {buffer} pixels apart",
    "touching": "training and test pixels lie in different blocks, which adjoin each other without a buffer",
    "maps": "training and test pixels are those of the maps that were given, whose distance is not controlled",
    "all": "every labelled pixel is tested and none trains",
}


@dataclass(frozen=True)
class PixelSplitSettings:
    """How the labelled pixels of one image are shared out."""

    by: Literal["random", "raster", "blocks", "maps", "all"] = field(
        default="blocks",
        metadata={
            "meaning": "random: pixels of each class at random (leaky); raster: the first of each class, row by row "
            "(deephyp's, leaky); blocks: squares with a buffer between; maps: as given; all: all is tested"
        },
    )
    count: int | None = field(
        default=None,
        metadata={
            "meaning": "training pixels of each class, of random (if absent: by `fraction`) and raster (50)",
            "minimum": 1,
        },
    )
    fraction: float | None = field(
        default=None,
        metadata={
            "meaning": "share of each class that trains, of random (0.1 if absent) and blocks (0.3)",
            "above": 0,
            "below": 1,
        },
    )
    validation: int | None = field(
        default=None,
        metadata={
            "meaning": "validation pixels of each class, of raster (15 if absent) and of random with a count (0)",
            "minimum": 0,
        },
    )
    validation_fraction: float = field(
        default=0.0,
        metadata={"meaning": "share that validates, of blocks and of random with a fraction", "minimum": 0, "below": 1},
    )
    block: int = field(default=10, metadata={"meaning": "side of a block, pixels", "minimum": 1})
    buffer: int = field(
        default=3,
        metadata={
            "meaning": "test pixels within so many rows and columns of a training pixel are dropped",
            "minimum": 0,
        },
    )
    folds: int | None = field(
        default=None,
        metadata={
            "meaning": "of blocks: every block is tested in one of so many folds; training pixels near a test pixel "
            "are dropped then",
            "minimum": 2,
        },
    )
    fold: int = field(default=0, metadata={"meaning": "which of `folds` is tested, from 0", "minimum": 0})
    rare: Literal["error", "keep", "leave-out"] = field(
        default="error",
        metadata={
            "meaning": "a class with too few pixels, or without training pixels: an error; kept (half of its pixels "
            "train, or all its test pixels count although nothing was learned of it); left out"
        },
    )
    seed: int = field(default=0, metadata={"meaning": "seed of what is drawn"})

    def __post_init__(self) -> None:
        check(self)
        for name, kinds in (
            ("count", ("random", "raster")),
            ("fraction", ("random", "blocks")),
            ("validation", ("random", "raster")),
            ("folds", ("blocks",)),
        ):
            if getattr(self, name) is not None and self.by not in kinds:
                raise UserError(f"has no meaning with by: {self.by}", key=name, remedy=f"it is for {', '.join(kinds)}")
        if self.count is not None and self.fraction is not None:
            raise UserError("give a count or a fraction, not both", key="count")
        if self.validation and self.by == "random" and self.count is None:
            raise UserError("goes with a count", key="validation", remedy="give `validation_fraction`")
        if self.folds is not None and self.fold >= self.folds:
            raise UserError(f"must be below folds: {self.folds}", key="fold", found=self.fold)
        if self.folds is not None and self.fraction is not None:
            raise UserError("give folds or a fraction, not both", key="folds")
        if self.train_share + self.validation_fraction >= 1:
            raise UserError("nothing would be left to test", key="validation_fraction", found=self.validation_fraction)

    @property
    def train_share(self) -> float:
        """The share that trains, where shares are meant."""
        if self.fraction is not None:
            return self.fraction
        return 0.3 if self.by == "blocks" else 0.1

    @property
    def leaky(self) -> bool:
        """Whether training pixels are neighbours of test pixels by construction."""
        return self.by in ("random", "raster") or (self.by == "blocks" and self.buffer == 0)

    @property
    def leak(self) -> str:
        """A sentence for tables: how training and test pixels lie to each other."""
        kind = "touching" if self.by == "blocks" and self.buffer == 0 else self.by
        return LEAKS[kind].format(buffer=self.buffer + 1)


def split_pixels(
    labels: np.ndarray,
    settings: PixelSplitSettings,
    *,
    seed_parts: Sequence[object] = (),
    shape: tuple[int, int] | None = None,
    valid: np.ndarray | None = None,
    train_map: np.ndarray | None = None,
    test_map: np.ndarray | None = None,
) -> np.ndarray:
    """Give each labelled pixel a role.

    What is drawn for a class depends on its code, the seed and `seed_parts` alone, not on the other classes.

    Args:
        labels: (rows, cols) integers as the file has them; 0 and below is background.
        settings: how.
        seed_parts: names and numbers that tell this draw from others, such as case and item.
        shape: (rows, cols) of the image that the labels must fit; None: not checked.
        valid: (rows, cols) bool: pixels that hold a measurement, the others are not used; None: all.
        train_map, test_map: for `by: maps`, (rows, cols) integers, above 0 where a pixel trains or is tested. The role
            is read from them, the class from `labels`.

    Returns:
        (rows, cols) uint8: 0 not used, 1 training, 2 validation, 3 test.

    Raises:
        UserError: maps of another size, no class, classes with too few pixels (see `rare`), or nothing to test.
    """
    _check_sizes(labels, shape=shape, valid=valid, train_map=train_map, test_map=test_map)
    usable = labels > 0 if valid is None else (labels > 0) & valid
    if not usable.any():
        raise UserError("the label map has no class", found="codes of 0 and below alone, which are background")
    known = np.where(usable, labels, 0)
    if settings.by == "maps":
        if train_map is None or test_map is None:
            raise UserError("by: maps needs a training and a test map")
        roles = _by_maps(known, train_map, test_map)
    elif settings.by == "blocks":
        roles = _by_blocks(known, settings, seed_parts)
    elif settings.by == "all":
        roles = np.where(usable, TEST, NOT_USED).astype(np.uint8)
    else:
        roles = _by_class(known, settings, seed_parts)
    if settings.by != "all":
        roles = _without_unlearned(known, roles, settings.rare)
    if not (roles == TEST).any():
        raise UserError("no pixel is left to test", remedy="take fewer training pixels, or a smaller buffer")
    return roles


def roles_of_part(labels: np.ndarray, part: str) -> np.ndarray:
    """The roles where a whole image is of one part, as with tiles: (rows, cols) uint8."""
    return np.where(labels > 0, ROLES[part], NOT_USED).astype(np.uint8)


def touching_share(roles: np.ndarray, *, distance: int = 1) -> float:
    """The share of test pixels that have a training pixel within `distance` rows and columns; NaN without test."""
    tested = roles == TEST
    return float(_near(roles == TRAIN, distance)[tested].mean()) if tested.any() else float("nan")


def _check_sizes(labels: np.ndarray, *, shape: tuple[int, int] | None, **maps: np.ndarray | None) -> None:
    if labels.ndim != 2 or labels.dtype.kind not in "iub":
        raise UserError("labels must be a map of whole numbers", found=f"{labels.dtype} of {labels.shape}")
    wanted = labels.shape if shape is None else tuple(shape)
    for name, values in (("labels", labels), *maps.items()):
        if values is not None and values.shape != wanted:
            found = " x ".join(map(str, values.shape))
            raise UserError(
                f"{name.replace('_', ' ')} do not fit the image of {wanted[0]} x {wanted[1]} pixels", found=found
            )


def _by_class(labels: np.ndarray, settings: PixelSplitSettings, seed_parts: Sequence[object]) -> np.ndarray:
    """Pixels of each class by themselves: at random, or in raster order."""
    roles = np.where(labels > 0, TEST, NOT_USED).astype(np.uint8).ravel()
    for code in np.unique(labels[labels > 0]):
        members = np.flatnonzero(labels.ravel() == code)
        train, val = _counts(int(code), len(members), settings)
        if train is None:
            roles[members] = NOT_USED
            continue
        if settings.by == "random":
            members = members[generator_for("pixels", settings.seed, *seed_parts, int(code)).permutation(len(members))]
        roles[members[:train]] = TRAIN
        roles[members[train : train + val]] = VAL
    return roles.reshape(labels.shape)


def _counts(code: int, pixels: int, settings: PixelSplitSettings) -> tuple[int | None, int]:
    """How many of a class's pixels train and validate; None where the class is left out."""
    if settings.by == "random" and settings.count is None:
        train = max(round(settings.train_share * pixels), 1)
        val = round(settings.validation_fraction * pixels)
    else:
        train = 50 if settings.count is None else settings.count
        val = (15 if settings.by == "raster" else 0) if settings.validation is None else settings.validation
    if pixels >= train + val + 1:
        return train, val
    if settings.rare == "leave-out":
        return None, 0
    if settings.rare == "error" or pixels < 2:
        raise UserError(
            f"class {code} has too few pixels",
            key="rare" if pixels > 1 else None,
            found=f"{pixels}, where {train} train, {val} validate and at least one is tested",
            remedy="ask for fewer, or say `rare: leave-out`" + (" or `rare: keep`" if pixels > 1 else ""),
        )
    # Half train, and of the rest at least one is tested.
    half = pixels // 2
    return half, min(val, max(pixels - half - 1, 0) // 2)


def _by_maps(labels: np.ndarray, train_map: np.ndarray, test_map: np.ndarray) -> np.ndarray:
    train, test = train_map > 0, test_map > 0
    if (train & test).any():
        found = f"{int((train & test).sum())} pixels"
        raise UserError("the training and the test map share pixels", found=found, remedy="set them to 0 in one")
    return np.where(labels > 0, TRAIN * train + TEST * test, NOT_USED).astype(np.uint8)


def _by_blocks(labels: np.ndarray, settings: PixelSplitSettings, seed_parts: Sequence[object]) -> np.ndarray:
    """Whole squares, dealt out so that each class has about the share asked for in every part."""
    rows, cols = np.nonzero(labels)
    across = -(-labels.shape[1] // settings.block)
    names, own = np.unique(rows // settings.block * across + cols // settings.block, return_inverse=True)
    codes, numbers = np.unique(labels[rows, cols], return_inverse=True)
    counts = np.bincount(own * len(codes) + numbers, minlength=len(names) * len(codes)).reshape(len(names), len(codes))
    if settings.folds is not None:
        shares = np.full(settings.folds, 1 / settings.folds)
        if len(names) < settings.folds:
            raise UserError(f"{len(names)} blocks with labels cannot make {settings.folds} folds", key="block")
    else:
        val = settings.validation_fraction
        shares = np.array([settings.train_share, val, 1 - settings.train_share - val])
    order = sorted(range(len(names)), key=lambda name: seed_for("block", settings.seed, *seed_parts, int(names[name])))
    parts = _deal_out(counts, shares, order)[own]
    roles = np.zeros(labels.shape, np.uint8)
    if settings.folds is None:
        roles[rows, cols] = parts + 1
        roles[(roles == VAL) & _near(roles == TRAIN, settings.buffer)] = NOT_USED
        roles[(roles == TEST) & _near((roles == TRAIN) | (roles == VAL), settings.buffer)] = NOT_USED
    else:
        roles[rows, cols] = np.where(parts == settings.fold, TEST, TRAIN)
        roles[(roles == TRAIN) & _near(roles == TEST, settings.buffer)] = NOT_USED
    return roles


def _deal_out(counts: np.ndarray, shares: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The part of each block: (blocks,), so that the parts have about their share of every class.

    Iterative stratification: the class with the fewest pixels left is dealt out first, block by block, each to the part
    that lacks it most. Source: K. Sechidis, G. Tsoumakas and I. Vlahavas, On the stratification of multi-label data,
    ECML PKDD 2011, doi:10.1007/978-3-642-23808-6_10.

    Args:
        counts: (blocks, classes) pixels.
        shares: (parts,), summing to 1; a part of share 0 gets nothing.
        order: the blocks in the order in which they are dealt out, which is what is random.
    """
    wanted = shares[:, None] * counts.sum(0)
    parts = np.full(len(counts), -1)
    open_blocks = list(order)
    while open_blocks:
        left = counts[open_blocks].sum(0)
        rarest = int(np.where(left > 0, left, np.iinfo(left.dtype).max).argmin())
        for block in [name for name in open_blocks if counts[name, rarest] > 0]:
            lack = np.where(shares > 0, wanted[:, rarest], -np.inf)
            # Of parts that lack it equally, the one that lacks most pixels of all classes.
            part = max(range(len(shares)), key=lambda number: (lack[number], wanted[number].sum()))
            parts[block] = part
            wanted[part] -= counts[block]
            open_blocks.remove(block)
    return parts


def _near(mask: np.ndarray, distance: int) -> np.ndarray:
    """Where a pixel of the mask lies within so many rows and columns."""
    padded = np.pad(mask, distance)
    rows, cols = mask.shape
    wide = np.zeros((padded.shape[0], cols), bool)
    for shift in range(2 * distance + 1):
        wide |= padded[:, shift : shift + cols]
    result = np.zeros(mask.shape, bool)
    for shift in range(2 * distance + 1):
        result |= wide[shift : shift + rows]
    return result


def _without_unlearned(labels: np.ndarray, roles: np.ndarray, rare: str) -> np.ndarray:
    """Deal with classes that have no training pixel."""
    learned = np.unique(labels[roles == TRAIN])
    if not len(learned):
        raise UserError("no pixel is left to train on", remedy="take smaller blocks or a smaller buffer")
    unlearned = np.setdiff1d(np.unique(labels[roles != NOT_USED]), learned)
    if not len(unlearned) or rare == "keep":
        return roles
    if rare == "error":
        raise UserError(
            f"{'class' if len(unlearned) == 1 else 'classes'} {', '.join(map(str, unlearned))} without training pixels",
            key="rare",
            remedy="take another seed or smaller blocks, or say `rare: leave-out` or `rare: keep`",
        )
    return np.where(np.isin(labels, unlearned), NOT_USED, roles).astype(np.uint8)
