"""The folder of results, its disk and file system; the workflow; and the mirror of downloads."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from hsipipe.doctor.finding import Finding
from hsipipe.errors import UserError
from hsipipe.jobs.folder import check_writable
from hsipipe.locks import NO_LOCKS

NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "afs",
    "9p",
    "fuse.sshfs",
    "fuse.glusterfs",
)
LITTLE_DISK_GB = 5.0
NEEDED_DISK_GB = 0.5  # of the demo


def check_places(folder: str | Path = ".") -> list[Finding]:
    """The workflow, the folder that results go to, its disk, and the mirror."""
    place = Path(folder).resolve()
    results = place / "results" if (place / "results").is_dir() else place
    return [_workflow(place), _permission(results), _disk(results), _file_system(results), _mirror()]


def _workflow(place: Path) -> Finding:
    from hsipipe.workflow_files import workflow_root

    try:
        root = workflow_root()
    except UserError as error:
        return Finding("workflow", str(error), "problem", "install hsipipe from its wheel, or use a checkout")
    if (place / "Snakefile").is_file():
        return Finding("workflow", f"{root}; this folder has a Snakefile")
    return Finding("workflow", f"{root}; no Snakefile in this folder", "note", "for a study: hsipipe init FOLDER")


def _permission(results: Path) -> Finding:
    try:
        check_writable(results)
    except OSError as error:
        remedy = "make the folder writable, or work in another"
        return Finding("results", f"{results}: {error.strerror}", "problem", remedy)
    return Finding("results", f"{results} can be written to")


def _disk(results: Path) -> Finding:
    free_gb = shutil.disk_usage(results).free / 1e9
    found = f"{free_gb:.1f} GB free"
    if free_gb < NEEDED_DISK_GB:
        return Finding("disk", found, "problem", "make room, or work in another folder")
    if free_gb < LITTLE_DISK_GB:
        return Finding("disk", found, "note", "enough for the demo; docs/guides/scaling.md tells what studies need")
    return Finding("disk", found)


def _file_system(results: Path) -> Finding:
    kind = file_system(results)
    if not has_locks(results):
        return Finding("file system", f"{kind}, without locks", "note", "start one `snakemake` in a folder at a time")
    if kind in NETWORK:
        remedy = "jobs start slower than on a local disk; keep the environment on a local one where you can"
        return Finding("file system", f"{kind}, over the network, with locks", "note", remedy)
    return Finding("file system", f"{kind}, with locks")


def file_system(folder: Path, mounts: str | None = None) -> str:
    """The kind of the file system that holds a folder, as `/proc/mounts` calls it."""
    text = Path("/proc/mounts").read_text(encoding="utf-8") if mounts is None else mounts
    best, kind = -1, "unknown"
    for line in text.splitlines():
        _, point, name, *_ = line.split(" ")
        point = point.encode("latin-1", "backslashreplace").decode("unicode_escape")  # a space is written \040
        if folder.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), name
    return kind


def has_locks(folder: Path) -> bool:
    """Whether a file in the folder can be locked; true as well where none can be made, which is told elsewhere."""
    if not os.access(folder, os.W_OK):
        return True
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return False
    return True


def _mirror() -> Finding:
    from hsipipe.scenes.mirror import VARIABLE, mirror_folder

    try:
        folder = mirror_folder()
    except UserError as error:
        return Finding("mirror", str(error), "problem", f"correct or unset {VARIABLE}")
    if folder is None:
        return Finding("mirror", f"none ({VARIABLE} is not set): scenes are downloaded")
    return Finding("mirror", f"{folder}")
