"""The kinds of fault: what is done to a running study, and what a user would do about it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import disks
from processes import Process, kill, kill_marked, marked, wait_for
from study import Course, Study

DAY_S = 86400.0
SMALL_FILE_BYTES = 20_000
CASE = "results/*/*/case.h5"


class Untried(Exception):
    """A fault cannot be made on this machine, or found nothing to strike, and why."""


@dataclass
class Scene:
    """A study that runs, and what is done to it.

    Attributes:
        study, running: the study and its scheduler.
        rng: draws all that is drawn.
        course: that of the undisturbed study.
        mounted: whether the results lie on a disk of their own.
        did: what was done, in words.
        remedies: undo a fault that lasts; called when an error asks for it, and at the end.
        settles: whether a further run must find nothing to do.
    """

    study: Study
    running: subprocess.Popen[bytes]
    rng: random.Random
    course: Course
    mounted: bool
    did: str = ""
    remedies: list[Callable[[], object]] = field(default_factory=list)
    settles: bool = False

    @property
    def results(self) -> Path:
        """The folder of results."""
        return self.study.folder / "results"

    @property
    def ended(self) -> bool:
        """Whether the scheduler is gone."""
        return self.running.poll() is not None

    def kill_all(self) -> None:
        """What a power cut does."""
        kill_marked(self.study.mark)
        self.running.wait()

    def find(self, wanted: Callable[[Process], bool]) -> Process | None:
        """A process of the study, waited for until the study ends."""
        chosen: list[Process] = []

        def look() -> bool:
            chosen[:] = [process for process in marked(self.study.mark) if wanted(process)]
            return bool(chosen) or self.ended

        wait_for(look, self.study.limit_s)
        return self.rng.choice(sorted(chosen, key=lambda process: process.pid)) if chosen else None

    def pause(self, share: float) -> None:
        """Wait for up to a share of the study's span, or its end."""
        wait_for(lambda: self.ended, self.rng.random() * share * self.course.span_s)

    def files(self, *patterns: str) -> list[Path]:
        """The files of the study that match."""
        return sorted(path for pattern in patterns for path in self.study.folder.glob(pattern) if path.is_file())


def kill_group(scene: Scene) -> None:
    """The scheduler and its jobs die at once."""
    scene.did = f"with {sum(process.is_job for process in marked(scene.study.mark))} jobs"
    os.killpg(scene.running.pid, signal.SIGKILL) if not scene.ended else None
    scene.running.wait()


def kill_scheduler(scene: Scene) -> None:
    """The scheduler dies, its jobs go on."""
    kill(scene.running.pid)
    scene.running.wait()
    scene.did = f"leaving {sum(process.is_job for process in marked(scene.study.mark))} jobs alive"


def kill_job(scene: Scene) -> None:
    """One job dies."""
    found = scene.find(lambda process: process.is_job)
    if found is None or not kill(found.pid):
        raise Untried("no job was running")
    scene.did = found.command.rpartition(".")[0].rpartition(".")[2]


def kill_worker(scene: Scene) -> None:
    """A process that reads data for a training dies."""
    if scene.find(lambda process: process.is_worker) is None:
        raise Untried("no data worker was running")
    scene.pause(0.12)
    found = scene.find(lambda process: process.is_worker)
    if found is None or not kill(found.pid):
        raise Untried("the training had just ended")
    scene.did = "during the training"


def fill_disk(scene: Scene) -> None:
    """The disk with the results is full, until somebody makes room."""
    if scene.mounted:
        filler = disks.fill(scene.results)
        scene.remedies.append(filler.unlink)
        scene.did = "0 bytes left"
        return
    scene.kill_all()
    scene.study.file_limit = SMALL_FILE_BYTES
    scene.remedies.append(lambda: setattr(scene.study, "file_limit", None))
    scene.did = f"files of at most {SMALL_FILE_BYTES} bytes"


