"""The verb doctor: what this machine has for a study, and what is missing."""

from __future__ import annotations

import argparse
import textwrap

from hsipipe.cli.output import print_json
from hsipipe.cli.verbs import Verbs

WIDTH = 110


def add_verbs(verbs: Verbs) -> None:
    """Add the verb of this module to the parser."""
    verbs.add(
        "doctor",
        examine,
        group="about",
        summary="what this machine has for a study, what is missing, and what will be slow",
        description="Look at Python, libraries, GPUs, cores, memory, SLURM, the folder of results with its disk, and "
        "the mirror of downloads. Each line is ok, a note (it works, with less), or a problem, with what to do. Exit "
        "code 2 if there is a problem, that is, something that the default run needs.",
        examples=["hsipipe doctor", "hsipipe doctor --json"],
        json="one object: healthy, and a list of findings (what, found, state, remedy)",
    )


def examine(options: argparse.Namespace) -> int:
    """Look at everything, and print it; 2 if there is a problem."""
    from dataclasses import asdict

    from hsipipe.doctor.machine import check_machine
    from hsipipe.doctor.places import check_places
    from hsipipe.doctor.software import check_software

    findings = [*check_software(), *check_machine(), *check_places()]
    problems = sum(finding.state == "problem" for finding in findings)
    if options.json:
        print_json({"healthy": not problems, "findings": [asdict(finding) for finding in findings]})
        return 2 if problems else 0
    for finding in findings:
        start = f"{finding.state:<8} {finding.what:<18} "
        print(textwrap.fill(finding.found, WIDTH, initial_indent=start, subsequent_indent=" " * len(start)))
        if finding.remedy:
            indent = " " * len(start)
            print(textwrap.fill(finding.remedy, WIDTH, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   "))
    notes = sum(finding.state == "note" for finding in findings)
    print(f"{problems} problems, {notes} notes, {len(findings) - problems - notes} ok")
    return 2 if problems else 0
