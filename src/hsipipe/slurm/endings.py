"""How SLURM ended jobs, read from what it wrote into their logs, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# What slurmstepd, slurmctld and the kernel write, in all versions since 20.02.
SIGNS = {
    "memory": re.compile(r"exceeded (?:job |step )?memory limit|oom[-_ ]kill|Out[- ]Of[- ]Memory|OOM Killed", re.I),
    "time": re.compile(r"DUE TO TIME LIMIT"),
    "node": re.compile(r"DUE TO NODE FAIL"),
    "requeue": re.compile(r"DUE TO JOB REQUEUE"),
    "preemption": re.compile(r"DUE TO PREEMPTION"),
    "cancelled": re.compile(r"error: \*\*\* (?:JOB|STEP) [\d.]+\S* ON \S+ CANCELLED AT \S+ \*\*\*"),
}
SAID = {
    "memory": "was ended because it used more memory than it had asked for",
    "time": "was ended because its time was over",
    "node": "was ended because its node failed",
    "requeue": "was put back into the queue",
    "preemption": "was ended to make room for another job",
    "cancelled": "was cancelled",
}
IN_BYTES = re.compile(r"exceeded memory limit \((\d+) > (\d+)\)")


@dataclass(frozen=True)
class Ending:
    """How one job ended.

    Attributes:
        rule: its rule.
        job: what tells it from the rule's other jobs; empty where the log does not say.
        number: SLURM's number of it.
        cause: a key of SAID.
        file: the log that says so.
        used_mb, limit_mb: memory, where the log says so; MB as SLURM counts them (2^20 bytes).
    """

    rule: str
    job: str
    number: str
    cause: str
    file: Path
    used_mb: int | None = None
    limit_mb: int | None = None


def log_times(folder: str | Path) -> dict[Path, int]:
    """The logs of a folder, and when they were written last, nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*.log")}


def read_endings(folder: str | Path, *, but: Mapping[Path, int] | None = None) -> list[Ending]:
    """The jobs that SLURM ended, of a folder of logs, without those that failed by themselves; oldest first.

    Args:
        folder: `slurm-logdir` of the profile; logs are rule_RULE/WILDCARDS/NUMBER.log.
        but: logs to pass over if they are still the same: those of earlier runs, from `log_times`.
    """
    earlier, found = but or {}, []
    for path, written in log_times(folder).items():
        log = "" if earlier.get(path) == written else path.read_text(encoding="utf-8", errors="replace")
        if cause := cause_of(log):
            rule, *rest = path.relative_to(folder).parts[:-1]
            memory = IN_BYTES.search(log) if cause == "memory" else None
            used_mb, limit_mb = (int(number) // 2**20 for number in memory.groups()) if memory else (None, None)
            job = "/".join(rest)
            found.append(Ending(rule.removeprefix("rule_"), job, path.stem, cause, path, used_mb, limit_mb))
    return sorted(found, key=lambda ending: ending.file.stat().st_mtime)


def cause_of(log: str) -> str | None:
    """Why SLURM ended a job, from its log; None if it did not."""
    return next((cause for cause, sign in SIGNS.items() if sign.search(log)), None)


def describe(endings: Iterable[Ending], *, profile: str | Path) -> list[str]:
    """One line per job: what happened, how often, and what to change."""
    grouped: dict[tuple[str, str, str], list[Ending]] = {}
    for ending in endings:
        grouped.setdefault((ending.rule, ending.job, ending.cause), []).append(ending)
    lines = []
    for (rule, job, cause), same in grouped.items():
        times = "once" if len(same) == 1 else f"{len(same)} times"
        who = f"{rule} ({job})" if job else rule
        numbers = ", ".join(ending.number for ending in same)
        lines.append(f"{who} {SAID[cause]}, {times} (SLURM job {numbers}); {_remedy(rule, cause, same[-1], profile)}")
    return lines


def _remedy(rule: str, cause: str, last: Ending, profile: str | Path) -> str:
    if cause == "memory":
        known = last.used_mb is not None and last.limit_mb is not None
        used = f"{last.used_mb} MB of {last.limit_mb}; " if known else ""
        more = 2 * last.limit_mb if last.limit_mb else "MORE"
        return f"{used}ask for more with `set-resources: {{{rule}: {{mem_mb: {more}}}}}` in {profile}"
    if cause == "time":
        more = f"`set-resources: {{{rule}: {{runtime: MINUTES}}}}` in {profile}"
        return f"a training goes on where it was; {more} gives more time"
    return "it is tried again as often as `retries` says, and by the next run"
