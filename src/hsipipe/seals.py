"""Seals: what a step wrote, by its SHA-256, so that a result that was changed afterwards is noticed before it is used.

A seal stands beside its file, in `.seals`. It also holds the size and the times of the file when its content was last
found right: as long as these stay, the content is not read again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.files import sha256_of, write_json, write_text

FOLDER = ".seals"
HOME = Path(".snakemake/hsipipe-home")
"""Names the folder of a study. Snakemake's records of settings and code lie beside it; without them, results are alien."""
SKEW_S = 60.0  # a file server's clock may be ahead of ours by so much


@dataclass(frozen=True)
class Seal:
    """What is known of a file.

    Attributes:
        sha256: of its content, in hexadecimal.
        size: bytes.
        mtime_ns, ctime_ns: its times when the content was last found to be this one.
        written_ns: its time of change when the step had written it.
        home: the study folder that it was made in, or nothing.
    """

    sha256: str
    size: int
    mtime_ns: int
    ctime_ns: int
    written_ns: int
    home: str


def seal_path(path: str | Path) -> Path:
    """Where the seal of a file stands."""
    path = Path(path)
    return path.parent / FOLDER / f"{path.name}.json"


def read_home() -> str:
    """The name of the study folder that this process works in; empty before its first run."""
    return HOME.read_text(encoding="utf-8").strip() if HOME.is_file() else ""


def make_home() -> None:
    """Give the study folder a name, unless it has one."""
    if not read_home():
        write_text(HOME, f"{os.urandom(8).hex()}\n")


def remove_seal(path: str | Path) -> None:
    """Forget what is known of a file: it is about to be written anew."""
    seal_path(path).unlink(missing_ok=True)


def write_seal(path: str | Path) -> None:
    """Seal a file that was just written."""
    digest, found = sha256_of(path), os.stat(path)
    seal = Seal(digest, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mtime_ns, read_home())
    write_json(seal_path(path), asdict(seal))


def read_seal(path: str | Path) -> Seal | None:
    """The seal of a file, or None if it has none.

    Raises:
        UserError: the seal itself is damaged.
    """
    place = seal_path(path)
    try:
        return Seal(**json.loads(place.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise UserError(
            "cannot be read, so nothing is known of the file that it seals",
            file=place,
            found=str(error),
            remedy=f"delete {path} to have it made again: rm {place} {path}",
        ) from error


def check_seal(path: str | Path) -> Seal | None:
    """Make sure that a file is as the step that made it left it; one without a seal, or that is not there, passes.

    Returns:
        Its seal.

    Raises:
        UserError: the content is another one.
    """
    seal = read_seal(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if seal is None or (found.st_size, found.st_mtime_ns, found.st_ctime_ns) == (
        seal.size,
        seal.mtime_ns,
        seal.ctime_ns,
    ):
        return seal
    remedy = f"delete it to have it made again: rm {path}"
    if found.st_size != seal.size:
        told = f"{found.st_size:,} bytes instead of {seal.size:,}"
        raise UserError("was changed after its step had written it", file=path, found=told, remedy=remedy)
    if sha256_of(path) != seal.sha256:
        raise UserError("was changed after its step had written it", file=path, found="other content", remedy=remedy)
    _keep_times(path, seal, found)
    return seal


def _keep_times(path: str | Path, seal: Seal, found: os.stat_result) -> None:
    """Note the times at which a content was found right; where results are read-only, it is found again each time."""
    if os.access(seal_path(path), os.W_OK):
        times = {"mtime_ns": found.st_mtime_ns, "ctime_ns": found.st_ctime_ns}
        write_json(seal_path(path), {**asdict(seal), **times})


def sealed_files(roots: Iterable[str | Path]) -> Iterator[Path]:
    """The files below some folders that have a seal and are there."""
    for root in roots:
        for folder, folders, names in os.walk(root):
            if Path(folder).name != FOLDER:
                continue
            folders.clear()
            for name in sorted(names):
                path = Path(folder).parent / name.removesuffix(".json")
                if name.endswith(".json") and not name.startswith(".") and path.is_file():
                    yield path


def check_results(roots: Iterable[str | Path]) -> list[UserError]:
    """Check all sealed files below some folders before a run, and bring dates in the future back to the present.

    A date in the future comes from a clock that was wrong; every step that reads such a file would run again for ever.

    Returns:
        What is wrong with them.
    """
    problems: list[UserError] = []
    home = read_home()
    alien: list[Path] = []
    for path in sealed_files(roots):
        try:
            seal = check_seal(path)
        except UserError as error:
            problems.append(error)
            continue
        if seal is None:
            continue
        if seal.home and seal.home != home:
            alien.append(path)
        now = time.time_ns()
        found = path.stat()
        if found.st_mtime_ns > now + SKEW_S * 1e9 and os.access(path, os.W_OK):
            sane = min(now, seal.written_ns)
            os.utime(path, ns=(sane, sane))
            _keep_times(path, seal, path.stat())
    if alien:
        problems.append(
            UserError(
                "was made in another folder, and with which settings and code is recorded there, not here",
                file=alien[0],
                found=f"{len(alien)} such files",
                remedy=f"bring the folder .snakemake along from there, or delete {Path(alien[0]).parts[0]}",
            )
        )
    return problems
