"""Contrastive learning against the mean spectrum on a real scene: 3 seeds x 5 folds of blocks, in one process.

    snakemake --configfile config/papers/lepidoptera-simclr.yaml --config size=folds mirror=DIR --until degrade_case
    python benchmarks/representation_folds.py

The same runs as `--config size=folds`, by the same functions, without a process for each of 340 jobs. Writes
benchmarks/representation_folds.{md,csv}; with --variants, what the CSV has of others stays. One thread.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import pandas as pd
import torch

from hsipipe.cases.split import read_split
from hsipipe.config.load import load_paper, read_config
from hsipipe.config.paper import Paper, Run
from hsipipe.files import write_text
from hsipipe.settings import as_plain
from hsipipe.tasks import load_task

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config/papers/lepidoptera-simclr.yaml"
TASK, CASE = "representation", "indian-patches"
COLUMNS = ["variant", "seed", "metric", "value"]
RIVAL = "mean-spectrum"
METRICS = {"probe": "linear probe", "knn5": "5 neighbours", "probe_5": "probe, 5 % of labels", "probe_leaky": "leaky"}


def main() -> None:
    """Run all, and write means, spreads and standard errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where the case has been made")
    parser.add_argument("--variants", nargs="+", help="those to run; all of the case without")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.WARNING)
    torch.set_num_threads(1)
    paper = load_paper({**read_config(CONFIG), "size": "folds"}, file=CONFIG)
    chosen = [run for run in paper.runs(TASK, [CASE]) if not options.variants or run.variant in options.variants]
    table = Path(__file__).with_suffix(".csv")
    known = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=COLUMNS)
    known = known[~known.variant.isin({run.variant for run in chosen})]
    for run in chosen:
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            scores = run_one(paper, run, options.results, Path(folder))
        rows = [(run.variant, run.seed, score.metric, score.value) for score in scores if score.metric in METRICS]
        known = pd.concat([known, pd.DataFrame(rows, columns=COLUMNS)], ignore_index=True)
        write_text(table, known.to_csv(index=False, float_format="%.4f"))
        print(f"{run.variant} seed {run.seed}: {time.process_time() - started:.0f} CPU-s", flush=True)
    write_text(table.with_suffix(".md"), report(known))


def run_one(paper: Paper, run: Run, results: Path, folder: Path) -> list:
    """Train, predict and score one run; its scores."""
    variant = paper.variant(run.task, run.variant)
    settings = as_plain(paper.case(run.task, run.case))
    used = import_module(f"hsipipe.tasks.{run.task}.settings").USED_BY

    def part(step: str) -> dict:
        return {name: settings[name] for name in used[step]}

    made = results / run.task / run.case
    scenes = [results / f"scenes/{scene}.h5" for scene in settings["scenes"]]
    case, model = made / "case.h5", folder / "model.pt"
    if variant.method.is_fitted:
        load_task(run.task, "fit")(
            case,
            scenes,
            read_split(made / "split.csv"),
            variant.method,
            variant.settings,
            case_settings=part("fit"),
            seed=run.seed,
            key="benchmark",
            state=folder / "state",
            output=model,
            curves=folder / "curves.png",
            samples=folder / "samples.png",
            start=None,
        )
    load_task(run.task, "predict")(
        case,
        scenes,
        variant.method,
        variant.settings,
        case_settings=part("predict"),
        seed=run.seed,
        output=folder / "prediction.h5",
        kept=folder / "kept.h5",
        record=folder / "run.json",
        model=model if variant.method.is_fitted else None,
        device="cpu",
    )
    return load_task(run.task, "score")(case, scenes, folder / "prediction.h5", case_settings=part("score"))


def report(runs: pd.DataFrame) -> str:
    """The tables in Markdown: mean ± standard deviation over runs, and differences from the mean spectrum by pairs."""
    names = list(dict.fromkeys(runs.variant))
    lines = [
        "# Embeddings of patches of the Indian Pines subset, blocks that training did not see",
        "",
        "Written by `python benchmarks/representation_folds.py`: 15 runs (3 seeds x 5 folds) of the case "
        "`indian-patches` of `config/papers/lepidoptera-simclr.yaml`, encoders trained without the tested blocks and a "
        "guard around them. Balanced accuracy in %, mean ± standard deviation over runs.",
        "",
        *_table(names, lambda own: f"{own.mean():.1f} ± {own.std():.1f}", runs),
        "",
        "The same less the mean spectrum's in the same run, which has the same fold: mean ± its standard error.",
        "",
        *_table(names, lambda own: f"{own.mean():+.1f} ± {own.sem():.1f}", runs, less=RIVAL),
    ]
    return "\n".join([*lines, ""])


def _table(names: list[str], told: Callable[[pd.Series], str], runs: pd.DataFrame, less: str | None = None) -> list:
    lines = [f"| variant | {' | '.join(METRICS.values())} |", f"|---|{'---:|' * len(METRICS)}"]
    for name in [name for name in names if name != less]:
        cells = []
        for metric in METRICS:
            values = runs[runs.metric == metric].pivot(index="seed", columns="variant", values="value")
            cells.append(told(values[name] - values[less] if less else values[name]))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
