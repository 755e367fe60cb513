"""The catalogue of downloadable scenes: `config/scenes.tsv`, one row per file and role."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from hsipipe.errors import UserError, unknown

COLUMNS = ("scene", "file", "role", "key", "url", "mirror", "sha256", "bytes", "licence", "note")
ROLES = ("image", "labels", "endmembers", "abundances", "header", "wavelengths", "archive")
SCHEMES = ("http", "https", "file")
RECORD_NAME = "recorded.sha256.tsv"


@dataclass(frozen=True)
class SceneFile:
    """One file of a scene in one role; a file that holds several arrays has a row for each.

    Attributes:
        file: name in the scene's folder; may have sub-folders (`images/tile.tif`).
        role: one of `ROLES`.
        key: the array in the file, or empty. For band centres in a text file: the 1-based bands that the image keeps,
            such as `1-103,109-149`.
        url, mirror: where it is downloaded from; mirror may be empty.
        sha256: lower-case hexadecimal, or None when it is not known yet.
        bytes: size, or None when it is not known.
        licence, note: as the provider states them.
    """

    file: str
    role: str
    key: str
    url: str
    mirror: str
    sha256: str | None
    bytes: int | None
    licence: str
    note: str


@dataclass(frozen=True)
class SceneEntry:
    """A scene of the catalogue: its name and its files in the order of the rows."""

    name: str
    files: tuple[SceneFile, ...]

    @property
    def simulated(self) -> bool:
        """Whether the scene is no measurement; such scenes are named `simulated-...`."""
        return self.name.startswith("simulated-")

    @property
    def downloads(self) -> list[SceneFile]:
        """The files to download, each once."""
        first: dict[str, SceneFile] = {}
        for file in self.files:
            first.setdefault(file.file, file)
        return list(first.values())

    def in_role(self, role: str) -> list[SceneFile]:
        """The rows of one role, in order."""
        return [file for file in self.files if file.role == role]


def read_catalogue(path: str | Path) -> dict[str, SceneEntry]:
    """Read the catalogue: tab-separated, a header row, empty lines and lines starting with # passed over.

    Returns:
        Entries by scene name, in the order of the file.

    Raises:
        UserError: a missing file, wrong columns, an unknown role, a malformed name, URL, hash or size, a repeated row,
            or rows of one file that disagree; the message names file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError("the catalogue of scenes cannot be read", file=path, found=error.strerror) from error
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]
    if not rows or tuple(rows[0][1]) != COLUMNS:
        raise UserError(
            "wrong columns",
            file=f"{path}:{rows[0][0] if rows else 1}",
            found=" ".join(rows[0][1]) if rows else "an empty file",
            remedy=f"the first row must be, separated by tabs: {' '.join(COLUMNS)}",
        )
    scenes: dict[str, list[SceneFile]] = {}
    for number, cells in rows[1:]:
        where = f"{path}:{number}"
        scene, file = _parse(cells, where)
        _check_against(scenes.setdefault(scene, []), file, where)
        scenes[scene].append(file)
    return {name: SceneEntry(name, tuple(files)) for name, files in scenes.items()}


def _parse(cells: list[str], where: str) -> tuple[str, SceneFile]:
    if len(cells) != len(COLUMNS):
        raise UserError("wrong number of cells", file=where, found=len(cells), remedy=f"{len(COLUMNS)} are needed")
    row = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))

    def demand(holds: bool, key: str, remedy: str) -> None:
        if not holds:
            raise UserError(f"malformed {key}", file=where, key=key, found=repr(row[key]), remedy=remedy)

    demand(bool(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", row["scene"])), "scene", "use a-z, 0-9, '-' and '.'")
    demand(_is_inside(row["file"]), "file", "give a path inside the scene's folder")
    if row["role"] not in ROLES:
        raise unknown("role", row["role"], ROLES, file=where)
    for key in ("url", "mirror"):
        demand(_is_address(row[key]) or (key == "mirror" and not row[key]), key, "give http(s)://... or file:///...")
    demand(
        bool(re.fullmatch(r"([0-9a-f]{64})?", row["sha256"])), "sha256", "64 lower-case hexadecimal digits, or empty"
    )
    demand(bool(re.fullmatch("([1-9][0-9]*)?", row["bytes"])), "bytes", "a positive whole number, or empty")
    return row["scene"], SceneFile(
        file=row["file"],
        role=row["role"],
        key=row["key"],
        url=row["url"],
        mirror=row["mirror"],
        sha256=row["sha256"] or None,
        bytes=int(row["bytes"]) if row["bytes"] else None,
        licence=row["licence"],
        note=row["note"],
    )


def _check_against(files: Iterable[SceneFile], new: SceneFile, where: str) -> None:
    for old in files:
        if old.file != new.file:
            continue
        if (old.role, old.key) == (new.role, new.key):
            raise UserError("the row is there twice", file=where, key=new.file, found=f"{new.role} {new.key}".strip())
        for column in ("url", "mirror", "sha256", "bytes"):
            if getattr(old, column) != getattr(new, column):
                raise UserError(
                    f"two rows of one file disagree in {column}", file=where, key=new.file, found=getattr(new, column)
                )


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        bool(name)
        and "\\" not in name
        and not path.is_absolute()
        and ".." not in path.parts
        and str(path) == name
        and name not in (".", RECORD_NAME)
        and not name.endswith((".part", ".part.json"))
    )


def _is_address(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or parts.username or parts.password or re.search(r"\s", url):
        return False
    return bool(parts.path) if parts.scheme == "file" else bool(parts.hostname)
