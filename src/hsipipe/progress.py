"""Progress bars on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar

Element = TypeVar("Element")
When = Literal["always", "terminal", "never"]

_when: ContextVar[When] = ContextVar("when", default="always")


@contextmanager
def show_progress(when: When) -> Iterator[None]:
    """Within the block: `always`, into a log file too; `terminal`: not elsewhere; `never`."""
    token = _when.set(when)
    try:
        yield
    finally:
        _when.reset(token)


def progress(
    elements: Iterable[Element], title: str, *, unit: str = "item", total: int | None = None, disable: bool = False
) -> Iterator[Element]:
    """Iterate with a progress bar; into a log file, a line every ten seconds at most.

    Args:
        elements: what to iterate over.
        title: before the bar.
        unit: what one element is called.
        total: how many they are, where `elements` cannot tell.
        disable: no bar, whatever `show_progress` says: for one element, or where the caller has a bar of its own.
    """
    from tqdm import tqdm

    interval_s = 0.2 if sys.stderr.isatty() else 10
    hidden = True if disable or _when.get() == "never" else None if _when.get() == "terminal" else False
    bar = tqdm(
        elements,
        desc=title,
        unit=unit,
        total=total,
        mininterval=interval_s,
        file=sys.stderr,
        disable=hidden,
        leave=None,
    )
    return iter(bar)
