"""Which files of a folder are specimens, which are references, and which stand alone."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.files import sha256_of
from hsipipe.scenes.readers import open_image
from hsipipe.scenes.readers.envi import find_header
from hsipipe.scenes.readers.envi_header import is_envi_header, read_envi_header
from hsipipe.scenes.readers.image import ImageFile

DATA_SUFFIXES = (".bil", ".bsq", ".bip", ".raw")
CHECKSUMS = ("SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt")
_REFERENCES = (
    re.compile(r"^(?:(?P<session>.+)[-_.])?(?P<which>white|dark)(?:[-_. ]?ref(?:erence)?)?$", re.IGNORECASE),
    re.compile(r"^(?P<which>white|dark)[-_. ]?ref(?:erence)?[-_.](?P<session>.+)$", re.IGNORECASE),
)
_MASK = re.compile(r"[-_.]mask$", re.IGNORECASE)


@dataclass
class FolderFiles:
    """ENVI files of a folder and the folders in it, in order of names.

    Attributes:
        root: the folder.
        specimens: data file -> header.
        references: (session or "", `white` or `dark`) -> header.
        data_alone: data files without a header; headers_alone: headers without data.
        checksums: data file (relative, POSIX) -> SHA-256 that the folder's SHA256SUMS gives.
    """

    root: Path
    specimens: dict[Path, Path] = field(default_factory=dict)
    references: dict[tuple[str, str], Path] = field(default_factory=dict)
    data_alone: list[Path] = field(default_factory=list)
    headers_alone: list[Path] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)


def list_files(folder: str | Path, *, specimens: Collection[str] = ()) -> FolderFiles:
    """Pair the data files of a folder with their headers: x.bil with x.bil.hdr or x.hdr, x.raw with x.hdr or x.raw.hdr.

    References are called `white`, `dark`, `SESSION_white`, `SESSION_dark_ref`, `whiteReference`, `white_ref_SESSION`
    and the like; masks (`x_mask`) belong to their specimen and are left out here.

    Args:
        folder: looked through with the folders in it; hidden files are passed over.
        specimens: names of files that are specimens whatever they look like.

    Raises:
        UserError: no folder, two references of the same session, or a broken list of checksums.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError("is not a folder" if root.exists() else "does not exist", file=root)
    found = FolderFiles(root)
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not _hidden(path, root)]
    used: set[Path] = set()
    for header in files:
        if header.suffix.lower() != ".hdr" or not is_envi_header(header):
            continue
        data = _data_of(header, files)
        if data is None:
            found.headers_alone.append(header)
        elif data in used:
            raise UserError("has two headers", file=data, found=header.name, remedy="remove one of them")
        elif not _MASK.search(_stem(data)):
            used.add(data)
            if (key := None if _stem(data) in specimens else reference_of(_stem(data))) is None:
                found.specimens[data] = header
            elif key in found.references:
                raise UserError("is a second reference of its kind and session", file=data, key=key[1])
            else:
                found.references[key] = header
    for path in files:
        if path.suffix.lower() in DATA_SUFFIXES and path not in used and not _MASK.search(path.stem):
            found.data_alone.append(path)
    found.checksums = _read_checksums(root)
    return found


def reference_of(stem: str) -> tuple[str, str] | None:
    """(session or "", `white` or `dark`) of a reference's name, or None.

    >>> reference_of("darkReference"), reference_of("session-1_white"), reference_of("Pieris white_1D_040917")
    (('', 'dark'), ('session-1', 'white'), None)
    """
    for pattern in _REFERENCES:
        if match := pattern.match(stem):
            return match["session"] or "", match["which"].lower()
    return None


def open_specimen(header: Path, data: Path, *, checksum: str | None = None) -> tuple[ImageFile, str]:
    """Open a specimen and hash its data, whose size must be what the header says.

    Args:
        header, data: the pair.
        checksum: SHA-256 that the data must have, or None.

    Returns:
        The opened image (not yet read), and the SHA-256 of its data.

    Raises:
        UserError: another size, another hash, or a header that cannot be used.
    """
    about = read_envi_header(header)
    bands, rows, cols = about.shape
    expected, size = about.offset + rows * cols * bands * about.dtype.itemsize, data.stat().st_size
    if size != expected and not about.compressed:
        raise UserError(
            "has another size than its header says",
            file=data,
            found=f"{size:,} bytes, {expected:,} expected = {about.offset} + {rows} lines x {cols} samples x "
            f"{bands} bands x {about.dtype.itemsize} bytes",
            remedy=f"fetch it again or correct {header.name}",
        )
    digest = sha256_of(data)
    if checksum is not None and digest != checksum:
        raise UserError(
            "has another SHA-256 than the folder's list of checksums says",
            file=data,
            found=f"{digest[:12]}..., {checksum[:12]}... expected",
            remedy="fetch it again",
        )
    return open_image(header), digest


def find_mask(data: Path) -> Path | None:
    """The mask file of a specimen, `x_mask.*` beside `x.*`, in any format that holds a label map."""
    stem = _stem(data)
    for path in sorted(data.parent.iterdir()):
        if not path.is_file() or path.suffix.lower() in (".xml", ".hdr"):
            continue
        for name in (path.stem, _stem(path)):
            if _MASK.search(name) and _MASK.sub("", name) == stem:
                header = find_header(path) if path.suffix.lower() in (*DATA_SUFFIXES, "") else None
                return header or path
    return None


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _stem(path: Path) -> str:
    """The name without a data suffix: specimens' names may hold dots of their own."""
    return path.stem if path.suffix.lower() in DATA_SUFFIXES else path.name


def _data_of(header: Path, files: list[Path]) -> Path | None:
    """The data file of a header: x for x.hdr if x is a data file, else x.bil, x.bsq, x.bip, x.raw, else the bare x."""
    base = header.with_suffix("")
    if base.suffix.lower() in DATA_SUFFIXES:
        return base if base.is_file() else None
    candidates = [path for path in files if path.parent == base.parent and path.stem == base.name]
    for suffix in DATA_SUFFIXES:
        for path in candidates:
            # A data file that has a header of its own name belongs to that one.
            if path.suffix.lower() == suffix and not path.with_name(path.name + ".hdr").is_file():
                return path
    return base if base.is_file() else None


def _read_checksums(root: Path) -> dict[str, str]:
    for name in CHECKSUMS:
        path = root / name
        if not path.is_file():
            continue
        sums = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.strip():
                continue
            match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](?:\./)?(.+)", line)
            if match is None:
                raise UserError("is no list of SHA-256 checksums", file=path, found=line[:60])
            sums[match[2]] = match[1].lower()
        return sums
    return {}
