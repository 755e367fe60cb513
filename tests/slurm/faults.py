"""What happens to trainings on a cluster, done to them on purpose; each must go on where it was."""

import math
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster import FOLDER, HERE, Failure, Job, details, job, jobs, node_state, processes, say, until

TRAINING = "rule_train_method_wildcards_"


@dataclass
class Study:
    """A study that runs under SLURM: the process of Snakemake, and its folder."""

    snakemake: subprocess.Popen
    folder: Path

    def path(self, each: Job, *, under: str, end: str) -> Path | None:
        """The file of a training: its wildcards are joined by _ in the comment, and folders here."""
        for path in self.folder.glob(f"{under}/*/*/*/{end}"):
            *names, seed = (*path.parts[-4:-1], path.name) if end.endswith(".log") else path.parts[-5:-1]
            if TRAINING + "_".join([*names, seed.removeprefix("seed").removesuffix(".log")]) == each.comment:
                return path
        return None

    def checkpoint(self, each: Job) -> Path | None:
        return self.path(each, under="results/.state", end="*/last.ckpt")

    def log(self, each: Job) -> Path | None:
        return self.path(each, under="logs/train_method", end="*.log")

    def has_saved(self, each: Job) -> bool:
        """Whether the present attempt of a training has saved a checkpoint."""
        checkpoint, begun = self.checkpoint(each), started_at(each)
        return bool(checkpoint and begun and checkpoint.stat().st_mtime > begun + 1)

    def check(self) -> None:
        if self.snakemake.poll() is not None:
            raise Failure(f"snakemake ended with {self.snakemake.returncode} before all faults were tried")


def trainings(*states: str) -> list[Job]:
    return [each for each in jobs() if each.comment.startswith(TRAINING) and each.state in states]


def two_run_and_a_third_waits(study: Study) -> None:
    """Two trainings run at once on different devices, and another one waits for a device."""

    def look() -> tuple[dict[str, Job], Job] | None:
        study.check()
        # What has no device runs on the processor, or has ended since the list was made.
        running = [(device, each) for each in trainings("RUNNING") if (device := device_of(each))]
        waiting = [each for each in trainings("PENDING") if each.reason in ("Resources", "Priority")]
        by_device = dict(running)
        if len(by_device) < len(running):
            raise Failure(f"two trainings run on one device: {', '.join(str(each.number) for _, each in running)}")
        return (by_device, waiting[0]) if len(by_device) == 2 and waiting else None

    running, waiting = until("two trainings that run and a third that waits", look)
    told = " and ".join(f"job {each.number} on device {device}" for device, each in sorted(running.items()))
    say(f"{told}; job {waiting.number} waits: {waiting.reason}")


def device_of(each: Job) -> str | None:
    """The number of the GPU that SLURM gave to a job, if it runs on one."""
    found = re.search(r"gpu:fake:1\(IDX:(\d+)\)", details(each.number).get("GRES", ""))
    return found[1] if found else None


def caught(study: Study, *, but: tuple[Job, ...] = (), only: Job | None = None) -> Job:
    """A training that runs and has saved a checkpoint in this attempt, held still."""
    passed = {each.comment for each in but}

    def look() -> Job | None:
        study.check()
        for each in trainings("RUNNING"):
            if each.comment in passed or (only and each.comment != only.comment):
                continue
            if study.has_saved(each):
                hold(each)
                if study.has_saved(each):
                    return each
                release(each)  # it has ended meanwhile
        return None

    return until("a training with a checkpoint", look, every=0.1)


def started_at(each: Job) -> float | None:
    """When the present attempt of a job started, seconds since the epoch."""
    text = details(each.number).get("StartTime", "")
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S")) if text[:1].isdigit() else None


def hold(each: Job) -> None:
    send(each, signal.SIGSTOP)


def release(each: Job) -> None:
    send(each, signal.SIGCONT)


def send(each: Job, what: signal.Signals) -> None:
    for process in processes(each.number):
        with suppress(ProcessLookupError):  # it ended in this moment
            os.kill(process, what)


