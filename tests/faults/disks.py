"""Disks that are full or read-only, and files that are not as they were written."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import tempfile
from pathlib import Path

import h5py

DISK = "size=64m"


def can_mount() -> bool:
    """Whether this user may mount a small disk in memory."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
    return True


def mount_disk(folder: Path) -> None:
    """Put a small disk of its own at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "none", str(folder)], check=True)


def make_read_only(folder: Path) -> None:
    """Make a folder read-only for whoever opens a file in it from now on."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)


def unmount(folder: Path) -> bool:
    """Take away what was mounted last at a folder; whether there was something."""
    answer = subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
    return answer.returncode == 0


def fill(folder: Path) -> Path:
    """Fill the disk that a folder lies on, to the last byte; the file that does it."""
    filler = folder / "somebody-elses-data"
    with open(filler, "ab", buffering=0) as file:
        piece = 2**20
        while piece:
            try:
                if file.write(b"\0" * piece) < piece:
                    piece //= 2
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece //= 2
    return filler


def corrupt(path: Path, how: str, rng: random.Random) -> None:
    """Damage a file in place: cut it off, empty it, or flip one of its bits."""
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: rng.randrange(1, len(content))]
    elif how == "emptied":
        content = bytearray()
    elif how == "bit-flipped":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    else:
        raise ValueError(how)
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()


def edit_number(path: Path) -> str:
    """Change the first number of the largest array of real numbers in an HDF5 file; what was changed."""
    with h5py.File(path, "r+") as file:
        arrays: list[h5py.Dataset] = []
        file.visititems(lambda _, node: arrays.append(node) if isinstance(node, h5py.Dataset) else None)
        array = max((array for array in arrays if array.dtype.kind == "f" and array.size), key=lambda array: array.size)
        first = (0,) * array.ndim
        array[first] = array[first] + 1
        return f"{array.name}{list(first)} made larger by 1"


def shift_times(paths: list[Path], seconds: float) -> None:
    """Move the dates of files, as a clock that was wrong would have."""
    for path in paths:
        found = path.lstat()
        moved = found.st_mtime_ns + int(seconds * 1e9)
        os.utime(path, ns=(moved, moved), follow_symlinks=False)
