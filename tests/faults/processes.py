"""The processes of one study: found by a mark in their environment, so that nobody else's is ever touched."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MARK = "HSIPIPE_FAULT_CAMPAIGN"


@dataclass(frozen=True)
class Process:
    """A running process."""

    pid: int
    command: str

    @property
    def is_job(self) -> bool:
        """Whether it is Python running a script of the workflow."""
        return "/.snakemake/scripts/" in self.command and "python" in self.command.split()[0]

    @property
    def is_worker(self) -> bool:
        """Whether it reads data for a training."""
        return "multiprocessing.spawn" in self.command and "spawn_main" in self.command


def marked(mark: str) -> list[Process]:
    """The living processes that carry a mark, but for this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:  # it has ended, or is another user's
            continue
        if f"{MARK}={mark}".encode() in environment.split(b"\0") and command:
            found.append(Process(int(folder.name), command))
    return found


def kill(pid: int) -> bool:
    """Kill a process with SIGKILL; whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def kill_marked(mark: str, *, seconds: float = 30.0) -> None:
    """Kill all that carries a mark, and wait until it is gone."""
    if not wait_for(lambda: not [kill(process.pid) for process in marked(mark)], seconds):
        raise RuntimeError(f"processes of {mark} do not die: {marked(mark)}")


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until a condition holds; False if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