def forbid_writing(scene: Scene) -> None:
    """The results cannot be written to, until somebody mends it."""
    scene.results.mkdir(exist_ok=True)
    if scene.mounted:
        disks.make_read_only(scene.results)
        scene.remedies.append(lambda: disks.unmount(scene.results))
        scene.did = "mounted read-only"
        return
    if os.geteuid() == 0:
        raise Untried("root may write anywhere, and nothing can be mounted here")
    folders = [scene.results, *(path for path in scene.results.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)

    def allow() -> None:
        for folder in folders:
            folder.chmod(0o755)

    scene.remedies.append(allow)
    scene.did = f"{len(folders)} folders without write permission"


def run_twice(scene: Scene) -> None:
    """Somebody starts the same study a second time."""
    was_there = not scene.ended
    second = scene.study.run()
    scene.study.outputs.append(scene.study.outputs[0])  # the first run is the one that counts
    refused = second.status == 2 and any("another snakemake runs here" in line for line in second.errors)
    if not refused and not (second.status == 0 and (not was_there or scene.ended)):
        raise AssertionError(f"the second run ended with {second.status}: {second.output[-500:]}")
    scene.did = "the second was refused" if refused else "the first had ended"


def damage(*patterns: str) -> Callable[[Scene], None]:
    """A fault: all dies, and one of the files that match is damaged, with or without a new date."""

    def apply(scene: Scene) -> None:
        wait_for(lambda: scene.files(*patterns) or scene.ended, scene.study.limit_s)
        scene.pause(0.15)
        scene.kill_all()
        files = [path for path in scene.files(*patterns) if path.stat().st_size]
        if not files:
            scene.did = "none was there"
            return
        path, how = scene.rng.choice(files), scene.rng.choice(["truncated", "emptied", "bit-flipped"])
        before = path.stat()
        disks.corrupt(path, how, scene.rng)
        scene.did = f"{path.relative_to(scene.study.folder)} {how}"
        if scene.rng.random() < 0.5:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            scene.did += ", its date kept"

    return apply


def edit_case(scene: Scene) -> None:
    """All dies, and somebody changes a number in a case: the file is whole, and not what its step wrote."""
    wait_for(lambda: scene.files(CASE) or scene.ended, scene.study.limit_s)
    scene.pause(0.15)
    scene.kill_all()
    files = scene.files(CASE)
    if not files:
        scene.did = "none was there"
        return
    before = files[0].stat()
    scene.did = disks.edit_number(files[0])
    if scene.rng.random() < 0.5:
        os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
        scene.did += ", its date kept"


def jump_clock(scene: Scene) -> None:
    """All dies; the clock was a day ahead, or behind, while some or all of the files were written."""
    scene.kill_all()
    files = scene.files("results/**/*", ".snakemake/**/*", "logs/**/*")
    jump, part = scene.rng.choice([DAY_S, -DAY_S]), scene.rng.choice([1.0, 0.5])
    moved = [path for path in files if scene.rng.random() < part]
    disks.shift_times(moved, jump)
    scene.did = f"{'all' if part == 1 else 'half'} of the files dated a day {'later' if jump > 0 else 'earlier'}"
    scene.settles = True


def leave_locks(scene: Scene) -> None:
    """All dies, and locks of every kind stay behind, which name processes that are gone."""
    scene.kill_all()
    locks = scene.study.folder / ".snakemake/locks"
    locks.mkdir(parents=True, exist_ok=True)
    results = [str(path.relative_to(scene.study.folder)) for path in scene.files("results/**/*")]
    for kind in ("input", "output"):
        (locks / f"0.{kind}.lock").write_text("\n".join(["results/papers/faults/scores.csv", *results]) + "\n")
    devices = scene.study.folder / f"tmp/hsipipe-{os.getuid()}"
    devices.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = scene.files("results/.state/**/lock", ".snakemake/hsipipe-jobs/*.lock")
    stale = [scene.study.folder / ".snakemake/hsipipe.lock", devices / "gpu0.lock", devices / "fake0.lock", *state]
    for path in stale:
        path.write_text("999999999\n")
    scene.did = f"{len(stale) + 2} lock files"


KINDS: dict[str, tuple[int, Callable[[Scene], None]]] = {
    "kill -9 of scheduler and jobs": (4, kill_group),
    "kill -9 of the scheduler alone": (3, kill_scheduler),
    "kill -9 of a job": (4, kill_job),
    "kill -9 of a data worker": (2, kill_worker),
    "full disk": (2, fill_disk),
    "read-only results": (2, forbid_writing),
    "two runs in one folder": (2, run_twice),
    "damaged case file": (2, damage(CASE)),
    "edited case file": (1, edit_case),
    "damaged checkpoint": (2, damage("results/.state/**/last.ckpt", "results/.state/**/finished.pt")),
    "damaged score file": (2, damage("results/*/*/*/seed*/scores.csv", "results/papers/*/scores.csv")),
    "damaged record of a step": (1, damage("results/**/.steps/*.json")),
    "clock jump": (2, jump_clock),
    "stale locks": (1, leave_locks),
}
"""How often each kind is tried, and what it does."""
QUICK = ("kill -9 of scheduler and jobs", "damaged score file")
"""Kinds that are tried once each where there is little time."""
WITH_WORKER = ("kill -9 of a data worker",)
ON_A_DISK = ("full disk", "read-only results")  # the results lie on a disk of their own
LATEST = {"kill -9 of a job": 0.9}  # share of the span: at its very end no job is left that could be killed
OF_TRAINING = ("kill -9 of a data worker", "damaged checkpoint")  # these wait for the training, whenever that is


def wait_until(scene: Scene, share: float) -> None:
    """Let a study come as far as the undisturbed one was after a share of its span, however fast the machine is now."""
    began = time.monotonic()
    done, rest_s = scene.course.moment(share)
    wait_for(lambda: scene.ended or scene.study.steps_done() >= done, scene.study.limit_s)
    pace = (time.monotonic() - began) / scene.course.second(done) if done else 1.0
    wait_for(lambda: scene.ended, rest_s * pace)
