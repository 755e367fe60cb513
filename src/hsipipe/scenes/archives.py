"""Archives unpacked without trusting them: nothing leaves the folder, nothing grows without bound."""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from hsipipe.errors import UserError

GROWTH = 200  # unpacked bytes per packed byte: hyperspectral data compress 1.2 to 20 times, bombs 1000 times and more
LEAST_LIMIT = 1 << 30
MOST_MEMBERS = 2_000_000

_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)

Member = tuple[str, IO[bytes] | str | None]  # name and its bytes, the name it is a link to, or None for a folder


def unpack(archive: str | Path, folder: str | Path) -> list[Path]:
    """Unpack a zip or tar archive (also gzip, bzip2, xz) into a folder and return its files.

    All members are checked and unpacked beside the folder's files first, then moved among them, so that a refused
    archive leaves nothing behind. Links to files within the archive become copies; permissions and owners are not
    taken over.

    Raises:
        UserError: not an archive or a damaged one; a member with an absolute path or `..`, a link that leaves the
            folder, a device; more than 200 times (and 1 GiB) what is packed.
    """
    archive, target = Path(archive), Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    limit = max(GROWTH * archive.stat().st_size, LEAST_LIMIT)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=target) as temporary:
        root = Path(temporary)
        try:
            if is_zip(archive):
                with zipfile.ZipFile(archive) as opened:
                    names = _extract(_zip_members(opened, archive), root, archive, limit)
            else:
                with tarfile.open(archive, "r:*") as opened_tar:
                    names = _extract(_tar_members(opened_tar, archive), root, archive, limit)
        except _DAMAGED as error:
            raise UserError("cannot be unpacked as a zip or tar archive", file=archive, found=str(error)) from error
        for name in names:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(root / name, place)
    return [target / name for name in names]


def is_zip(archive: str | Path) -> bool:
    """Whether a file is a zip archive by how it begins; a tar archive that ends with a zip archive is none."""
    with open(archive, "rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")  # the second: an empty one


def _extract(members: Iterator[Member], root: Path, archive: Path, limit: int) -> list[str]:
    names: dict[str, None] = {}
    written = 0
    for count, (given, content) in enumerate(members):
        name = safe_name(given, archive)
        if count >= MOST_MEMBERS:
            raise UserError("holds too many members to be a scene", file=archive, found=f"more than {MOST_MEMBERS}")
        if name is None:
            continue
        place = root / name
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            origin = safe_name(content, archive)
            if origin is None or origin not in names:
                raise UserError("holds a link to what is not in it", file=archive, key=given, found=content)
            content = open(root / origin, "rb")  # noqa: SIM115 (closed below, as all others)
        with content, open(place, "wb") as file:
            while chunk := content.read(1 << 20):
                written += len(chunk)
                if written > limit:
                    raise UserError(
                        "unpacks to far more than it holds, as no scene does",
                        file=archive,
                        key=given,
                        found=f"more than {limit} bytes from {archive.stat().st_size}",
                        remedy="unpack it by hand if you trust it",
                    )
                file.write(chunk)
        names[name] = None
    return list(names)


def _zip_members(opened: zipfile.ZipFile, archive: Path) -> Iterator[Member]:
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError("holds a link or a device", file=archive, key=info.filename)
        yield info.filename, None if info.is_dir() else opened.open(info)


def _tar_members(opened: tarfile.TarFile, archive: Path) -> Iterator[Member]:
    for info in opened:
        if info.isdir():
            yield info.name, None
        elif info.isfile():
            content = opened.extractfile(info)
            assert content is not None
            yield info.name, content
        elif info.islnk():
            yield info.name, info.linkname
        elif info.issym():
            if PurePosixPath(info.linkname).is_absolute():
                raise UserError("holds a link that leaves the folder", file=archive, key=info.name, found=info.linkname)
            yield info.name, os.path.normpath(PurePosixPath(info.name).parent / info.linkname)
        else:
            raise UserError("holds a device or a pipe", file=archive, key=info.name)


def safe_name(name: str, archive: Path) -> str | None:
    """The name of a member relative to the folder that it is unpacked to, None for the folder itself.

    Raises:
        UserError: a name that leaves the folder.
    """
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    if unsafe or not name:
        raise UserError("holds a member that leaves the folder", file=archive, key=repr(name))
    return str(path) if path.parts else None
