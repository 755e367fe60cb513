"""Locks that the kernel frees when their holder dies, however it dies."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsipipe.errors import UserError

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)

log = logging.getLogger(__name__)


@contextmanager
def held(path: str | Path, *, wait: bool, busy: str) -> Iterator[None]:
    """Hold a lock file.

    Args:
        path: made if need be, and left behind: only the lock on it counts.
        wait: whether to wait for another holder; else it is an error.
        busy: what to say when somebody else holds it.

    The file names its last holder, for people who look. Where the file system has no locks, there is a warning instead.

    Raises:
        UserError: another process holds it, and `wait` is false.
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    # Append mode: opening must not erase the holder's name before the lock is ours.
    with open(place, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or None
            if not wait:
                raise UserError(busy, file=place, found=holder, remedy="wait until it ends") from None
            log.warning("%s: %s (%s); waiting", place, busy, holder)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            log.warning("%s: the file system has no locks (%s); start one run at a time", place, error.strerror)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
