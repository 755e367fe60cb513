"""A bundle: all that a paper shows and how it came to be, in one archive with a hash of each file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsipipe import __version__
from hsipipe.config.load import load_paper, read_config
from hsipipe.config.paper import Paper
from hsipipe.errors import UserError, unknown
from hsipipe.files import sha256_of
from hsipipe.provenance.archive import check_ending, write_archive
from hsipipe.provenance.code import code_path
from hsipipe.provenance.digests import altered, is_same, is_untouched
from hsipipe.provenance.places import MANIFEST, paper_folder, record_paths, result_folders
from hsipipe.provenance.steps import Step, read_step
from hsipipe.training.accounting import git_commit

FORMAT = "hsipipe-bundle-1"
LOCK = "requirements.lock"
# Of the folders of cases and runs; of a paper's own folder everything is taken.
ALWAYS = ("split.csv", "bands.csv", "bands.png", "run.json", "scores.csv")
MODELS = ("model.pt", "loss_curves.png", "samples.png")
PREDICTIONS = ("kept.h5",)


@dataclass(frozen=True)
class Bundle:
    """What was written: the archive, its members without the manifest, and their bytes in all."""

    path: Path
    names: list[str]
    size_bytes: int


def write_bundle(
    paper: str,
    output: str | Path,
    *,
    root: str | Path = ".",
    models: bool = False,
    predictions: bool = False,
    report: str | Path | None = None,
) -> Bundle:
    """Write the bundle of a paper that was run, as a zip or tar archive; equal results give equal bytes.

    In it, under the names that they have in the workflow: the config as run, scores, tables, figures and claims; split,
    bands, run.json and scores of each run; the record of every step and the modules that it used; what was downloaded;
    requirements.lock; and `manifest.json`, which has the sha256 and the bytes of each, and the versions of the code.

    Args:
        paper: its name, or its config file, of which the name is read.
        output: the archive, named .zip, .tar or .tar.gz.
        root: the folder that holds `results`.
        models: with model.pt and its pictures.
        predictions: with what was kept of predictions.
        report: an archive or page that `snakemake --report` wrote.

    Raises:
        UserError: a paper that was not run to its end, or results that were changed after they were made.
    """
    base, target = Path(root), Path(output)
    check_ending(target)
    name = str(read_config(paper).get("paper")) if Path(paper).suffix in (".yaml", ".yml") else paper
    config = base / paper_folder(name) / "config.yaml"
    if not config.exists():
        known = sorted(path.parent.name for path in base.glob("results/papers/*/config.yaml"))
        raise unknown("paper with results", name, known, file=base / "results/papers")
    loaded = load_paper(read_config(config), file=config)
    records = record_paths(loaded, base)
    steps = [read_step(path) for path in records]
    members = {str(path.relative_to(base)): path for path in _files(loaded, base, models, predictions)}
    members |= {str(path.relative_to(base)): path for path in (*records, *_explanations(steps, base))}
    _check(loaded, steps, members)
    if report is not None:
        if not Path(report).is_file():
            raise UserError("does not exist", file=report, remedy="make it with `snakemake --report report.zip`")
        if Path(report).name in (MANIFEST, LOCK, "results", "downloads"):
            raise UserError("has the name of another part of the bundle", file=report, remedy="rename it")
        members[Path(report).name] = Path(report)
    lock = _lock_file()
    if lock is not None:
        members[LOCK] = lock
    if target.resolve() in {path.resolve() for path in members.values()}:
        raise UserError("is part of the bundle", file=target, remedy="choose another output")
    return _write(target, members, about=_about(loaded, steps))


def _files(paper: Paper, base: Path, models: bool, predictions: bool) -> Iterator[Path]:
    """The files of a paper that go into its bundle."""
    shown = base / paper_folder(paper.name)
    wanted = {*ALWAYS, *(MODELS if models else ()), *(PREDICTIONS if predictions else ())}
    for folder in result_folders(paper):
        for path in sorted((base / folder).glob("*")):
            if path.name.startswith(".") or not path.is_file():
                continue
            if path.name in wanted or (base / folder).is_relative_to(shown):
                yield path


def _explanations(steps: list[Step], base: Path) -> Iterator[Path]:
    """What the keys of the steps' code stand for, and the lists of what was downloaded."""
    keys = sorted({step.code for step in steps if step.code})
    downloaded = [base / step.outputs[0]["path"] for step in steps if step.step == "download_scene"]
    yield from (path for path in (*(code_path(key, base) for key in keys), *downloaded) if path.is_file())


def _check(paper: Paper, steps: list[Step], members: dict[str, Path]) -> None:
    """Refuse results that are not all there, or not what was recorded."""
    shown = paper_folder(paper.name)
    needed = [f"{shown}/scores.csv", *(f"{shown}/tables/{table}.csv" for table in paper.tables)]
    needed += [f"results/{run.task}/{run.case}/{run.variant}/seed{run.seed}/run.json" for run in paper.runs()]
    missing = [name for name in needed if name not in members]
    if missing:
        raise UserError(f"the paper was not run to its end: {len(missing)} files are missing", file=missing[0])
    for step in steps:
        for entry in step.outputs:
            path = members.get(entry["path"])
            if path is not None and not is_untouched(path, entry) and not is_same(path, entry):
                raise altered(path, entry)
    made = {entry["path"]: entry["sha256"] for step in steps for entry in step.outputs}
    for step in steps:
        for entry in step.inputs:
            if made.get(entry["path"], entry["sha256"]) != entry["sha256"]:
                raise UserError(
                    f"was made from an earlier {entry['path']}",
                    file=step.outputs[0]["path"],
                    remedy="run the paper again, or remove it if it is no longer part of the paper",
                )


def _lock_file() -> Path | None:
    """The exact pins of the checkout that this code runs from; None where it was installed without them."""
    path = Path(__file__).parents[3] / LOCK
    return path if path.is_file() else None


def _about(paper: Paper, steps: list[Step]) -> dict[str, Any]:
    """What the manifest says besides the files: which paper, by which versions of the code, with which libraries."""
    commits = Counter(step.environment.get("commit") or "no commit" for step in steps)
    libraries: dict[str, set[str]] = {}
    for step in steps:
        for name, version in step.environment.get("libraries", {}).items():
            libraries.setdefault(name, set()).add(version)
    now = git_commit()
    return {
        "format": FORMAT,
        "paper": paper.name,
        "title": paper.title,
        "size": paper.size,
        "code": {
            "bundled_by": {
                "hsipipe": __version__,
                "commit": now and now.rstrip("+"),
                "dirty": (now or "").endswith("+"),
            },
            "steps_by_commit": dict(sorted(commits.items())),
            "libraries": {name: sorted(versions) for name, versions in sorted(libraries.items())},
        },
    }


def _write(target: Path, members: Mapping[str, Path], about: dict[str, Any]) -> Bundle:
    sizes = {name: path.stat().st_size for name, path in sorted(members.items())}
    files = {name: {"sha256": sha256_of(members[name]), "bytes": size} for name, size in sizes.items()}
    text = json.dumps({**about, "files": files}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    # The manifest first: whoever reads the archive from its start knows what to expect.
    write_archive(target, {MANIFEST: text.encode(), **{name: members[name] for name in files}})
    return Bundle(target, list(files), sum(sizes.values()))
