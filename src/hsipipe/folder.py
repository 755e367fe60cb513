"""The folder of a study, before anything runs in it: no other run, room to write, and results as they were made."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.job import disk_told
from hsipipe.locks import held
from hsipipe.seals import check_results, make_home

LOCK = Path(".snakemake/hsipipe.lock")
WRITTEN = ("results", "downloads", "logs", ".snakemake")
PROBE_BYTES = 2**18


@contextmanager
def held_folder() -> Iterator[None]:
    """Keep other runs out of the current folder, and make sure that it can be written to.

    Raises:
        UserError: another run is in it, or the disk is full or read-only.
    """
    with held(LOCK, wait=False, busy="another snakemake runs here"):
        for name in WRITTEN:
            with disk_told():
                check_writable(Path(name))
        make_home()
        yield


def check_writable(folder: Path) -> None:
    """Raise OSError unless a little can be written below a folder, if it is there."""
    if not folder.is_dir():
        return
    probe = folder / f".probe.{secrets.token_hex(4)}"
    try:
        with open(probe, "wb") as file:
            file.write(b"\0" * PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    finally:
        probe.unlink(missing_ok=True)


def problems_of_results() -> list[UserError]:
    """What is wrong with the results in the current folder; nothing while another run is at work on them."""
    if not LOCK.exists():
        return check_results(("results", "downloads"))
    try:
        with held(LOCK, wait=False, busy="another snakemake runs here"):
            return check_results(("results", "downloads"))
    except UserError:  # it is told when this one starts; a dry run may go on
        return []
