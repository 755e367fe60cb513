"""How much of a study's CPU time is scheduling and start-up: Snakemake's own, Python's start and imports of each job.

python benchmarks/startup.py [--config config/config.yaml --cores 2 --label before]

Runs the study (the demo, unless another config is named) in an empty folder, once to the end and once more with
nothing to do. A hook in each Python process (`startup_hook/sitecustomize.py`) adds up the CPU time of its import
statements, so that lazy imports count too. *Work* is a job's CPU time without Python's start and imports, its children
included; all the rest of what the run cost is scheduling and start-up. CPU seconds grow on a loaded machine too (shared
caches), so the share is the figure to compare. Writes benchmarks/startup.csv (one row per label) and startup.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from hsipipe.files import write_text

ROOT = Path(__file__).resolve().parent.parent
HOOK = Path(__file__).resolve().parent / "startup_hook"
CSV, REPORT = Path(__file__).with_suffix(".csv"), Path(__file__).with_suffix(".md")
LOADED_BY_JOBS = ("torch", "lightning")
WHOLE = "(all)"


def main() -> None:
    """Measure, and write the table and the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "config.yaml")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--label", default="now", help="name of the run in startup.csv; an equal one is replaced")
    parser.add_argument("--folder", type=Path, help="an empty folder that is kept; a temporary one otherwise")
    parser.add_argument("--records", type=Path, help="run nothing: the folder of a run that was stopped")
    options = parser.parse_args()
    if options.records:
        jobs = jobs_in(options.records / "records-full")
        rows = by_rule(jobs)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            full = run(folder, options.config, options.cores, "full")
            idle = run(folder, options.config, options.cores, "idle")
        rows = [whole(full, idle), *by_rule(full["jobs"])]
    known = pd.read_csv(CSV) if CSV.exists() else pd.DataFrame({"label": []})
    frames = [known[known.label != options.label], pd.DataFrame([{"label": options.label, **row} for row in rows])]
    table = pd.concat([frame for frame in frames if len(frame)])
    table.to_csv(CSV, index=False, float_format="%.6g", lineterminator="\n")
    write_text(REPORT, report(table))
    print(REPORT.read_text(encoding="utf-8"))


