"""What every job of the workflow does round its work: log, lock, remove leftovers, check its inputs, record itself."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hsipipe.errors import UserError
from hsipipe.files import remove_leftovers
from hsipipe.jobs.logs import job_log
from hsipipe.locks import held
from hsipipe.provenance.steps import record_path, recorded_job

LOCKS = Path(".snakemake/hsipipe-jobs")
REMEDIES = {
    errno.ENOSPC: "make room on the disk, then start again: what is finished is kept",
    errno.EDQUOT: "make room in your quota, then start again: what is finished is kept",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), then start again",
    errno.EROFS: "make the folder writable (mount it read-write), then start again",
    errno.EACCES: "make the folder writable (chmod, or its owner), then start again",
    errno.EPERM: "make the folder writable (chmod, or its owner), then start again",
    errno.EIO: "the disk or the file server has a fault: mend it, then start again",
    errno.ESTALE: "the file server was away: start again",
}


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run the work of a script.

    Its prints go to the log. Two processes never do the same job at a time: one that a killed workflow left behind is
    waited for. Inputs that were changed since they were made are refused.
    """
    # Worker processes of a training would else begin by running the script, as they do with any program's main file.
    vars(sys.modules["__main__"]).pop("__file__", None)
    outputs = [str(path) for path in snakemake.output]
    with (
        job_log(snakemake.log[0]),
        disk_told(),
        held(job_lock(outputs), wait=True, busy="a process left over does this"),
    ):
        for path in [*map(Path, outputs), record_path(snakemake.rule, outputs[0])]:
            remove_leftovers(path)
        with recorded_job(snakemake):
            yield


def job_lock(outputs: Sequence[str]) -> Path:
    """The lock file of the job that makes these files."""
    return LOCKS / f"{hashlib.sha256(outputs[0].encode()).hexdigest()[:20]}.lock"


@contextmanager
def disk_told() -> Iterator[None]:
    """Turn an error of the disk into one line with what to do; HDF5 and torch wrap such errors in others."""
    try:
        yield
    except Exception as error:
        number = disk_error(error)
        if number is None:
            raise
        raise UserError(
            f"writing failed: {os.strerror(number).lower()}", file=_file_of(error), remedy=REMEDIES[number]
        ) from error


def disk_error(error: BaseException) -> int | None:
    """The number of the error of the disk that lies behind an exception, if there is one."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        number = getattr(current, "errno", None)
        if isinstance(current, OSError) and number in REMEDIES:
            return number
        # HDF5 tells the system's error in its text only.
        told = next((known for known in REMEDIES if f"errno = {known}," in str(current)), None)
        if told is not None:
            return told
        current = current.__cause__ or current.__context__
    return None


def _file_of(error: BaseException) -> str:
    """The file that an error is about, or the folder of results."""
    name = getattr(error, "filename", None)
    return str(name) if name is not None else "results"
