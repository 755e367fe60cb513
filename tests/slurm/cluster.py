"""The one-node SLURM of start.sh, as the test sees it."""

import re
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).resolve().parent
FOLDER = Path("/run/hsipipe-slurm")
Found = TypeVar("Found")


class Failure(Exception):
    """What the test found wrong."""


@dataclass(frozen=True)
class Job:
    """A job in the queue: its number, state, rule and wildcards joined by _, and why it waits."""

    number: int
    state: str
    comment: str
    reason: str


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def until(what: str, look: Callable[[], Found | None], *, seconds: float = 900, every: float = 0.2) -> Found:
    """Look until there is something; what is waited for is told where it never comes."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := look():
            return found
        time.sleep(every)
    raise Failure(f"waited {seconds:g} s in vain: {what}")


@contextmanager
def started(*, cpus: int, memory_mb: int, gpus: int):
    """A SLURM for the duration of a block. More CPUs and memory than there are, so that GPUs are what jobs wait for."""
    sizes = ["--cpus", cpus, "--memory", memory_mb, "--gpus", gpus]
    subprocess.run([HERE / "start.sh", FOLDER, *map(str, sizes)], check=True)
    try:
        yield
    finally:
        subprocess.run([HERE / "stop.sh", FOLDER], check=True)


def jobs() -> list[Job]:
    lines = ask("squeue", "--noheader", "--states=all", "--format=%A|%T|%k|%r").splitlines()
    return [Job(int(number), *rest) for number, *rest in (line.split("|") for line in lines)]


def job(number: int) -> Job:
    return next(each for each in jobs() if each.number == number)


def details(number: int) -> dict[str, str]:
    """All that SLURM knows of a job."""
    return dict(re.findall(r"(\w+(?:/\w+)?)=(\S*)", ask("scontrol", "show", "job", "--details", str(number))))


def processes(number: int) -> list[int]:
    """The processes of a job on the node, without SLURM's own; none of a job that has ended."""
    command = ["scontrol", "listpids", str(number), "node"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout.splitlines()
    return [int(line.split()[0]) for line in listed[1:]]


def node_state() -> str:
    return ask("sinfo", "--noheader", "--partition=gpu", "--format=%T").strip()
