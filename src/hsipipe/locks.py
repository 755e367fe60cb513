"""Locks that the kernel frees when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsipipe.errors import UserError

log = logging.getLogger(__name__)


@contextmanager
def held(path: str | Path, *, wait: bool, busy: str) -> Iterator[None]:
    """Hold a lock file.

    Args:
        path: made if need be, and left behind: only the lock on it counts.
        wait: whether to wait for another holder; else it is an error.
        busy: what to say when somebody else holds it.

    Raises:
        UserError: another process holds it, and `wait` is false.
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise UserError(busy, file=place, remedy="wait until it ends") from None
            log.info("%s: %s; waiting", place, busy)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
