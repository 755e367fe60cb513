"""Before a workflow plans: make the times of files say what their contents say.

Snakemake compares large files by their times. Times change without a change of content (`touch`, a copy, a checkout),
and contents change without a change of times (a copy that keeps times). Records know the content; a file is read again
only where its size or times are not those of its record.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.provenance.digests import entry_of, is_same, is_untouched
from hsipipe.provenance.steps import Step, read_step, record_path, write_step


@dataclass
class Settled:
    """What was found.

    Attributes:
        restored: results whose times had changed and whose content had not; their times are those of the record again.
        same_sources: files that no step made (a user's own), with the content that every step read that used them.
        remake: results made from such a file whose content has changed since; they are now older than it.
    """

    restored: list[str] = field(default_factory=list)
    same_sources: set[str] = field(default_factory=set)
    remake: list[str] = field(default_factory=list)


def settle(records: Iterable[str | Path]) -> Settled:
    """Settle the times of the results that records tell of. Runs in the folder that holds `results`.

    Args:
        records: paths of records of steps.

    Raises:
        UserError: a result was changed after it was made.
    """
    steps = [read_step(path) for path in records]
    found = Settled()
    altered = []
    for step in steps:
        changed = False
        for entry in step.outputs:
            path = entry["path"]
            if not os.path.exists(path) or is_untouched(path, entry):
                continue
            if not is_same(path, entry):
                altered.append((path, step))
                continue
            os.utime(path, ns=(os.stat(path).st_atime_ns, entry["mtime_ns"]))
            entry["ctime_ns"] = os.stat(path).st_ctime_ns
            found.restored.append(path)
            changed = True
        if changed:
            write_step(step)
    if altered:
        path, step = altered[0]
        more = f" and {len(altered) - 1} more files" if len(altered) > 1 else ""
        raise UserError(
            f"was changed after it was made{more}",
            file=path,
            remedy="remove it and it is made again; to go on with it as it is, remove its record "
            f"{record_path(step.step, step.outputs[0]['path'])}",
        )
    _settle_sources(steps, found)
    return found


def _settle_sources(steps: list[Step], found: Settled) -> None:
    """Compare files that no step made with what the steps read. They are the user's: their times are left alone."""
    changed: set[str] = set()
    for step in steps:
        fresh = False
        for number, entry in enumerate(step.inputs):
            path = entry["path"]
            if "mtime_ns" not in entry or not os.path.exists(path):
                continue
            if not is_untouched(path, entry):
                if is_same(path, entry):
                    step.inputs[number] = {"name": entry["name"], "path": path, **entry_of(path)}
                    fresh = True
                else:
                    changed.add(path)
                    found.remake += _age(step, path)
                    continue
            found.same_sources.add(path)
        if fresh:
            write_step(step)
    found.same_sources -= changed


def _age(step: Step, source: str) -> list[str]:
    """Make a step's outputs older than a file that it read, so that they are made again."""
    before = os.stat(source).st_mtime_ns - 10**9
    aged = []
    for entry in step.outputs:
        path = entry["path"]
        if os.path.exists(path) and os.stat(path).st_mtime_ns > before:
            os.utime(path, ns=(before, before))
            entry.update(mtime_ns=before, ctime_ns=os.stat(path).st_ctime_ns)
            aged.append(path)
    if aged:
        write_step(step)
    return aged
