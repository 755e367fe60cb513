"""`verify`: whether a bundle is what was bundled, and whether what it shows follows from its scores."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from hsipipe.errors import UserError
from hsipipe.provenance.bundle import FORMAT
from hsipipe.provenance.members import Members, opened
from hsipipe.provenance.places import MANIFEST
from hsipipe.provenance.recompute import recompute
from hsipipe.scenes.archives import GROWTH, LEAST_LIMIT, safe_name

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
MOST_MANIFEST_BYTES = 1 << 28
# What tables and claims are made of, and what tells of it.
TEXTS = (".csv", ".json", ".md", ".tex", ".html")

Files = Mapping[str, Mapping[str, Any]]


@dataclass
class Verdict:
    """What was found of a bundle.

    Attributes:
        about: what its manifest says besides the files.
        files: how many it lists. recomputed: the tables and claims that were computed anew.
        problems: what is missing, altered, added or does not agree, a line each; none if the bundle is good.
    """

    about: dict[str, Any]
    files: int = 0
    recomputed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def verify(bundle: str | Path) -> Verdict:
    """Check every hash of a bundle, that nothing is missing or added, and its tables against its scores.

    Args:
        bundle: an archive, or the folder that one was unpacked to.

    Raises:
        UserError: no bundle at all, or one with names that leave the folder that it is unpacked to.
    """
    path = Path(bundle)
    remedy = "give an archive that `hsipipe bundle` wrote, or the folder that it was unpacked to"
    if not path.exists():
        raise UserError("does not exist", file=path, remedy=remedy)
    try:
        with opened(path) as members, tempfile.TemporaryDirectory(prefix="hsipipe-verify-") as folder:
            if MANIFEST not in members.names:
                raise UserError(f"is no bundle: it has no {MANIFEST}", file=path, remedy=remedy)
            manifest = _read_manifest(members, path)
            files = manifest.pop("files")
            verdict = Verdict(manifest, files=len(files))
            verdict.problems += _names(members, files)
            for name in members.names:  # in their order: a packed tar is read once from end to end
                if name in files:
                    verdict.problems += _content(members, name, files[name], Path(folder))
            if not verdict.problems:
                verdict.problems, verdict.recomputed = recompute(Path(folder), files)
    except DAMAGED as error:
        raise UserError("is a damaged archive", file=path, found=str(error)) from error
    return verdict


def _read_manifest(members: Members, path: Path) -> dict[str, Any]:
    """The manifest; what it lists has names that stay in the folder, and sizes that such an archive can have."""
    try:
        with members.open(MANIFEST) as file:
            manifest = json.loads(file.read(MOST_MANIFEST_BYTES))
        found, files = manifest.get("format"), manifest["files"]
        complete = all(isinstance(entry["sha256"], str) and entry["bytes"] >= 0 for entry in files.values())
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError("has a damaged manifest", file=path, key=MANIFEST, found=str(error)) from error
    if found != FORMAT or not complete:
        raise UserError(f"is no bundle of format {FORMAT}", file=path, found=found)
    for name in files:
        safe_name(name, path)
    size = sum(entry["bytes"] for entry in files.values())
    if path.is_file() and size > max(GROWTH * path.stat().st_size, LEAST_LIMIT):
        raise UserError("would unpack to far more than it holds", file=path, found=f"{size} bytes")
    return dict(manifest)


def _names(members: Members, files: Files) -> list[str]:
    """Members that are missing, added or there several times."""
    listed, there = {*files, MANIFEST}, {*members.names}
    problems = [f"{name}: missing" for name in sorted(listed - there)]
    problems += [f"{name}: added, the manifest does not list it" for name in sorted(there - listed)]
    counts = {name: members.names.count(name) for name in there} if len(there) < len(members.names) else {}
    return problems + [f"{name}: there {count} times" for name, count in sorted(counts.items()) if count > 1]


def _content(members: Members, name: str, entry: Mapping[str, Any], folder: Path) -> list[str]:
    """Compare a member with the manifest; keep a copy of those that tables are computed from."""
    digest, size = hashlib.sha256(), 0
    keeps = PurePosixPath(name).suffix in TEXTS
    place = folder / name if keeps else Path("/dev/null")
    if keeps:
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with members.open(name) as member, open(place, "wb") as copy:
            # A member that unpacks to more than its entry says is not read to its end.
            while size <= entry["bytes"] and (chunk := member.read(1 << 20)):
                digest.update(chunk)
                size += copy.write(chunk)
    except DAMAGED as error:
        return [f"{name}: damaged ({error})"]
    if size != entry["bytes"]:
        more = "more than " if size > entry["bytes"] else ""
        return [f"{name}: altered, {more}{min(size, entry['bytes'])} bytes instead of {entry['bytes']}"]
    return [] if digest.hexdigest() == entry["sha256"] else [f"{name}: altered, its sha256 is another one"]
