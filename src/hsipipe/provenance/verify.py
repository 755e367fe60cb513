"""`verify`: whether a bundle is what was bundled, and whether its tables follow from its scores."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from hsipipe.errors import UserError
from hsipipe.provenance.bundle import FORMAT, MANIFEST
from hsipipe.provenance.numbers import disagreements
from hsipipe.provenance.steps import FOLDER, record_path
from hsipipe.scenes.archives import safe_name, unpack

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


@dataclass
class Verdict:
    """What was found of a bundle.

    Attributes:
        about: what its manifest says besides the files.
        files: how many it lists. tables: how many were computed anew.
        problems: what is missing, altered, added or does not agree, a line each; none if the bundle is good.
    """

    about: dict[str, Any]
    files: int = 0
    tables: int = 0
    problems: list[str] = field(default_factory=list)


def verify(bundle: str | Path) -> Verdict:
    """Check every hash of a bundle, that nothing is missing or added, and its tables against its scores.

    Raises:
        UserError: no bundle at all, or one with names that leave the folder that it is unpacked to.
    """
    path = Path(bundle)
    if not path.is_file():
        raise UserError("does not exist", file=path, remedy="give an archive that `hsipipe bundle` wrote")
    if not zipfile.is_zipfile(path):
        raise UserError("is no bundle: not a zip archive, or cut off", file=path)
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _read_manifest(archive, path)
            files = manifest.pop("files")
            verdict = Verdict(manifest, files=len(files))
            _check_names(archive, files, verdict, path)
            _check_contents(archive, files, verdict)
    except _DAMAGED as error:
        raise UserError("is a damaged archive", file=path, found=str(error)) from error
    if not verdict.problems:
        _check_tables(path, files, verdict)
    return verdict


def _read_manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    remedy = "give an archive that `hsipipe bundle` wrote"
    if MANIFEST not in archive.namelist():
        raise UserError(f"is no bundle: it has no {MANIFEST}", file=path, remedy=remedy)
    try:
        manifest = json.loads(archive.read(MANIFEST))
        found = manifest.get("format")
        complete = all("sha256" in entry and "bytes" in entry for entry in manifest["files"].values())
    except (ValueError, AttributeError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError("has a damaged manifest", file=path, key=MANIFEST, found=str(error), remedy=remedy) from error
    if found != FORMAT or not complete:
        raise UserError(f"is no bundle of format {FORMAT}", file=path, found=found, remedy=remedy)
    return dict(manifest)


def _check_names(archive: zipfile.ZipFile, files: dict[str, Any], verdict: Verdict, path: Path) -> None:
    names = [info.filename for info in archive.infolist()]
    for name in names:
        safe_name(name, path)
    listed = {*files, MANIFEST}
    verdict.problems += [f"{name}: missing" for name in sorted(listed.difference(names))]
    verdict.problems += [f"{name}: added, the manifest does not list it" for name in sorted({*names} - listed)]
    verdict.problems += [
        f"{name}: there {names.count(name)} times" for name in sorted({*names}) if names.count(name) > 1
    ]


def _check_contents(archive: zipfile.ZipFile, files: dict[str, Any], verdict: Verdict) -> None:
    present = set(archive.namelist())
    for name, entry in files.items():
        if name not in present:
            continue
        digest, size = hashlib.sha256(), 0
        try:
            with archive.open(name) as member:
                # A member that unpacks to more than its entry says is not read to its end.
                while size <= entry["bytes"] and (chunk := member.read(1 << 20)):
                    digest.update(chunk)
                    size += len(chunk)
        except _DAMAGED as error:
            verdict.problems.append(f"{name}: damaged ({error})")
            continue
        if size != entry["bytes"]:
            more = "more than " if size > entry["bytes"] else ""
            verdict.problems.append(f"{name}: altered, {more}{min(size, entry['bytes'])} bytes for {entry['bytes']}")
        elif digest.hexdigest() != entry["sha256"]:
            verdict.problems.append(f"{name}: altered, its sha256 is not that of the manifest")


def _check_tables(path: Path, files: dict[str, Any], verdict: Verdict) -> None:
    """Compute the tables anew from the scores, and the joined scores from those of the runs."""
    with tempfile.TemporaryDirectory(prefix="hsipipe-verify-") as folder:
        root = Path(folder)
        unpack(path, root)
        tables = [
            name
            for name in files
            if PurePosixPath(name).parent.name == "tables" and name.endswith(".csv") and not name.endswith("_cost.csv")
        ]
        for name in sorted(tables):
            scores = PurePosixPath(name).parent.parent / "scores.csv"
            record = root / record_path("write_table", name)
            task = (
                json.loads(record.read_text(encoding="utf-8"))["params"]["table"]["task"] if record.exists() else None
            )
            try:
                lines = disagreements(root / name, root / scores, root, task)
            except (UserError, ValueError, KeyError, OSError) as error:
                lines = [f"cannot be computed anew ({error})"]
            verdict.problems += [f"{name}: {line}".replace(f"{root}/", "") for line in lines]
            verdict.tables += 1
        verdict.problems += _unlike_runs(root, files)
        verdict.problems += _unlike_records(root, files)


def _unlike_runs(root: Path, files: dict[str, Any]) -> list[str]:
    """Joined scores that hold other rows than the runs' own."""
    problems = []
    for joined in sorted(name for name in files if PurePosixPath(name).match("results/papers/*/scores.csv")):
        header, *rows = (root / joined).read_text(encoding="utf-8").splitlines()
        runs: dict[tuple[str, ...], list[str]] = {}
        column = header.split(",").index
        of_run = [column(name) for name in ("task", "case", "variant", "seed")]
        for row in rows:
            cells = row.split(",")
            runs.setdefault(tuple(cells[place] for place in of_run), []).append(row)
        for (task, case, variant, seed), own in runs.items():
            name = f"results/{task}/{case}/{variant}/seed{seed}/scores.csv"
            if name not in files:
                problems.append(f"{joined}: has scores of a run that is not in the bundle, {name}")
            elif (root / name).read_text(encoding="utf-8").splitlines()[1:] != own:
                problems.append(f"{joined}: has other scores than {name}")
    return problems


def _unlike_records(root: Path, files: dict[str, Any]) -> list[str]:
    """Files whose content is not what the record of the step that made them says."""
    problems = []
    for name in files:
        if PurePosixPath(name).parent.name != FOLDER:
            continue
        for entry in json.loads((root / name).read_text(encoding="utf-8"))["outputs"]:
            bundled = files.get(entry["path"])
            if bundled is not None and bundled["sha256"] != entry["sha256"]:
                problems.append(f"{entry['path']}: is not what its record {name} says was made")
    return problems
