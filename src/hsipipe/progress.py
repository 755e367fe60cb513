"""Progress bars on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Element = TypeVar("Element")


def progress(
    elements: Iterable[Element], title: str, *, unit: str = "item", disable: bool | None = False
) -> Iterator[Element]:
    """Iterate with a progress bar; into a log file, a line every ten seconds at most.

    Args:
        elements: what to iterate over.
        title: before the bar.
        unit: what one element is called.
        disable: True for no bar; None for a bar on a terminal and nothing elsewhere.
    """
    from tqdm import tqdm

    interval_s = 0.2 if sys.stderr.isatty() else 10
    return iter(tqdm(elements, desc=title, unit=unit, mininterval=interval_s, file=sys.stderr, disable=disable))
