"""What looking at the records of a study costs before each plan: as after a run, and when nothing happened since.

    python benchmarks/settling.py

Writes benchmarks/settling.md. The study has files of a few kB, so that the figures are the cost of the records alone.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from hsipipe.files import write_text
from hsipipe.provenance.settle import Settled, settle
from hsipipe.provenance.steps import record_files, recorded

RUNS = 400  # of three steps each: 1,200 jobs
CASE_INPUTS = ["results/scenes/scene.h5", "results/t/c/case.h5"]
FILE_BYTES = 4000


def make(step: str, inputs: list[str], outputs: list[str]) -> None:
    """Run a step that writes files of arbitrary content."""
    named = [[(f"file{place}", path) for place, path in enumerate(paths)] for paths in (inputs, outputs)]
    with recorded(step, inputs=named[0], outputs=named[1], params={"key": "k", "settings": {"a": 1}}, wildcards={}):
        for path in outputs:
            write_text(path, path * (FILE_BYTES // len(path)))


def make_study() -> None:
    """Make a study of 1,200 steps in the current folder."""
    make("read_scene", [], CASE_INPUTS[:1])
    make("degrade_case", CASE_INPUTS[:1], CASE_INPUTS[1:])
    for number in range(RUNS):
        folder = f"results/t/c/v{number}/seed0"
        make("train_method", CASE_INPUTS, [f"{folder}/{name}" for name in ("model.pt", "curves.png", "samples.png")])
        run = [f"{folder}/kept.h5", f"{folder}/run.json"]
        make("run_method", [*CASE_INPUTS, f"{folder}/model.pt"], run)
        make("score_run", [*CASE_INPUTS, run[0]], [f"{folder}/scores.csv"])


def timed_settle() -> tuple[float, Settled]:
    """Settle all of it: processor seconds, and what was found."""
    began = time.process_time()
    folders = ["results/scenes", "results/t/c", *(f"results/t/c/v{number}/seed0" for number in range(RUNS))]
    found = settle(path for folder in folders for path in record_files(folder))
    return time.process_time() - began, found


def main() -> None:
    """Measure, print and write."""
    target = Path(__file__).with_suffix(".md").resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_study()
        for path in Path("results").rglob("*"):
            if path.is_file() and path.parent.name != ".steps":
                os.utime(path)
        after_run_s, found = timed_settle()
        idle_s = min(timed_settle()[0] for _ in range(3))
        os.chdir("/")
    text = f"""# Looking at records before a plan

{len(found.steps):,} steps with {len(found.restored):,} files of {FILE_BYTES / 1000:.0f} kB, on a machine of
{os.cpu_count()} cores with a load of {os.getloadavg()[0]:.1f} (`python benchmarks/settling.py`).

| | processor seconds |
|---|---:|
| the first time after a run: every file is read, since Snakemake has touched it | {after_run_s:.2f} |
| when nothing has changed since | {idle_s:.2f} |
"""
    write_text(target, text)
    print(text)


if __name__ == "__main__":
    main()