def run(folder: Path, config: Path, cores: int, name: str) -> dict[str, Any]:
    """Run the workflow once; CPU and wall seconds of the whole, and the records of its processes."""
    records = folder / f"records-{name}"
    records.mkdir()
    path = os.pathsep.join([str(HOOK), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(config), "--cores", str(cores), "--resources", "gpu=0"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "HSIPIPE_STARTUP_RECORDS": str(records)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    wall_s = time.time() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stdout[-4000:])
    found = read_records(records)
    return {
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall_s": wall_s,
        "jobs": jobs_in(records),
        "scheduler": [record for record in found if "snakemake" in record["arguments"][0] and not is_job(record)],
    }


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records of the processes of a run."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]


def jobs_in(folder: Path) -> list[dict[str, Any]]:
    """The jobs of a run that ended."""
    return [job_of(record) for record in read_records(folder) if is_job(record)]


def is_job(record: dict[str, Any]) -> bool:
    """Whether a process ran a rule's script (Snakemake puts a copy of it under another name beside the first)."""
    return ".snakemake/scripts" in record["arguments"][0] or "workflow/scripts" in record["arguments"][0]


def job_of(record: dict[str, Any]) -> dict[str, Any]:
    """A job's rule, its CPU seconds before work (Python's start, Snakemake's preamble, imports) and at work."""
    name = Path(record["arguments"][0]).name.removesuffix(".py")
    total_s = record["cpu_s"] + record["children_s"]
    startup_s = record["before_s"] + record["imports_s"]
    return {**record, "rule": name.partition(".")[2] or name, "startup_s": startup_s, "work_s": total_s - startup_s}


def waits_s(jobs: list[dict[str, Any]]) -> list[float]:
    """Wall seconds from the end of a job to the next start of another, for the ends that are followed by a start.

    An end that is followed by another end freed nothing that anything waited for: its successor waited for the other.
    """
    events = sorted([(job["ended"], "end") for job in jobs] + [(job["started"], "start") for job in jobs])
    pairs = itertools.pairwise(events)
    return [second[0] - first[0] for first, second in pairs if (first[1], second[1]) == ("end", "start")]


def whole(full: dict[str, Any], idle: dict[str, Any]) -> dict[str, Any]:
    """The row of a run as a whole."""
    jobs = full["jobs"]
    work_s = sum(job["work_s"] for job in jobs)
    waits = waits_s(jobs)
    return {
        "rule": WHOLE,
        "jobs": len(jobs),
        **{f"with_{name}": sum(job[name] for job in jobs) for name in LOADED_BY_JOBS},
        "startup_s": sum(job["startup_s"] for job in jobs),
        "work_s": work_s,
        "scheduler_s": sum(record["cpu_s"] for record in full["scheduler"]),
        "cpu_s": full["cpu_s"],
        "share_percent": 100 * (1 - work_s / full["cpu_s"]),
        "wall_s": full["wall_s"],
        "wait_median_s": statistics.median(waits),
        "wait_90_percent_s": sorted(waits)[int(0.9 * (len(waits) - 1))],
        "idle_cpu_s": idle["cpu_s"],
        "idle_wall_s": idle["wall_s"],
    }


def by_rule(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sums of each rule, those with the dearest start-up first; the figures of all cases are one rule."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for job in jobs:
        groups[job["rule"]].append(job)
    rows = [
        {
            "rule": rule,
            "jobs": len(group),
            **{f"with_{name}": sum(job[name] for job in group) for name in LOADED_BY_JOBS},
            "startup_s": sum(job["startup_s"] for job in group),
            "work_s": sum(job["work_s"] for job in group),
            "slowest": slowest(group),
        }
        for rule, group in groups.items()
    ]
    return sorted(rows, key=lambda row: -row["startup_s"])


def slowest(jobs: list[dict[str, Any]]) -> str:
    """The three imports of a rule's jobs that cost most, with their mean CPU seconds per job."""
    sums: dict[str, float] = defaultdict(float)
    for job in jobs:
        for name, seconds in job["slowest"].items():
            sums[name] += seconds
    first = sorted(sums.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {seconds / len(jobs):.2f}" for name, seconds in first)


def report(table: pd.DataFrame) -> str:
    """The report in Markdown."""
    lines = [
        "# Scheduling and start-up of the default study",
        "",
        "`python benchmarks/startup.py`, on 2 cores of a shared machine: CPU seconds and their ratios tell, wall",
        "seconds are of a loaded machine. *Start-up* is Python's start and imports, lazy too. *Share* is all but work,",
        "Snakemake included. *Wait* is from the end of a job to the next start. *Idle* is a run with nothing to do.",
        "",
    ]
    finished = table[table.rule == WHOLE]
    if len(finished):
        columns = "run | jobs | CPU s | work s | start-up s | Snakemake s | share | wait, median (90 %) s | idle CPU s"
        lines.append(f"| {columns} |")
        lines.append("| --- " * 9 + "|")
        for row in finished.to_dict("records"):
            lines.append(
                f"| {row['label']} | {row['jobs']:.0f} | {row['cpu_s']:.0f} | {row['work_s']:.0f} "
                f"| {row['startup_s']:.0f} | {row['scheduler_s']:.0f} | {row['share_percent']:.0f} % "
                f"| {row['wait_median_s']:.2f} ({row['wait_90_percent_s']:.2f}) | {row['idle_cpu_s']:.1f} |"
            )
        lines.append("")
    for label, rows in table[table.rule != WHOLE].groupby("label", sort=False):
        stopped = "" if label in set(finished.label) else ", stopped before its end: the jobs that had ended"
        lines += [f"By rule, run `{label}`{stopped}; CPU seconds:", ""]
        lines += ["| rule | jobs | torch | Lightning | start-up of a job s | work s | dearest imports s |"]
        lines += ["| --- " * 7 + "|"]
        for row in rows.to_dict("records"):
            lines.append(
                f"| {row['rule']} | {row['jobs']:.0f} | {row['with_torch']:.0f} | {row['with_lightning']:.0f} "
                f"| {row['startup_s'] / row['jobs']:.2f} | {row['work_s']:.1f} | {row['slowest']} |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
