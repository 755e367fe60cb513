"""Do jobs ever meet on a GPU? Many fake jobs on fake GPUs, each a process that claims what it needs; some are killed.

More jobs run at once than there is room for, as where somebody forgot to tell the scheduler how many GPUs there are, so
that the claim alone keeps them apart. Every process tells when it begins and ceases to compute on what; from that, not
from the locks, is counted how often two met that must not. A control without claims shows that meetings are seen.

python benchmarks/devices.py [--jobs 1000 --gpus 4 --at-once 16] [--update]
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hsipipe.devices.claim import claim
from hsipipe.devices.pool import FAKE_GPUS, FAKE_VRAM_MB

MEMORY_MB = 24000
KILLED = 0.1  # part of the jobs that are killed with -9, while they wait or while they compute
CONTROL = 100  # jobs of the control


@dataclass(frozen=True)
class Job:
    """What a fake job asks for, and how long it computes; or, from its start on, after how long it is killed."""

    gpus: int
    vram_mb: int
    seconds: float | None
    killed_after_s: float = math.inf

    @property
    def kind(self) -> str:
        """What it asks for, in words."""
        return "a share by vram_mb" if self.vram_mb else f"{self.gpus} GPU" + "s" * (self.gpus > 1)


@dataclass(frozen=True)
class Span:
    """A time in which a job computed on a device."""

    job: int
    device: str
    start: float
    end: float
    vram_mb: int  # 0: all of it


def draw_jobs(count: int, generator: random.Random) -> list[Job]:
    """Jobs of one GPU, of two, and of a share, in random order."""
    jobs = []
    for _ in range(count):
        gpus, vram_mb = generator.choices([(1, 0), (2, 0), (1, generator.randrange(2000, 16000))], [4, 2, 4])[0]
        if generator.random() < KILLED:
            jobs.append(Job(gpus, vram_mb, None, generator.uniform(0, 1)))
        else:
            jobs.append(Job(gpus, vram_mb, generator.uniform(0.002, 0.05)))
    return jobs


def run_jobs(jobs: list[Job], *, gpus: int, at_once: int, claims: bool = True) -> tuple[list[Span], set[int]]:
    """Run the jobs, `at_once` at a time: the spans in which they computed, and which of them were killed."""
    with tempfile.TemporaryDirectory() as folder:
        # The locks of this run are no other's, and the devices are fake whatever this machine has.
        os.environ.update({"TMPDIR": folder, FAKE_GPUS: str(gpus), FAKE_VRAM_MB: str(MEMORY_MB)})
        tempfile.tempdir = None
        told = Path(folder) / "told"
        log = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        waiting = list(enumerate(jobs))[::-1]
        running: dict[int, tuple[int, float]] = {}  # process -> job, when to kill it
        killed: dict[int, float] = {}
        while waiting or running:
            while waiting and len(running) < at_once:
                number, job = waiting.pop()
                process = os.fork()
                if process == 0:
                    _compute(number, job, log, None if claims else [str(index) for index in range(gpus)])
                running[process] = number, time.monotonic() + job.killed_after_s
            for process, (number, deadline) in list(running.items()):
                if number not in killed and (now := time.monotonic()) > deadline:
                    killed[number] = now
                    os.kill(process, signal.SIGKILL)
                if os.waitpid(process, os.WNOHANG)[0]:
                    del running[process]
            time.sleep(0.001)
        os.close(log)
        events = [json.loads(line) for line in told.read_text().splitlines()]
    ends = {event["job"]: event["time"] for event in events if event["event"] == "end"}
    spans = []
    for event in events:
        if event["event"] == "start":
            number = event["job"]
            # One that was killed computed at least until then, if it had begun.
            end = ends.get(number, killed.get(number, event["time"]))
            vram_mb = jobs[number].vram_mb
            spans += [Span(number, entry, event["time"], end, vram_mb) for entry in event["devices"]]
    return spans, set(killed)


def _compute(number: int, job: Job, log: int, unclaimed: list[str] | None) -> None:
    """A job's process, from beginning to end; without claims it takes any of the devices."""
    status = 1
    try:
        if unclaimed is None:
            held = claim(job.gpus, vram_mb=job.vram_mb).ids
        else:
            held = tuple(random.Random(number).sample(unclaimed, job.gpus))
        _tell(log, job=number, event="start", devices=held, time=time.monotonic())
        while job.seconds is None:
            signal.pause()  # until it is killed
        time.sleep(job.seconds)
        _tell(log, job=number, event="end", time=time.monotonic())
        status = 0
    finally:
        os._exit(status)


