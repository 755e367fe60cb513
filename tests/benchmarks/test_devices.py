import random
import subprocess
import sys
from pathlib import Path

import devices
from devices import MEMORY_MB, Job, Span, draw_jobs, meetings, most_at_once

HALF = MEMORY_MB // 2


def test_jobs_never_meet():
    """A small version of the table: processes that claim on fake GPUs, some of them killed."""
    command = [sys.executable, devices.__file__, "--jobs", "80", "--gpus", "3", "--at-once", "12", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 meetings, 0 jobs lost" in done.stdout
    assert "claims: 0 meetings" not in done.stdout, "the control sees nothing"


def test_meetings_by_hand():
    first = Span(0, "0", 1.0, 3.0, 0)
    assert meetings([first, Span(1, "0", 3.0, 4.0, 0), Span(2, "1", 1.0, 3.0, 0)]) == []
    assert meetings([Span(1, "0", 2.0, 4.0, 0), first]) == [(first, Span(1, "0", 2.0, 4.0, 0))]
    assert len(meetings([first, Span(1, "0", 2.0, 4.0, 100)])) == 1
    halves = [Span(number, "0", number, 10.0, HALF) for number in range(2)]
    assert meetings(halves) == []
    assert len(meetings([*halves, Span(2, "0", 2.0, 3.0, 1)])) == 1
    assert most_at_once(halves) == 2


def test_jobs_are_of_every_kind_and_repeatable():
    jobs = draw_jobs(100, random.Random(0))
    assert jobs == draw_jobs(100, random.Random(0))
    assert {job.kind for job in jobs} == {"1 GPU", "2 GPUs", "a share by vram_mb"}
    assert {job.seconds is None for job in jobs} == {True, False}
    assert Job(1, 0, 0.1).killed_after_s == float("inf")


def test_the_committed_table_found_no_meeting():
    text = (Path(devices.__file__).parent / "devices.csv").read_text()
    rows = [line.split(",") for line in text.splitlines()]
    assert rows[0][-1] == "meetings"
    assert sum(int(row[1]) for row in rows[1:]) == 1000
    assert [row[-1] for row in rows[1:]] == ["0", "0", "0"]