def went_on(study: Study, each: Job, fault: str, *, after: Job) -> None:
    """Wait for the attempt that follows a fault, and read from its log where the training went on."""

    def look() -> re.Match | None:
        study.check()
        same = [one for one in trainings("RUNNING", "COMPLETING", "COMPLETED") if one.comment == each.comment]
        now = max(same, key=lambda one: one.number, default=None)
        log = study.log(each)
        if now is None or log is None or log.stat().st_mtime < (started_at(now) or math.inf):
            return None
        if now.number == after.number and int(details(now.number)["Restarts"]) == 0:
            return None
        return re.search(r"(?:continuing at|epoch \d+ of \d+:) step (\d+)", log.read_text(encoding="utf-8"))

    found = until(f"{each.comment} going on after the fault `{fault}`", look, every=0.1)
    if not found[0].startswith("continuing"):
        raise Failure(f"{each.comment} started anew after the fault `{fault}`")
    say(f"{fault}: {each.comment.removeprefix(TRAINING)} went on at step {found[1]}")


def ended(each: Job, *states: str) -> None:
    state = until(f"job {each.number} to end as {' or '.join(states)}", lambda: over(each))
    if state not in states:
        raise Failure(f"job {each.number} ended as {state}, not as {' or '.join(states)}")
    say(f"job {each.number}, {each.comment.removeprefix(TRAINING)}: {state}")


def over(each: Job) -> str | None:
    state = job(each.number).state
    return None if state in ("RUNNING", "COMPLETING", "PENDING") else state


def cancel(each: Job) -> None:
    subprocess.run(["scancel", str(each.number)], check=True)
    release(each)
    ended(each, "CANCELLED")


def take_memory(each: Job, trigger: Path) -> None:
    own = Path(f"{trigger}.{each.number}")
    own.touch()
    release(each)
    ended(each, "FAILED", "OUT_OF_MEMORY")
    own.unlink()


def kill_node(each: Job) -> None:
    """Kill the daemon of the node that a job runs on: SLURM finds the node down, and queues its jobs anew."""
    os.kill(int((FOLDER / "slurmd.pid").read_text()), signal.SIGKILL)
    until("the node to be down", lambda: node_state().startswith("down"), every=1)
    until(f"job {each.number} to be queued anew", lambda: job(each.number).state == "PENDING")
    say(f"the node is down; job {each.number}, {each.comment.removeprefix(TRAINING)}, is in the queue again")
    subprocess.run([HERE / "start.sh", FOLDER, "--node"], check=True)
    # SLURM would let them wait for two minutes. A job that came back while its first attempt is still being ended would
    # be told a duplicate, and the node be drained.
    until("what was left of the jobs to be ended", lambda: not any(map(step_daemons, waiting_jobs())))
    for waiting in waiting_jobs():
        subprocess.run(["scontrol", "update", f"JobId={waiting.number}", "StartTime=now"], check=True)


def waiting_jobs() -> list[Job]:
    """All jobs in the queue, of whatever rule."""
    return [each for each in jobs() if each.state == "PENDING"]


def step_daemons(each: Job) -> list[Path]:
    """The daemons of SLURM on this machine that look after a job's processes."""
    title = f"slurmstepd: [{each.number}.".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended in this moment
            if path.read_bytes().startswith(title):
                found.append(path.parent)
    return found


def disturb(study: Study, trigger: Path) -> int:
    """All faults; returns their number. A training that is held still lets time pass, and does not end too early."""
    two_run_and_a_third_waits(study)
    slow = caught(study)
    subprocess.run(["scontrol", "update", f"JobId={slow.number}", "TimeLimit=1"], check=True)
    unwanted = caught(study, but=(slow,))
    cancel(unwanted)
    greedy = caught(study, but=(slow, unwanted))
    take_memory(greedy, trigger)
    went_on(study, unwanted, "scancel", after=unwanted)
    again = caught(study, only=unwanted)
    cancel(again)
    kept = caught(study, only=unwanted)  # on one of the two devices; the others go on on the other one
    went_on(study, kept, "second scancel", after=again)
    ended(slow, "TIMEOUT")
    went_on(study, slow, "time limit", after=slow)
    went_on(study, greedy, "memory limit", after=greedy)
    kill_node(kept)
    went_on(study, kept, "killed slurmd", after=kept)
    return 5
