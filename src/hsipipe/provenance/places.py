"""Where the results of a paper lie, and the records of the steps that made them."""

from __future__ import annotations

from pathlib import Path

from hsipipe.config.paper import Paper
from hsipipe.provenance.steps import FOLDER, record_files

MANIFEST = "manifest.json"
"""What lies at the top of a bundle: the list of its files."""


def run_folder(task: str, case: str, variant: str, seed: int | str) -> Path:
    """The folder of a run, relative to the folder that holds `results`."""
    return Path("results") / task / case / variant / f"seed{seed}"


def paper_folder(name: str) -> Path:
    """The folder of what a paper shows."""
    return Path("results/papers") / name


def result_folders(paper: Paper) -> list[Path]:
    """The folders of a paper's results, but for the scenes: those of its cases, of its runs, of what it shows."""
    cases = [Path("results") / task / case for task, by_name in paper.cases.items() for case in by_name]
    runs = [run_folder(run.task, run.case, run.variant, run.seed) for run in [*paper.runs(), *paper.encoder_runs()]]
    shown = paper_folder(paper.name)
    return list(dict.fromkeys([*cases, *runs, shown, shown / "tables", shown / "figures"]))


def record_paths(paper: Paper, root: str | Path = ".") -> list[Path]:
    """The records that there are of a paper's steps, under `root`, the folder that holds `results`."""
    base = Path(root)
    scenes = paper.scene_names()
    making = [base / "downloads" / FOLDER / f"download_scene-{scene}.json" for scene in scenes]
    making += [
        base / "results/scenes" / FOLDER / f"{step}_scene-{scene}.json"
        for scene in scenes
        for step in ("read", "simulate")
    ]
    found = [path for path in making if path.exists()]
    for folder in result_folders(paper):
        found += record_files(base / folder)
    return found
