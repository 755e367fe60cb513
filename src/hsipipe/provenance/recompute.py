"""Tables and claims made anew from scores and run records, and records compared with the files that they tell of."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from hsipipe.errors import UserError
from hsipipe.keys import code_key
from hsipipe.provenance.numbers import disagreements
from hsipipe.provenance.places import run_folder
from hsipipe.provenance.steps import FOLDER, Step, Steps, read_step
from hsipipe.report.claims import check_claims
from hsipipe.report.tables import write_table

Files = Mapping[str, Mapping[str, Any]]

TABLE_FORMS = ("csv", "markdown", "tex", "html")
CLAIM_FORMS = ("csv", "markdown", "html")


def recompute(root: Path, files: Files) -> tuple[list[str], list[str]]:
    """Make a paper's tables and claims anew and compare.

    Args:
        root: the folder that holds `results`, with all texts (csv, json, md, tex, html).
        files: every file of the paper, by name, with its sha256.

    Returns:
        What does not agree, a line each; the tables and claims that were made anew.
    """
    problems, done = [], []
    steps = Steps(root)
    for name in sorted(files):
        path = PurePosixPath(name)
        try:
            if path.match("results/papers/*/tables/*.csv") and not name.endswith("_cost.csv"):
                problems += [f"{name}: {line}" for line in _table(root, name, steps.making(name), files)]
                done.append(name)
            elif path.match("results/papers/*/claims.csv") and (step := steps.making(name)) is not None:
                problems += _again(root, step, files)
                done.append(name)
            elif path.match("results/papers/*/scores.csv"):
                problems += _joined(root, name, files)
            elif path.parent.name == FOLDER:
                problems += _unlike_record(name, read_step(root / name), files)
        except (UserError, ValueError, KeyError, TypeError, IndexError, OSError) as error:
            problems.append(f"{name}: cannot be made anew ({error})".replace(f"{root}/", ""))
    return problems, done


def _table(root: Path, name: str, step: Step | None, files: Files) -> Iterator[str]:
    """Compare a table's numbers with those of its scores, and its text if the code that wrote it is that of now."""
    table = None if step is None else step.params["table"]
    lines = disagreements(
        root / name, root / PurePosixPath(name).parent.parent / "scores.csv", root, table and table["task"]
    )
    yield from lines
    if step is not None and not lines:
        yield from _again(root, step, files)


def _again(root: Path, step: Step, files: Files) -> list[str]:
    """Repeat a step that wrote a table or claims, if its code is that of now; tell what comes out otherwise."""
    if missing := [entry["path"] for entry in (*step.inputs, *step.outputs) if entry["path"] not in files]:
        raise UserError("is not there", file=missing[0])
    of_table = step.step == "write_table"
    if step.code != code_key("hsipipe.report.tables" if of_table else "hsipipe.report.claims"):
        return []
    read: dict[str, list[Path]] = {"scores": [], "records": []}
    for entry in step.inputs:
        read.setdefault(entry["name"], []).append(root / entry["path"])
    made = {entry["name"]: entry["path"] for entry in step.outputs}
    with tempfile.TemporaryDirectory(prefix="hsipipe-again-") as folder:
        forms = {name: Path(folder) / name for name in (TABLE_FORMS if of_table else CLAIM_FORMS)}
        if of_table:
            write_table(read["scores"][0], step.params["table"], read["records"], **forms)
        else:
            csv_path, markdown, html = forms.values()
            check_claims(
                read["scores"][0],
                read["records"],
                step.params["claims"],
                paper=step.params["paper"],
                size=step.params["size"],
                csv=csv_path,
                markdown=markdown,
                html=html,
            )
        other = [made[name] for name, path in forms.items() if path.read_bytes() != (root / made[name]).read_bytes()]
    return [f"{name}: is not what its scores give" for name in other]


def _joined(root: Path, joined: str, files: Files) -> list[str]:
    """Whether joined scores hold the rows of the runs' own."""
    header, *lines = (root / joined).read_text(encoding="utf-8").splitlines()
    of_run = [header.split(",").index(name) for name in ("task", "case", "variant", "seed")]
    runs: dict[tuple[str, ...], list[str]] = {}
    for line, cells in zip(lines, csv.reader(lines), strict=True):
        runs.setdefault(tuple(cells[place] for place in of_run), []).append(line)
    problems = []
    for (task, case, variant, seed), own in runs.items():
        name = str(run_folder(task, case, variant, seed) / "scores.csv")
        if name not in files:
            problems.append(f"{joined}: has scores of a run that is not there, {name}")
        elif (root / name).read_text(encoding="utf-8").splitlines()[1:] != own:
            problems.append(f"{joined}: has other scores than {name}")
    return problems


def _unlike_record(record: str, step: Step, files: Files) -> list[str]:
    """Files whose content is not what a step wrote, or read."""
    return [
        *_unlike(step.outputs, files, f"is not what its record says was made, {record}"),
        *_unlike(step.inputs, files, f"is not what {step.step} read, by its record {record}"),
    ]


def _unlike(entries: Iterable[Mapping[str, Any]], files: Files, what: str) -> Iterator[str]:
    for entry in entries:
        if files.get(entry["path"], entry)["sha256"] != entry["sha256"]:
            yield f"{entry['path']}: {what}"
