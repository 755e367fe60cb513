"""What became of the faults, as lines, as a table and as a page."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from study import Course

from hsipipe.files import write_text

UNTRIED = "not tried"
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """What became of one fault.

    Attributes:
        number, kind: which.
        share: of the undisturbed span after which it struck.
        did: what was done.
        restarts: runs of the workflow after the disturbed one.
        told: the errors whose remedies were followed.
        verdict: `survived`, `not tried` and why, or how it failed.
        seconds: in all.
    """

    number: int
    kind: str
    share: float
    did: str
    restarts: int
    told: tuple[str, ...]
    verdict: str
    seconds: float

    @property
    def survived(self) -> bool:
        """Whether the tables came out right in the end."""
        return self.verdict == "survived"

    @property
    def is_tried(self) -> bool:
        """Whether it could be done here at all."""
        return not self.verdict.startswith(UNTRIED)

    def __str__(self) -> str:
        told = "".join(f"\n     {line}" for line in self.told)
        what = f"{self.kind} at {self.share:.0%} ({self.did})"
        return f"{self.number:3d}  {what}: {self.verdict}, {self.restarts} restarts, {self.seconds:.0f} s{told}"


@dataclass(frozen=True)
class Campaign:
    """All outcomes, the course of the undisturbed study, cores of each study, studies at a time."""

    outcomes: Sequence[Outcome]
    course: Course
    cores: int
    at_once: int

    @property
    def survived(self) -> int:
        """How many faults were survived."""
        return sum(outcome.survived for outcome in self.outcomes)

    @property
    def verdict(self) -> str:
        """The campaign in one line."""
        wrong = sum("wrong" in outcome.verdict or "lost" in outcome.verdict for outcome in self.outcomes)
        untried = sum(not outcome.is_tried for outcome in self.outcomes)
        more = f", {untried} not tried" if untried else ""
        tried = len(self.outcomes) - untried
        return f"{self.survived} of {tried} faults survived, {wrong} results lost or silently wrong{more}"

    @property
    def is_good(self) -> bool:
        """Whether all that was tried was survived."""
        return all(outcome.survived for outcome in self.outcomes if outcome.is_tried)


def read_outcomes(path: Path) -> dict[int, Outcome]:
    """What an earlier campaign wrote of its faults, by number; of one that was tried again, the last."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    outcomes = [Outcome(**{**content, "told": tuple(content["told"])}) for content in map(json.loads, lines)]
    return {outcome.number: outcome for outcome in outcomes}


def write_report(campaign: Campaign, folder: Path) -> None:
    """Write faults.csv, a row per fault, and faults.md."""
    text = io.StringIO()
    rows = [{**asdict(outcome), "told": " | ".join(outcome.told)} for outcome in campaign.outcomes]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    # What a failed run printed names files of the checkout.
    write_text(folder / "faults.csv", text.getvalue().replace(f"{CHECKOUT}/", ""))
    write_text(folder / "faults.md", page_of(campaign))


def page_of(campaign: Campaign) -> str:
    """The campaign as Markdown."""
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in campaign.outcomes:
        kinds[outcome.kind].append(outcome)
    minutes = sum(outcome.seconds for outcome in campaign.outcomes) / 60
    lines = [
        "# Faults",
        "",
        f"**{campaign.verdict}.**",
        "",
        "Written by `make fault-test` (tests/faults/run.py). A small study is disturbed in the middle of its work, at",
        "times drawn from a fixed seed, and started again. A fault is survived if the score tables, their claims",
        "included, end up byte for byte as those of the undisturbed study, where need be after doing what an error",
        "message says. Each fault is a row of [faults.csv](faults.csv), with those messages.",
        "",
        "| fault | tried | survived | restarts | with an error told |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind, outcomes in sorted(kinds.items()):
        restarts = sorted({outcome.restarts for outcome in outcomes})
        spread = f"{restarts[0]} to {restarts[-1]}" if len(restarts) > 1 else f"{restarts[0]}"
        survived, told = sum(outcome.survived for outcome in outcomes), sum(bool(outcome.told) for outcome in outcomes)
        lines.append(f"| {kind} | {sum(outcome.is_tried for outcome in outcomes)} | {survived} | {spread} | {told} |")
    lines += [
        "",
        f"Undisturbed, the study took {campaign.course.span_s:.0f} s with {campaign.cores} cores, and "
        f"{campaign.course.processor_s:.0f} s of processor time. The faults took {minutes:.0f} min together, "
        f"{campaign.at_once} at a time. The machine has {os.cpu_count()} cores ({platform.machine()}, no GPU); its "
        f"load was {os.getloadavg()[2]:.1f} in the last 15 minutes, the campaign's own included.",
        "",
    ]
    return "\n".join(lines)