def _tell(log: int, **event: object) -> None:
    os.write(log, (json.dumps(event) + "\n").encode())  # appended in one piece


def meetings(spans: Iterable[Span]) -> list[tuple[Span, Span]]:
    """Pairs of spans that must not be: one wants the device whole, or the shares are more than there is."""
    found = []
    ordered = sorted(spans, key=lambda span: (span.device, span.start))
    for _, group in itertools.groupby(ordered, lambda span: span.device):
        active: list[Span] = []
        for span in group:
            active = [other for other in active if other.end > span.start]
            whole = [other for other in active if not (span.vram_mb and other.vram_mb)]
            found += [(other, span) for other in whole]
            if not whole and sum(other.vram_mb for other in (*active, span)) > MEMORY_MB:
                found.append((active[-1], span))
            active.append(span)
    return found


def most_at_once(spans: Iterable[Span]) -> int:
    """The largest number of spans on one device at a time."""
    listed = list(spans)
    beside = [sum(o.device == s.device and o.start <= s.start < o.end for o in listed) for s in listed]
    return max(beside, default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, value in (("jobs", 1000), ("gpus", 4), ("at-once", 16), ("seed", 0)):
        parser.add_argument(f"--{option}", type=int, default=value)
    parser.add_argument("--update", action="store_true", help="write devices.md and devices.csv beside this script")
    options = parser.parse_args()
    jobs = draw_jobs(options.jobs, random.Random(options.seed))
    began = time.monotonic()
    spans, killed = run_jobs(jobs, gpus=options.gpus, at_once=options.at_once)
    seconds = time.monotonic() - began
    found = meetings(spans)
    control = jobs[:CONTROL]
    unclaimed, _ = run_jobs(control, gpus=options.gpus, at_once=options.at_once, claims=False)
    ran = {span.job for span in spans}
    rows = []
    for kind in sorted({job.kind for job in jobs}):
        numbers = {number for number, job in enumerate(jobs) if job.kind == kind}
        rows.append(
            {
                "kind": kind,
                "jobs": len(numbers),
                "finished": len(numbers & ran - killed),
                "killed while computing": len(numbers & ran & killed),
                "killed while waiting": len(numbers & killed - ran),
                "most at once on a device": most_at_once(span for span in spans if span.job in numbers),
                "meetings": sum(pair[1].job in numbers for pair in found),
            }
        )
    lost = set(range(len(jobs))) - ran - killed
    summary = (
        f"{len(jobs)} jobs, {options.at_once} at a time, on {options.gpus} fake GPUs of {MEMORY_MB} MiB: "
        f"{len(found)} meetings, {len(lost)} jobs lost, {len(killed)} killed; {seconds:.0f} s. "
        f"Control of {len(control)} jobs without claims: {len(meetings(unclaimed))} meetings."
    )
    print(summary)
    if options.update:
        _write(Path(__file__).with_suffix(".csv"), rows, summary)
    sys.exit(bool(found or lost))


def _write(path: Path, rows: list[dict[str, object]], summary: str) -> None:
    """The table as CSV, and with its summary as Markdown."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lines = [" | ".join(map(str, row)) for row in (rows[0], ["---"] * len(rows[0]), *(row.values() for row in rows))]
    text = "\n".join(f"| {line} |" for line in lines)
    path.with_suffix(".md").write_text(
        "# Jobs on GPUs\n\nMade by `python benchmarks/devices.py --update`. Each job is a process that claims one GPU, "
        "two GPUs, or a share of\none (`vram_mb`); a tenth of them is killed with `kill -9`. Two jobs meet where one "
        "of them wants the device whole, or\nwhere all shares together are more than its memory.\n\n"
        f"{summary}\n\n{text}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
