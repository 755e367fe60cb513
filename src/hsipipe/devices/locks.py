"""Locks on devices that the kernel frees when their holder ends, however it ends.

A job that has a device to itself locks the device's file alone; jobs that share it lock that file together, and each
holds a file of its own in which its share is written. The shares of a device are those whose files are locked.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hsipipe.errors import UserError


@dataclass(frozen=True)
class Lock:
    """Devices that are locked for as long as the files are open."""

    entries: tuple[str, ...]
    files: tuple[IO[str], ...]


def lock_folder() -> Path:
    """The folder of lock files: per user and per host (flock is not reliable on network file systems)."""
    folder = Path(tempfile.gettempdir()) / f"hsipipe-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError("belongs to another user", file=folder, remedy="set TMPDIR to a folder of your own")
    return folder


def lock_whole(folder: Path, names: Mapping[str, str], count: int) -> Lock | None:
    """Lock `count` of the devices (entry -> name), each for this process alone; all of them or none (None)."""
    taken: dict[str, IO[str]] = {}
    for entry, name in names.items():
        file = _locked(_device_file(folder, name), fcntl.LOCK_EX)
        if file is not None:
            taken[entry] = file
        if len(taken) == count:
            break
    if len(taken) < count:
        for file in taken.values():
            file.close()
        return None
    for file in taken.values():
        _tell(file, f"{os.getpid()}\n")
    return Lock(tuple(taken), tuple(taken.values()))


def lock_share(folder: Path, names: Mapping[str, str], memory_mb: Mapping[str, int], share_mb: int) -> Lock | None:
    """Lock a share of that device (entry -> name) which has most memory left; None if no device has enough.

    Args:
        folder: of the locks.
        names: entry -> name of the device.
        memory_mb: entry -> memory of the device, MiB.
        share_mb: what this process will use at most, MiB.
    """
    with _guarded(folder):
        left = {entry: memory_mb[entry] - sum(shares(folder, name)) for entry, name in names.items()}
        for entry in sorted(names, key=lambda entry: -left[entry]):
            if left[entry] < share_mb:
                continue
            device = _locked(_device_file(folder, names[entry]), fcntl.LOCK_SH)
            if device is None:
                continue  # a job has it to itself
            # The number of the process alone would not do: numbers come back, and the file of a dead one is removed.
            own = tempfile.NamedTemporaryFile(  # noqa: SIM115 -- open for as long as the share is held
                "w", dir=folder, prefix=f"{_file_name(names[entry])}.share-", delete=False
            )
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _tell(own, f"{share_mb} {os.getpid()}\n")
            return Lock((entry,), (device, own))
    return None


def shares(folder: Path, name: str) -> list[int]:
    """The shares of a device that are held, MiB; files of holders that ended are removed. Call it under the guard."""
    found = []
    for path in folder.glob(f"{_file_name(name)}.share-*"):
        with open(path, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(int(file.read().split()[0]))
            else:
                path.unlink()
    return found


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """One process at a time counts shares and adds its own."""
    with open(folder / "shares.guard", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _locked(path: Path, kind: int) -> IO[str] | None:
    """The file, open and locked, or None if another process holds it."""
    # Append mode: opening must not erase the holder's number before the lock is ours.
    file: IO[str] = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _tell(file: IO[str], text: str) -> None:
    """Write who holds a lock, for people who look; the lock, not the text, is what counts."""
    file.truncate(0)
    file.write(text)
    file.flush()


def _device_file(folder: Path, name: str) -> Path:
    return folder / f"{_file_name(name)}.lock"


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "_", name)
