"""Files that are whole or absent: written to a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its extension; rename it to `path` on success, remove it on failure.

    The parent folder is made. The rename is atomic on one file system, so readers see the old file or the new one.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def scratch_file(path: str | Path) -> Iterator[Path]:
    """Yield `path` for a file that is needed within the block only.

    It is removed at the end, and at the start if a process that was killed left it or its temporary name (that of
    `atomic_path`); nobody else may be writing it.
    """
    target = Path(path)
    try:
        _remove_with_temporaries(target)
        yield target
    finally:
        _remove_with_temporaries(target)


def _remove_with_temporaries(target: Path) -> None:
    for path in [target, *target.parent.glob(f".{target.stem}.*{target.suffix}")]:
        path.unlink(missing_ok=True)


@contextmanager
def fresh_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it takes the place of `path`, and of all in it, on success."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(path: str | Path) -> None:
    """Remove the temporary files of `path` that killed processes left; nobody else may be writing it."""
    target = Path(path)
    if not target.parent.is_dir():
        return
    pattern = re.compile(rf"\.{re.escape(target.stem)}\.[0-9a-f]{{8}}{re.escape(target.suffix)}")
    for other in target.parent.iterdir():
        if pattern.fullmatch(other.name):
            other.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")


def copy_file(source: str | Path, target: str | Path) -> None:
    """Copy a file's content, atomically."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal, read in 1 MiB pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
