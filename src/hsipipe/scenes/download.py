"""Scenes brought to this machine: from a local mirror or the network, checked by their hash."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.files import sha256_of, write_text
from hsipipe.scenes.catalogue import RECORD_NAME, SceneEntry, SceneFile
from hsipipe.scenes.mirror import VARIABLE, find_in_mirror, mirror_folder
from hsipipe.scenes.transfer import TransferError, fetch, forget

_RECORD_COLUMNS = "file\tsha256\tbytes\tfrom"


def download_scene(
    entry: SceneEntry,
    folder: str | Path,
    *,
    mirror: str | Path | None = None,
    recorded: str | Path | None = None,
    progress: bool = True,
) -> list[Path]:
    """Bring all files of a scene to `folder`; those already there with the right hash are kept.

    A file comes from the local mirror if it is there (found by SHA-256 under any name), otherwise from its URL,
    otherwise from the URL's mirror, resumed where an earlier transfer broke off. It gets its name only when size and
    hash are right. Where the catalogue knows no hash, that of the first download is recorded and enforced from then on.

    Args:
        entry: from `read_catalogue`.
        folder: made if need be; sub-folders as the entry's file names say.
        mirror: a local folder; default: the environment variable HSIPIPE_MIRROR, if set.
        recorded: where hashes are recorded; default: `recorded.sha256.tsv` in `folder`.
        progress: show a bar on standard error for each transfer.

    Returns:
        The files, each once, in the catalogue's order.

    Raises:
        UserError: neither mirror nor network has a file, or it has the wrong size or hash (it is then removed).
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    record_path = Path(recorded) if recorded is not None else target / RECORD_NAME
    local = mirror_folder(mirror)
    paths = []
    for file in entry.downloads:
        path = target / file.file
        records = read_records(record_path)
        expected = file.sha256 or (records[file.file][0] if file.file in records else None)
        origin = "already there"
        if not _is_right(path, expected, file.bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            origin = _bring(file, path, expected, local, progress)
        if file.sha256 is None and file.file not in records:
            records[file.file] = (sha256_of(path), path.stat().st_size, origin)
            _write_records(record_path, records)
            print(f"{path}: sha256 recorded in {record_path.name}, enforced from now on", file=sys.stderr)
        paths.append(path)
    return paths


def read_records(path: str | Path) -> dict[str, tuple[str, int, str]]:
    """Recorded hashes: file -> (sha256, bytes, where it came from); empty if there is no such table.

    Raises:
        UserError: the table is malformed.
    """
    if not Path(path).exists():
        return {}
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    records = {}
    for number, line in enumerate(lines[1:], 2):
        cells = line.split("\t")
        if len(cells) != 4 or len(cells[1]) != 64 or not cells[2].isdigit():
            raise UserError("malformed record of a hash", file=f"{path}:{number}", remedy="remove the line")
        records[cells[0]] = (cells[1], int(cells[2]), cells[3])
    return records


def _write_records(path: Path, records: dict[str, tuple[str, int, str]]) -> None:
    rows = [f"{file}\t{sha256}\t{size}\t{origin}" for file, (sha256, size, origin) in records.items()]
    write_text(path, "\n".join([_RECORD_COLUMNS, *rows]) + "\n")


def _is_right(path: Path, expected: str | None, size: int | None) -> bool:
    """Whether the file is there as it should be; without a known hash, being there is enough."""
    if not path.is_file() or (size is not None and path.stat().st_size != size):
        return False
    return expected is None or sha256_of(path) == expected


def _bring(file: SceneFile, path: Path, expected: str | None, local: Path | None, progress: bool) -> str:
    """Put the file in its place and say where it came from."""
    part = path.with_name(path.name + ".part")
    failures: list[str] = []
    if local is not None:
        source = find_in_mirror(local, name=file.file, sha256=expected, size=file.bytes)
        if source is not None:
            found = _copy(source, part)
            if expected in (None, found):
                _finish(part, path)
                return str(source)
            forget(part)
            failures.append(f"{source}: changed while it was copied")
        else:
            failures.append(f"{local}: not there")
    wrong: tuple[str, str] | None = None
    for url in filter(None, (file.url, file.mirror)):
        try:
            found = _fetch_and_hash(url, part, file, expected, progress)
        except TransferError as error:
            failures.append(f"{url}: {error}")
            continue
        if expected in (None, found):
            _finish(part, path)
            return url
        forget(part)
        wrong = (url, found)
    if wrong is not None:
        raise UserError(
            f"what {wrong[0]} serves is not the file that is expected (sha256 {expected}), and was removed",
            file=path,
            key="sha256",
            found=wrong[1],
            remedy="the provider's file has changed or was damaged on the way: try again, or serve the right file "
            f"from a local folder with `--config mirror=DIR` or {VARIABLE}=DIR",
        )
    raise UserError(
        "could not be had",
        file=path,
        found="; ".join(failures),
        remedy="without a network, serve the file from a local folder (any name, it is found by its hash): "
        f"`--config mirror=DIR` or {VARIABLE}=DIR",
    )


def _fetch_and_hash(url: str, part: Path, file: SceneFile, expected: str | None, progress: bool) -> str:
    resumed = part.exists()
    fetch(url, part, limit=file.bytes, resumable=expected is not None, progress=progress)
    found = sha256_of(part)
    if resumed and expected not in (None, found):  # the two halves may be of different files: once more, whole
        forget(part)
        fetch(url, part, limit=file.bytes, resumable=False, progress=progress)
        found = sha256_of(part)
    return found


def _finish(part: Path, path: Path) -> None:
    os.replace(part, path)
    forget(part)


def _copy(source: Path, part: Path) -> str:
    """Copy and hash in one pass.

    A copy, not a link: a link would share its time stamps and permissions with the mirror, which workflows change.
    """
    digest = hashlib.sha256()
    with open(source, "rb") as reader, open(part, "wb") as writer:
        while chunk := reader.read(1 << 20):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()
