"""The fault campaign: disturb a study in 30 ways, restart it, and compare its tables with the undisturbed ones.

    make fault-test
    python tests/faults/run.py --list             what they are
    python tests/faults/run.py --only 3 17        some of the faults
    python tests/faults/run.py --quick            one of each of two kinds, on a study without a training
    python tests/faults/run.py --at-once 8        several at a time, where there are cores

A fault is survived if the study, restarted and helped as its error messages say, ends with the same bytes in its score
tables. Silently other numbers, lost results, an error without a remedy, or a run that hangs is a failure.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock

import disks
from kinds import KINDS, LATEST, OF_TRAINING, ON_A_DISK, QUICK, WITH_WORKER, Scene, Untried, wait_until
from outcome import UNTRIED, Campaign, Outcome, read_outcomes, write_report
from processes import kill_marked
from study import Course, Study, course_of, remedy_of

SEED = 20260
RESTARTS = 4
HANGS_AFTER_S = 900.0
OUTCOMES = "outcomes.jsonl"  # a line per fault that is over


@dataclass(frozen=True)
class Plan:
    """One fault: its number, its kind, and after which share of the undisturbed span it strikes."""

    number: int
    kind: str
    share: float


def plan_faults(seed: int = SEED) -> list[Plan]:
    """All faults, in an order and at times that the seed draws."""
    rng = random.Random(seed)
    kinds = [kind for kind, (count, _) in KINDS.items() for _ in range(count)]
    rng.shuffle(kinds)
    return [Plan(number, kind, rng.random() * LATEST.get(kind, 1.0)) for number, kind in enumerate(kinds, start=1)]


def quick_faults(seed: int = SEED) -> list[Plan]:
    """One fault of each of a few kinds."""
    rng = random.Random(seed)
    return [Plan(number, kind, rng.uniform(0.3, 0.8)) for number, kind in enumerate(QUICK, start=1)]


@dataclass
class Trial:
    """One fault in a folder of its own."""

    plan: Plan
    study: Study
    reference: dict[str, bytes]
    course: Course
    told: list[str] = field(default_factory=list)
    restarts: int = 0

    def run(self) -> Outcome:
        """Strike, restart, compare."""
        began = time.monotonic()
        mounted = self.plan.kind in ON_A_DISK and disks.can_mount()
        if mounted:
            disks.mount_disk(self.study.folder / "results")
        did = ""
        try:
            rng = random.Random(f"{SEED}/{self.plan.number}")
            scene = Scene(self.study, self.study.start(), rng, self.course, mounted)
            if self.plan.kind not in OF_TRAINING:
                wait_until(scene, self.plan.share)
            KINDS[self.plan.kind][1](scene)
            verdict = self._see_through(scene)
            did = scene.did
        except Untried as reason:
            verdict = f"{UNTRIED}: {reason}"
        except Exception:
            verdict = f"failed: {traceback.format_exc()[-800:]}"
        finally:
            kill_marked(self.study.mark)
            while mounted and disks.unmount(self.study.folder / "results"):
                pass
        return Outcome(
            self.plan.number,
            self.plan.kind,
            round(self.plan.share, 3),
            did,
            self.restarts,
            tuple(self.told),
            verdict,
            round(time.monotonic() - began, 1),
        )

    def _see_through(self, scene: Scene) -> str:
        """Restart until the study is finished; what became of it."""
        ended = self.study.end(scene.running)
        if ended.status is None:
            return "failed: the disturbed run hung"
        if ended.status == 0 and not self._is_right():
            return "failed: silently wrong"
        while self.restarts < RESTARTS:
            self.restarts += 1
            ended = self.study.run()
            if ended.status is None:
                return "failed: a restart hung"
            if ended.status == 0:
                return self._judge(scene)
            if not ended.errors:
                return f"failed: status {ended.status} without a clear error: {ended.output[-600:]}"
            self._heed(ended.errors, scene)
        return "failed: not finished after the restarts"

    def _heed(self, errors: Sequence[str], scene: Scene) -> None:
        """Do what the errors say."""
        self.told += [line.replace(f"{self.study.folder}/", "") for line in errors if line not in self.told]
        for line in errors:
            for name in remedy_of(line):
                (self.study.folder / name).unlink(missing_ok=True)
        while scene.remedies:
            scene.remedies.pop()()

    def _judge(self, scene: Scene) -> str:
        if not self._is_right():
            return "failed: silently wrong or lost"
        if scene.settles and "Nothing to be done" not in self.study.run().output:
            return "failed: the finished study runs again"
        return "survived"

    def _is_right(self) -> bool:
        return self.study.tables() == self.reference


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; 0 if all was survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--only", type=int, nargs="+", help="numbers of the faults to try; no report is written then")
    chosen.add_argument("--quick", action="store_true", help="two faults on a smaller study; no report is written then")
    chosen.add_argument("--list", action="store_true", help="print the faults and end")
    parser.add_argument("--within", type=float, default=math.inf, help="minutes after which no fault is begun any more")
    parser.add_argument("--cores", type=int, default=2, help="of each study")
    parser.add_argument("--at-once", type=int, default=1, help="studies at a time")
    parser.add_argument("--folder", type=Path, help="where the studies run; kept (a temporary folder if absent)")
    parser.add_argument("--go-on", action="store_true", help="take over what an interrupted campaign left in --folder")
    parser.add_argument("--report", type=Path, help="folder for faults.csv and faults.md")
    options = parser.parse_args(arguments)
    plans = quick_faults() if options.quick else plan_faults()
    plans = [plan for plan in plans if options.only is None or plan.number in options.only]
    if options.list:
        print("\n".join(f"{plan.number:3d}  {plan.kind} at {plan.share:.0%}" for plan in plans))
        return 0
    work = (options.folder or Path(tempfile.mkdtemp(prefix="hsipipe-faults-"))).resolve()
    began = time.monotonic()

    def fresh_study(name: str, *, has_worker: bool = False) -> Study:
        shutil.rmtree(work / name, ignore_errors=True)
        return Study(work / name, options.cores, HANGS_AFTER_S, has_worker=has_worker, is_quick=options.quick)

    undisturbed = fresh_study("undisturbed")
    course = course_of(undisturbed)
    reference = undisturbed.tables()
    print(f"undisturbed: {course.span_s:.0f} s, {len(reference)} tables", flush=True)

    kept = read_outcomes(work / OUTCOMES) if options.go_on else {}
    lock = Lock()

    def attempt(plan: Plan) -> Outcome:
        if plan.number in kept:
            return kept[plan.number]
        if time.monotonic() > began + 60 * options.within:
            return Outcome(plan.number, plan.kind, round(plan.share, 3), "", 0, (), f"{UNTRIED}: no time left", 0.0)
        study = fresh_study(f"fault{plan.number:02d}", has_worker=plan.kind in WITH_WORKER)
        outcome = Trial(plan, study, reference, course).run()
        with lock, open(work / OUTCOMES, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
        print(f"{outcome}", flush=True)
        if outcome.survived and options.folder is None:
            shutil.rmtree(study.folder)
        return outcome

    with ThreadPoolExecutor(options.at_once) as pool:
        outcomes = list(pool.map(attempt, plans))
    campaign = Campaign(outcomes, course, options.cores, options.at_once)
    print(campaign.verdict)
    if options.report is not None and options.only is None and not options.quick:
        write_report(campaign, options.report)
    if options.folder is None and campaign.is_good:
        shutil.rmtree(work)
    return 0 if campaign.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
