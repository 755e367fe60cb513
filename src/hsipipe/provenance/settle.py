"""Before a workflow plans: make the times of files say what their contents say.

Snakemake compares large files by their times. Times change without a change of content (`touch`, a copy, a checkout, a
clock that was wrong), and contents change without a change of times (a copy that keeps times). Records know the
content; a file is read again only where its size or times are not those of its record.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from hsipipe.errors import UserError
from hsipipe.provenance.digests import altered, entry_of, is_same, is_untouched
from hsipipe.provenance.home import read_home
from hsipipe.provenance.steps import Step, read_step, write_step

SKEW_NS = 60 * 10**9  # a file server's clock may be ahead of ours by so much
SECOND_NS = 10**9
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass
class Settled:
    """What was found.

    Attributes:
        steps: the records.
        restored: results whose times had changed and whose content had not; their times are those of the record again.
        mended: results dated in the future, or before what they were made from; their times are now in order.
        same_sources: files that no step made (a user's own), with the content that every step read that used them.
        remake: results made from a file whose content is another one since; they are now older than it.
        problems: results that are not as their steps left them, and those that are another study's.
    """

    steps: list[Step] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    same_sources: set[str] = field(default_factory=set)
    remake: list[str] = field(default_factory=list)
    problems: list[UserError] = field(default_factory=list)


def settle(records: Iterable[str | Path]) -> Settled:
    """Settle the times of the results that records tell of. Runs in the folder that holds `results`.

    Args:
        records: paths of records of steps.
    """
    found = Settled()
    for path in records:
        try:
            found.steps.append(read_step(path))
        except UserError as error:
            found.problems.append(error)
    found.problems += _alien(found.steps)
    _Settling(found).run()
    return found


def _alien(steps: list[Step]) -> Iterator[UserError]:
    """Results that were made in another folder. Downloads are the same everywhere."""
    home = read_home()
    others = [entry["path"] for step in steps if step.home and step.home != home for entry in step.outputs]
    there = [path for path in others if Path(path).parts[0] == "results" and os.path.exists(path)]
    if there:
        yield UserError(
            "was made in another folder, and with which settings and code is recorded there, not here",
            file=there[0],
            found=f"{len(there)} such files",
            remedy="bring the folder .snakemake along from there, or have them made again (trainings are kept in "
            "results/.state): rm -r results/*",
        )


class _Settling:
    """Looks at each file once; changes times, and writes the records that changed when all is done."""

    def __init__(self, found: Settled) -> None:
        self.found = found
        self.now = time.time_ns()
        self.changed: dict[int, Step] = {}
        # Each result that is there as recorded: the step that made it, and its entry.
        self.results: dict[str, tuple[Step, dict[str, Any]]] = {}

    def run(self) -> None:
        for step in self.found.steps:
            for entry in step.outputs:
                self._settle_output(step, entry)
        made = {entry["path"] for step in self.found.steps for entry in step.outputs}
        self._settle_sources(made)
        for step in self._from_first_to_last():
            self._settle_order(step)
        for step in self.changed.values():
            with _where_writable():
                write_step(step)

    def _settle_output(self, step: Step, entry: dict[str, Any]) -> None:
        """Compare a result with its record; bring its time back where its content is the same."""
        path = entry["path"]
        try:
            untouched = is_untouched(path, entry)
        except FileNotFoundError:
            return
        if not untouched:
            if not is_same(path, entry):
                self.found.problems.append(altered(path, entry))
                return
            self._date(step, entry, entry["mtime_ns"])
            self.found.restored.append(path)
        if entry["mtime_ns"] > self.now + SKEW_NS:  # every step that reads it would run again for ever
            self._date(step, entry, self.now)
            self.found.mended.append(path)
        self.results[path] = step, entry

    def _date(self, step: Step, entry: dict[str, Any], mtime_ns: int) -> None:
        """Set the time of a result, and note it in its record."""
        path = entry["path"]
        with _where_writable():
            os.utime(path, ns=(os.stat(path).st_atime_ns, mtime_ns))
        stat = os.stat(path)
        entry.update(mtime_ns=stat.st_mtime_ns, ctime_ns=stat.st_ctime_ns)
        self.changed[id(step)] = step

    def _settle_sources(self, made: set[str]) -> None:
        """Compare files that no step made with what the steps read. They are the user's: their times are left alone."""
        changed: set[str] = set()
        for step in self.found.steps:
            for number, entry in enumerate(step.inputs):
                path = entry["path"]
                if path in made or "mtime_ns" not in entry or not os.path.exists(path):
                    continue
                if not is_untouched(path, entry):
                    if not is_same(path, entry):
                        changed.add(path)
                        self._age(step, path)
                        continue
                    step.inputs[number] = {"name": entry["name"], "path": path, **entry_of(path)}
                    self.changed[id(step)] = step
                self.found.same_sources.add(path)
        self.found.same_sources -= changed

    def _age(self, step: Step, source: str) -> None:
        """Make a step's outputs older than a file that it read, so that they are made again."""
        before = os.stat(source).st_mtime_ns - SECOND_NS
        for entry in step.outputs:
            if entry["path"] not in self.results:
                continue
            if entry["mtime_ns"] > before:  # else it was made older before an earlier plan
                self._date(step, entry, before)
            self.found.remake.append(entry["path"])

    def _from_first_to_last(self) -> list[Step]:
        """The steps, each after those that made its inputs."""
        steps = self.found.steps
        numbers = {id(step): number for number, step in enumerate(steps)}
        sorter: TopologicalSorter[int] = TopologicalSorter()
        for number, step in enumerate(steps):
            makers = (self.results[entry["path"]][0] for entry in step.inputs if entry["path"] in self.results)
            sorter.add(number, *(numbers[id(maker)] for maker in makers))
        return [steps[number] for number in sorter.static_order()]

    def _settle_order(self, step: Step) -> None:
        """Results of what their inputs now are are never older than these; results of other contents are older."""
        latest = 0
        for read in step.inputs:
            if read["path"] not in self.results:
                continue
            entry = self.results[read["path"]][1]
            if entry["sha256"] != read["sha256"]:
                self._age(step, read["path"])
                return
            latest = max(latest, entry["mtime_ns"])
        if any(entry["path"] in self.found.remake for entry in step.outputs):
            return
        for entry in step.outputs:
            if entry["path"] in self.results and entry["mtime_ns"] < latest:
                self._date(step, entry, latest)
                self.found.mended.append(entry["path"])


@contextmanager
def _where_writable() -> Iterator[None]:
    """Let times be where results may only be read; whoever starts a run there is told so before it begins."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
