"""Content digests of files, with the stamps that tell whether a file may have been written since."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hsipipe.errors import UserError
from hsipipe.files import sha256_of


def entry_of(path: str | Path) -> dict[str, Any]:
    """What is recorded of a file: sha256, bytes, and the times of its last modification and change (ns)."""
    stat = os.stat(path)
    return {"sha256": sha256_of(path), "bytes": stat.st_size, **_times(stat)}


def is_untouched(path: str | Path, entry: Mapping[str, Any]) -> bool:
    """Whether a file's size and times are those of its entry, so that its content needs no reading.

    The time of the last change (ctime) is the file system's own: no program sets it back, so that a file that was
    written to and given its old modification time is found out.
    """
    stat = os.stat(path)
    return {"bytes": stat.st_size, **_times(stat)} == {name: entry.get(name) for name in ("bytes", *_times(stat))}


def times_of(path: str | Path) -> dict[str, int]:
    """The times of a file's last modification and change (ns), as recorded."""
    return _times(os.stat(path))


def _times(stat: os.stat_result) -> dict[str, int]:
    return {"mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}


def is_same(path: str | Path, entry: Mapping[str, Any]) -> bool:
    """Whether a file's content is that of its entry; read whole unless its size differs."""
    return os.stat(path).st_size == entry["bytes"] and sha256_of(path) == entry["sha256"]


def altered(path: str | Path, entry: Mapping[str, Any]) -> UserError:
    """The error for a result whose content is not that of its entry."""
    size = os.stat(path).st_size
    found = "other content" if size == entry["bytes"] else f"{size:,} bytes instead of {entry['bytes']:,}"
    remedy = f"delete it to have it made again: rm {shlex.quote(str(path))}"
    return UserError("was changed after its step had written it", file=path, found=found, remedy=remedy)
