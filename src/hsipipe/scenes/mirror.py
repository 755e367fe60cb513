"""A local folder that stands in for the network: files are found by their SHA-256, whatever they are called there."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.files import sha256_of

VARIABLE = "HSIPIPE_MIRROR"


def mirror_folder(mirror: str | Path | None = None) -> Path | None:
    """The folder given, or that of the environment variable HSIPIPE_MIRROR, or None.

    Raises:
        UserError: it is not a folder.
    """
    named = str(mirror) if mirror else os.environ.get(VARIABLE, "")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise UserError("the mirror is not a folder", file=folder, remedy=f"give a folder, or unset {VARIABLE}")
    return folder


def find_in_mirror(folder: Path, *, name: str, sha256: str | None, size: int | None) -> Path | None:
    """The file of `folder` (searched with all sub-folders) with that SHA-256, or None.

    Files of the same base name are tried first and, where the size is known, files of another size not at all, so that
    a mirror of many gigabytes is not hashed for one small file. Where no hash is known, the base name decides, and the
    size if known; several different ones are an error.

    Raises:
        UserError: no hash is known and several different files have the name.
    """
    base = name.rsplit("/", 1)[-1]
    found: list[tuple[bool, str, os.stat_result]] = []
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = os.path.join(parent, file)
            if sha256 is None and file != base:
                continue
            try:
                status = os.stat(path)
            except OSError:  # a dangling link is no file of the mirror
                continue
            if size is None or status.st_size == size:
                found.append((file != base, path, status))
    if sha256 is not None:
        for _, path, status in sorted(found, key=lambda entry: entry[:2]):
            if _hash(path, status.st_size, status.st_mtime_ns) == sha256:
                return Path(path)
        return None
    if len({_hash(path, status.st_size, status.st_mtime_ns) for _, path, status in found[:16]}) > 1:
        raise UserError(
            "the mirror holds several different files of this name, and its hash is not known",
            file=folder,
            key=base,
            found=", ".join(path for _, path, _ in found[:16]),
            remedy="keep one of them, or write its sha256 into the catalogue",
        )
    return Path(found[0][1]) if found else None


@lru_cache(maxsize=100_000)
def _hash(path: str, size: int, mtime_ns: int) -> str:  # noqa: ARG001 (size and time are part of the cache's key)
    return sha256_of(path)
