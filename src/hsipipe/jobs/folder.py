"""The folder of a study, before anything runs in it: no other run, room to write, and results as they were made."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hsipipe.config.paper import Paper
from hsipipe.errors import UserError
from hsipipe.jobs.job import disk_told
from hsipipe.locks import held
from hsipipe.provenance.home import make_home
from hsipipe.provenance.places import record_paths
from hsipipe.provenance.settle import Settled, settle

LOCK = Path(".snakemake/hsipipe.lock")
SETTLING = Path(".snakemake/hsipipe-settling.lock")
BUSY = "another snakemake runs here"
WRITTEN = ("results", "downloads", "logs", ".snakemake")
PROBE_BYTES = 2**18
LOOKING = ("--dry-run", "--dryrun", "--report", "--lint", "--summary", "--detailed-summary", "--list-rules", "--dag")


@contextmanager
def held_folder() -> Iterator[None]:
    """Keep other runs out of the current folder, and make sure that it can be written to.

    Raises:
        UserError: another run is in it, or the disk is full or read-only.
    """
    with ExitStack() as locks:
        # Whoever settles tries the lock of the folder, and would be taken for a run.
        with held(SETTLING, wait=True, busy="another snakemake looks at the results"):
            locks.enter_context(held(LOCK, wait=False, busy=BUSY))
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
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    finally:
        probe.unlink(missing_ok=True)


def check_results_writable(arguments: Sequence[str]) -> None:
    """Refuse results on a disk that is mounted read-only, before Snakemake does without a remedy.

    Args:
        arguments: of the command line, as `sys.argv`; one that only looks may look.

    Raises:
        UserError: they cannot be written to.
    """
    results = Path("results")
    looks = any(name.partition("=")[0] in LOOKING or re.fullmatch("-[a-zA-Z]*n[a-zA-Z]*", name) for name in arguments)
    if not looks and results.is_dir() and not os.access(results, os.W_OK):
        raise UserError(
            "cannot be written to",
            file=results,
            remedy="make the folder writable (mount it read-write), then start again; "
            "`snakemake --dry-run` and `--report` need not write there",
        )


def settle_folder(paper: Paper) -> Settled:
    """Settle the results of a paper in the current folder; nothing is looked at while another run works on them."""
    with ExitStack() as locks, disk_told():
        if Path(".snakemake").is_dir():
            locks.enter_context(held(SETTLING, wait=True, busy="another snakemake looks at the results"))
            try:
                with held(LOCK, wait=False, busy=BUSY):
                    pass
            except UserError:  # a run is refused when it starts; a dry run may go on
                return Settled()
        return settle(record_paths(paper))
