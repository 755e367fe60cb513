"""Progress bars on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Element = TypeVar("Element")


def progress(elements: Iterable[Element], title: str, *, unit: str = "item") -> Iterator[Element]:
    """Iterate with a progress bar; into a log file, a line every ten seconds at most."""
    from tqdm import tqdm

    interactive = sys.stderr.isatty()
    return iter(tqdm(elements, desc=title, unit=unit, mininterval=0.2 if interactive else 10, file=sys.stderr))
