"""The study that is disturbed: start it, restart it, and compare its tables with the undisturbed ones."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from processes import MARK, kill_marked, wait_for

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).resolve().parent / "study.yaml"
LOADER = {"memory_mb": 0, "workers": 1}  # a process that reads the images, as for those of a large study
PAPER = "results/papers/faults"
TARGETS = [f"{PAPER}/{name}" for name in ("scores.csv", "tables/fault-wings.md", "config.yaml", "claims.csv")]
TABLES = ("results/papers/*/scores.csv", "results/papers/*/tables/*.csv", "results/papers/*/claims.csv")


@dataclass(frozen=True)
class Ended:
    """How a run of the workflow ended: its exit status (None: it hung and was killed) and what it printed."""

    status: int | None
    output: str

    @property
    def errors(self) -> list[str]:
        """The lines that tell a user what is wrong, each once."""
        return list(dict.fromkeys(line for line in self.output.splitlines() if line.startswith("error: ")))


@dataclass
class Study:
    """A folder with the study in it.

    Attributes:
        folder: where it runs; also the mark of its processes.
        cores: that it may use.
        limit_s: a run that takes longer is taken for one that hangs.
        file_limit: bytes that a file may have from now on, or None.
        has_worker: whether a process of its own reads the images of the training; scores do not depend on it.
        is_quick: whether it goes without a training.
    """

    folder: Path
    cores: int
    limit_s: float
    file_limit: int | None = None
    has_worker: bool = False
    is_quick: bool = False
    outputs: list[Path] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """What its processes carry in their environment."""
        return str(self.folder)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the workflow, the leader of a process group of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += [
            *(TARGETS[:-1] if self.is_quick else TARGETS),
            "--directory",
            str(self.folder),
            "--cores",
            str(self.cores),
        ]
        command += ["--configfile", str(self._write_config()), "--workflow-profile", str(ROOT / "profiles/default")]
        # One thread: sums in another order would give other last digits.
        own = {MARK: self.mark, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
        path = self.folder / f"output{len(self.outputs)}.txt"
        self.outputs.append(path)
        with open(path, "wb") as file:
            return subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={**os.environ, **own},
                start_new_session=True,
                preexec_fn=self._limit if self.file_limit else None,
            )

    def _write_config(self) -> Path:
        config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
        if self.has_worker:
            config["representation"]["variants"]["simclr"]["loader"] = LOADER
        if self.is_quick:
            del config["claims"], config["representation"]["variants"]["simclr"]
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return path

    def _limit(self) -> None:
        assert self.file_limit is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_limit, self.file_limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write fails then, and nobody is killed

    def end(self, running: subprocess.Popen[bytes]) -> Ended:
        """Wait for a run; kill it if it hangs."""
        path = self.outputs[-1]
        try:
            status: int | None = running.wait(self.limit_s)
        except subprocess.TimeoutExpired:
            status = None
            kill_marked(self.mark)
            running.wait()
        return Ended(status, path.read_text(encoding="utf-8", errors="replace"))

    def steps_done(self) -> int:
        """How many steps the present run has done."""
        text = self.outputs[-1].read_text(encoding="utf-8", errors="replace")
        counts = re.findall(r"^(\d+) of \d+ steps", text, flags=re.MULTILINE)
        return int(counts[-1]) if counts else 0

    def run(self) -> Ended:
        """Start the workflow and wait for its end."""
        return self.end(self.start())

    def tables(self) -> dict[str, bytes]:
        """The score tables by name; costs are exempt, for they differ from run to run."""
        found = (path for pattern in TABLES for path in self.folder.glob(pattern))
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(found)
            if not path.name.endswith("_cost.csv")
        }


def remedy_of(line: str) -> list[str]:
    """The files that the remedy of an error says to delete."""
    found = re.search(r"; .*\brm (.+)$", line)
    return found[1].split() if found else []


@dataclass(frozen=True)
class Course:
    """How an undisturbed study went: seconds from its start to the end of each of its steps, and to its own.

    `processor_s`: of all its processes; what it takes on a machine that does nothing else follows from it.
    """

    steps_s: list[float]
    span_s: float
    processor_s: float

    def moment(self, share: float) -> tuple[int, float]:
        """After a share of the span: how many steps are done by then, and the seconds since the last of these."""
        done = sum(second <= share * self.span_s for second in self.steps_s)
        return done, share * self.span_s - self.second(done)

    def second(self, steps: int) -> float:
        """When so many steps were done."""
        return self.steps_s[steps - 1] if steps else 0.0


def course_of(study: Study) -> Course:
    """Run a study undisturbed.

    Raises:
        RuntimeError: it fails by itself.
    """
    began, before = time.monotonic(), _processor_seconds()
    running = study.start()
    steps: list[float] = []

    def look() -> bool:
        steps.extend([time.monotonic() - began] * (study.steps_done() - len(steps)))
        return running.poll() is not None

    wait_for(look, study.limit_s)
    ended = study.end(running)
    if ended.status != 0:
        raise RuntimeError(f"the undisturbed study ended with status {ended.status}:\n{ended.output[-3000:]}")
    return Course(steps, time.monotonic() - began, _processor_seconds() - before)


def _processor_seconds() -> float:
    """Of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
