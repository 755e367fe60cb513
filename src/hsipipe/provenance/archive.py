"""Archives written so that equal files give equal bytes: zip, tar and tar.gz."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from hsipipe.errors import UserError
from hsipipe.files import atomic_path

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip archive can tell; the same for all members
EARLIEST_S = 315532800  # the same, in seconds since 1970
MODE = 0o644


class _Writer(Protocol):
    def add(self, name: str, size_bytes: int, content: IO[bytes]) -> None: ...


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive

    def add(self, name: str, size_bytes: int, content: IO[bytes]) -> None:
        info = zipfile.ZipInfo(name, EARLIEST)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system = 3  # Unix, wherever it is made
        info.external_attr = (0o100000 | MODE) << 16
        with self.archive.open(info, "w", force_zip64=size_bytes > 2**30) as member:
            shutil.copyfileobj(content, member, 1 << 20)


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self.archive = archive

    def add(self, name: str, size_bytes: int, content: IO[bytes]) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size_bytes, EARLIEST_S, MODE
        self.archive.addfile(info, content)


def check_ending(target: Path) -> None:
    """Refuse a name that tells no kind of archive."""
    if not target.name.lower().endswith(ENDINGS):
        raise UserError("a bundle is a zip or tar archive", file=target, remedy=f"name it {' or '.join(ENDINGS)}")


def write_archive(target: Path, members: Mapping[str, Path | bytes]) -> None:
    """Write an archive, of the kind that its name ends with; its members in the order given.

    Args:
        target: written whole or not at all.
        members: name to file, or to content.
    """
    with atomic_path(target) as temporary, _opened(temporary, target.name.lower()) as writer:
        for name, content in members.items():
            if isinstance(content, bytes):
                writer.add(name, len(content), io.BytesIO(content))
            else:
                with open(content, "rb") as file:
                    writer.add(name, content.stat().st_size, file)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[_Writer]:
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            yield _Zip(archive)
    elif name.endswith(".tar"):
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as plain:
            yield _Tar(plain)
    else:
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            yield _Tar(tar)
