"""The members of an archive or a folder, read without trusting it."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from hsipipe.errors import UserError
from hsipipe.scenes.archives import is_zip, safe_name


class Members(Protocol):
    """Files by name, without a leading `./`. `names`: in the archive's order; one that is there twice is told twice."""

    names: list[str]

    def open(self, name: str) -> IO[bytes]:
        """The content of a file, to be read once."""
        ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = []
        for folder, folders, files in os.walk(path):
            folders.sort()
            for name in sorted([*folders, *files]):
                place = Path(folder) / name
                if place.is_symlink() or not (place.is_file() or place.is_dir()):
                    raise UserError("holds a link or a device", file=path, key=str(place.relative_to(path)))
            self.names += [(Path(folder) / name).relative_to(path).as_posix() for name in sorted(files)]

    def open(self, name: str) -> IO[bytes]:
        return open(self.path / name, "rb")


class _Zip:
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self._stored: dict[str, zipfile.ZipInfo] = {}
        self.names = []
        for info in archive.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError("holds a link or a device", file=path, key=info.filename)
            name = safe_name(info.filename, path)
            if name and not info.is_dir():
                self.names.append(name)
                self._stored[name] = info

    def open(self, name: str) -> IO[bytes]:
        return self.archive.open(self._stored[name])


class _Tar:
    def __init__(self, path: Path, archive: tarfile.TarFile) -> None:
        self.archive = archive
        self._stored: dict[str, tarfile.TarInfo] = {}
        self.names = []
        for info in archive:
            if not (info.isfile() or info.isdir()):
                raise UserError("holds a link or a device", file=path, key=info.name)
            name = safe_name(info.name, path)
            if name and info.isfile():
                self.names.append(name)
                self._stored[name] = info

    def open(self, name: str) -> IO[bytes]:
        content = self.archive.extractfile(self._stored[name])
        assert content is not None
        return content


@contextmanager
def opened(path: Path) -> Iterator[Members]:
    """The members of a folder, a zip or a tar archive (also gzip, bzip2, xz).

    Raises:
        UserError: nothing of these; a member whose name leaves the folder that it is unpacked to, a link or a device.
    """
    if path.is_dir():
        yield _Folder(path)
    elif is_zip(path):
        with zipfile.ZipFile(path) as archive:
            yield _Zip(path, archive)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path, "r:*") as tar:
            yield _Tar(path, tar)
    else:
        raise UserError("is no bundle: neither a zip nor a tar archive, or cut off", file=path)
