"""The codes of a label file and the class numbers that methods count with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError


@dataclass(frozen=True)
class LabelCodes:
    """Which code of the file is which class: class k, from 0 on, has the code `codes[k]`.

    Codes are whole numbers above 0, rising, with gaps if the file has them (SalinasA has 1 and 10 to 14). Codes of 0
    and below are background, class -1.
    """

    codes: tuple[int, ...]

    def __post_init__(self) -> None:
        if list(self.codes) != sorted(set(self.codes)) or any(code <= 0 for code in self.codes):
            raise UserError("codes of classes must be above 0 and rise", found=list(self.codes))

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, label_maps: Iterable[np.ndarray]) -> LabelCodes:
        """The codes above 0 that stand in label maps.

        Raises:
            UserError: there are none.
        """
        found: set[int] = set()
        for labels in label_maps:
            values = np.unique(np.asarray(labels))
            found.update(int(value) for value in values[values > 0])
        if not found:
            raise UserError("the label map has no class", found="codes of 0 and below alone, which are background")
        return cls(tuple(sorted(found)))

    def encode(self, labels: np.ndarray) -> np.ndarray:
        """Codes to classes: int32 of the same shape, -1 where there is background.

        Raises:
            UserError: a code above 0 that is none of `codes`, such as a class that the training part lacks.
        """
        values = np.asarray(labels)
        known = np.asarray(self.codes, np.int64)
        position = np.searchsorted(known, values)
        position[position == len(known)] = 0
        matches = (known[position] == values) if len(known) else np.zeros(values.shape, bool)
        strange = np.unique(values[(values > 0) & ~matches])
        if len(strange):
            raise UserError(
                f"{'class' if len(strange) == 1 else 'classes'} {', '.join(map(str, strange))} not known",
                found=f"known are {', '.join(map(str, self.codes))}",
                remedy="set these labels to 0, or train with pixels of them",
            )
        return np.where(matches, position, -1).astype(np.int32)

    def decode(self, classes: np.ndarray, *, background: int = 0) -> np.ndarray:
        """Classes to codes: int32 of the same shape, `background` where the class is negative.

        Raises:
            UserError: a class from K on.
        """
        values = np.asarray(classes)
        if values.size and values.max() >= len(self.codes):
            raise UserError(f"there are {len(self.codes)} classes", found=f"class number {int(values.max())}")
        known = np.asarray(self.codes, np.int32)
        return np.where(values >= 0, known[np.maximum(values, 0)], background).astype(np.int32)
