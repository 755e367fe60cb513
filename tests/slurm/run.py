"""`make slurm-test`: a study under SLURM, disturbed, beside the same study on this machine; two GPUs that are none.

    run.py            the demo, config/config.yaml
    run.py --quick    tests/slurm/study.yaml, minutes less
    run.py --calm     without the faults

It needs root and the packages of SLURM, which it installs with apt-get where they are missing. Without them it fails.
With --may-skip, or where the environment has CI, it installs nothing, says why it cannot run, and ends well.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from cluster import HERE, Failure, say, started
from faults import Study, disturb

from hsipipe.report.costs import COSTS

ROOT = HERE.parent.parent
TOLERANCE = 1e-4
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
# Where a training is ended for its memory, so that little of it must be taken; each attempt has more.
TRAINING_MEMORY = "attempt * 2500"


def why_not(*, may_install: bool) -> str | None:
    """Why no SLURM can be started here; its packages are installed first, if they are missing."""
    if os.geteuid() != 0:
        return "a SLURM for tests needs root"
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if all(map(shutil.which, PROGRAMS)):
        return None
    missing = f"SLURM is not installed ({', '.join(PROGRAMS)})"
    if not may_install:
        return missing
    if not shutil.which("apt-get"):
        return f"{missing}, and there is no apt-get to install it with"
    say("installing SLURM (slurmctld slurmd slurm-client munge) with apt-get")
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    return None if installed.returncode == 0 else f"SLURM cannot be installed: {installed.stderr.strip()[-300:]}"


def snakemake(folder: Path, configs: list[Path], *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [*command, "--configfile", *map(str, configs), *arguments]


def run_here(folder: Path, configs: list[Path]) -> None:
    say("the study on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    profile = ["--workflow-profile", str(ROOT / "profiles/default"), "--cores", "2", "--resources", "gpu=2"]
    with open(folder.with_suffix(".log"), "w", encoding="utf-8") as log:
        command = snakemake(folder, configs, *profile)
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise Failure(f"the study failed on this machine: {log.name}")


def run_there(folder: Path, configs: list[Path], *, faults: bool) -> None:
    say("the study under SLURM, two GPUs" + (", disturbed" if faults else ""))
    folder.mkdir(parents=True, exist_ok=True)
    trigger = folder.parent / "take-memory"
    log = folder.with_suffix(".log")
    command = snakemake(
        folder,
        configs,
        *("--executor", "slurm", "--workflow-profile", str(ROOT / "profiles/slurm")),
        *("--slurm-partition-config", str(HERE / "partitions.yaml")),
        *("--slurm-init-seconds-before-status-checks", "2"),
        *("--set-resources", f"train_method:mem_mb={TRAINING_MEMORY}"),
    )
    python_path = os.pathsep.join(filter(None, [str(HERE / "memory"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": python_path, "MEMORY_TRIGGER": str(trigger)}
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, env=environment)
    try:
        if faults:
            say(f"{disturb(Study(process, folder), trigger)} faults tried; now to the end")
        if process.wait():
            raise Failure(f"the study failed under SLURM: {log}")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # it cancels its jobs; after SIGTERM it would wait for them
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
    told = log.read_text(encoding="utf-8")
    if faults and "used more memory than it had asked for" not in told:
        raise Failure(f"nothing was said about the job that was ended for its memory: {log}")
    for line in told.splitlines():
        if line.startswith("slurm: "):
            say(line)


def without_costs(table: pd.DataFrame) -> pd.DataFrame:
    """The scores in a table."""
    return table[~table.metric.isin(COSTS)] if "metric" in table else table


def compare(here: Path, there: Path) -> None:
    """Score tables must be equal; to TOLERANCE where the number of threads differed."""
    tables = sorted(path.relative_to(here) for path in here.glob("results/papers/*/**/*.csv"))
    scores = [path for path in tables if not path.stem.endswith("_cost")]
    if not scores:
        raise Failure(f"there are no tables in {here}")
    for path in scores:
        if (here / path).read_bytes() == (there / path).read_bytes():
            say(f"equal byte for byte: {path}")
            continue
        # What runs cost differs from run to run, also in a table of scores that shows it.
        first, second = (without_costs(pd.read_csv(folder / path)) for folder in (here, there))
        pd.testing.assert_frame_equal(first, second, check_exact=False, rtol=0, atol=TOLERANCE)
        say(f"equal {'but for costs' if first.equals(second) else f'to {TOLERANCE:g}'}: {path}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--may-skip", action="store_true", default=bool(os.environ.get("CI")))
    parser.add_argument(
        "--folder",
        type=Path,
        help="where results go, and stay; what is there is not made again (default: a temporary one)",
    )
    given = parser.parse_args()
    if reason := why_not(may_install=not given.may_skip):
        print(f"{'skipped' if given.may_skip else 'error'}: {reason}", file=sys.stderr)
        return 0 if given.may_skip else 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    began = time.monotonic()
    configs = [HERE / "study.yaml"] if given.quick else [ROOT / "config/config.yaml", HERE / "often.yaml"]
    folder = given.folder or Path(tempfile.mkdtemp(prefix="hsipipe-slurm-"))
    try:
        run_here(folder / "here", configs)
        with started(cpus=8, memory_mb=64000, gpus=2):
            run_there(folder / "there", configs, faults=not given.calm)
        compare(folder / "here", folder / "there")
    except (Failure, AssertionError) as failure:
        print(f"error: {failure}; logs are in {folder}", file=sys.stderr)
        return 1
    if given.folder is None:
        shutil.rmtree(folder)
    say(f"passed in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
