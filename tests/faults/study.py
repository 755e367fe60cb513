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

from processes import MARK, kill_marked

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).resolve().parent / "study.yaml"
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
    """

    folder: Path
    cores: int
    limit_s: float
    file_limit: int | None = None
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
        command += ["--directory", str(self.folder), "--configfile", str(CONFIG), "--cores", str(self.cores)]
        command += ["--workflow-profile", str(ROOT / "profiles/default")]
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


def seconds_of(study: Study) -> float:
    """Run a study undisturbed: wall seconds.

    Raises:
        RuntimeError: it fails by itself.
    """
    began = time.monotonic()
    ended = study.run()
    if ended.status != 0:
        raise RuntimeError(f"the undisturbed study ended with status {ended.status}:\n{ended.output[-3000:]}")
    return time.monotonic() - began
