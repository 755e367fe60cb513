"""How large the studies are: jobs of each rule, cost of planning them, arithmetic and memory of each training.

python benchmarks/scaling.py [plan] [train]

`plan`: dry runs of every config in each of its sizes in an empty folder: jobs by rule, CPU and wall seconds, memory.
`train`: the paper-size networks of the denoising study, without their values (torch's `meta` device): operations of a
training sample (forward and backward, by torch's counter), samples of the whole training, memory for its tensors.
Writes benchmarks/scaling.csv, where a part that is not named stays as it was, and benchmarks/scaling.md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
import io
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hsipipe.config.load import load_paper, read_config
from hsipipe.config.paper import Paper
from hsipipe.files import write_text

ROOT = Path(__file__).resolve().parent.parent
CSV, REPORT = Path(__file__).with_suffix(".csv"), Path(__file__).with_suffix(".md")
COLUMNS = ("part", "study", "size", "of", "quantity", "value", "unit")
PARTS = ("plan", "train")
BANDS, SIDE = 202, 128  # of a patch of HySpecNet-11k
Row = tuple[str, str, str, str, str, float, str]


def main() -> None:
    """Measure the parts asked for, and write the table and the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all without")
    parser.add_argument("--studies", nargs="+", metavar="STUDY:SIZE", help="of `plan`: these only, as demo:demo")
    parser.add_argument("--variants", nargs="+", help="of `train`: these only")
    options = parser.parse_args()
    wanted = options.parts or PARTS
    if "plan" in wanted:
        for file, size in studies():
            name = f"{study_name(file)}:{size or 'demo'}"
            if options.studies is None or name in options.studies:
                keep(plan(file, size))
    if "train" in wanted:
        for variant in trained_variants(options.variants):
            keep(training(paper_size(), variant))


def keep(rows: list[Row]) -> None:
    """Write rows in place of those of the same study, or of the same training, and the report of all."""
    made = {row[:4] if row[0] == "train" else row[:3] for row in rows}
    rows = [row for row in read_rows() if not {row[:4], row[:3]} & made] + rows
    rows.sort(key=lambda row: (PARTS.index(row[0]), row[1], row[2]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*row[:5], f"{row[5]:.6g}", row[6]] for row in rows)
    write_text(CSV, text.getvalue())
    write_text(REPORT, report(rows))


def read_rows() -> list[Row]:
    """The rows of an earlier run."""
    if not CSV.exists():
        return []
    with open(CSV, newline="", encoding="utf-8") as file:
        return [
            (*[row[name] for name in COLUMNS[:5]], float(row["value"]), row["unit"]) for row in csv.DictReader(file)
        ]


def studies() -> list[tuple[Path, str | None]]:
    """Every config with each of its sizes."""
    files = [ROOT / "config" / "config.yaml", *sorted((ROOT / "config" / "papers").glob("*.yaml"))]
    return [(file, size) for file in files for size in read_config(file).get("sizes") or (None,)]


def study_name(file: Path) -> str:
    """The name of a config in the table."""
    return "demo" if file.stem == "config" else file.stem


def plan(file: Path, size: str | None) -> list[Row]:
    """A dry run in an empty folder: jobs by rule, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", folder]
        command += ["--configfile", str(file), "--dry-run", "--cores", "2", "--quiet", "rules"]
        command += ["--config", f"size={size}"] if size else []
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall_s = time.time() - started
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    head = ("plan", study_name(file), size or "demo")
    # The table of jobs is told twice, before and after the plan.
    counted = dict(re.findall(r"^(\S+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE))
    rows: list[Row] = [(*head, rule, "jobs", count, "") for rule, count in grouped(counted).items()]
    rows.append((*head, "dry run", "processor", cpu_s, "s"))
    rows.append((*head, "dry run", "wall", wall_s, "s"))
    return rows


def grouped(counts: dict[str, str]) -> dict[str, int]:
    """Jobs by rule; those that draw the figures of one case each count as one rule."""
    found: dict[str, int] = {}
    for rule, count in counts.items():
        name = "draw_figures" if rule.startswith("draw_figures_") else rule
        found[name] = found.get(name, 0) + int(count)
    return found


def paper_size() -> Paper:
    """The denoising study on the whole of HySpecNet-11k."""
    file = ROOT / "config" / "papers" / "denoising-peft.yaml"
    return load_paper({**read_config(file), "size": "paper"}, file=file)


def trained_variants(only: list[str] | None) -> list[str]:
    """Its variants that the training loop fits, or those of them that are asked for."""
    trained = [name for name, one in paper_size().variants["denoising"].items() if one.method.is_trained_by_loop]
    return [name for name in trained if only is None or name in only]


def training(paper: Paper, name: str) -> list[Row]:
    """Operations, samples and memory of the training of one variant."""
    from copy import deepcopy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from hsipipe.degrade.noise import parse_noise
    from hsipipe.scenes.enmap import enmap_bands
    from hsipipe.settings import settings_from
    from hsipipe.tasks.denoising.fit import build, shapes_of, sort_settings, squared_error
    from hsipipe.tasks.denoising.training_data import draw_patches
    from hsipipe.training.memory import computable, training_memory
    from hsipipe.training.settings import TrainingSettings

    variant = paper.variant("denoising", name)
    network_settings, patch_settings, given = sort_settings(variant.settings)
    settings = settings_from(TrainingSettings, given, name)
    module, noise = variant.method.load(), parse_noise("hyspecnet")
    wavelength_nm = enmap_bands().wavelength_nm[enmap_bands().hyspecnet]
    start = encoder_start(paper, variant) if variant.encoder is not None else None
    network = build(module, wavelength_nm, BANDS, network_settings, start=start)
    cubes, cpu = [torch.rand(BANDS, SIDE, SIDE)], torch.device("cpu")
    if hasattr(module, "prepare"):
        batch = module.prepare(network, cubes, noise=noise, seed=("scaling", 0))(0, cpu, 1)
    else:
        batch = draw_patches(cubes, step=0, seed=("scaling", 0), batch_size=1, noise=noise, **patch_settings)
    loss = getattr(module, "loss", squared_error)
    memory = training_memory(
        deepcopy(network).to("meta"), loss, shapes_of(batch, settings.batch_size), optimizer=settings.optimizer
    ).as_dict()
    stand_in, sample = computable(deepcopy(network).to("meta").train(), shapes_of(batch, 1))
    with FlopCounterMode(display=False) as counter:
        loss(stand_in, sample).backward()
    steps = settings.epochs * settings.steps_per_epoch
    head = ("train", paper.name, paper.size, name)
    return [
        (*head, "seeds", len(paper.seeds_of(variant)), ""),
        (*head, "parameters", memory["parameters"], ""),
        (*head, "operations of a sample", counter.get_total_flops() / 1e9, "GFLOP"),
        (*head, "batch", settings.batch_size, "samples"),
        (*head, "steps", steps, ""),
        (*head, "operations of the training", counter.get_total_flops() * steps * settings.batch_size / 1e15, "PFLOP"),
        (*head, "memory of its tensors", memory_bytes(memory) / 1e9, "GB"),
    ]


def memory_bytes(memory: dict[str, Any]) -> float:
    """Weights, gradients, the optimiser's state, the batch and what the forward pass keeps."""
    named = ("weights", "gradients", "optimizer", "batch", "activations")
    return sum(float(memory[f"{name}_bytes"] or 0) for name in named)


def encoder_start(paper: Paper, variant: Any) -> dict[str, Any]:
    """Random weights of the encoder that a variant starts from, in the form that a file of weights is read."""
    from hsipipe.scenes.enmap import enmap_bands
    from hsipipe.tasks.denoising.fit import build, sort_settings

    encoder = paper.variant("denoising", variant.encoder)
    wavelength_nm = enmap_bands().wavelength_nm[enmap_bands().hyspecnet]
    network = build(encoder.method.load(), wavelength_nm, BANDS, sort_settings(encoder.settings)[0])
    return {"state": network.state_dict(), "wavelength_nm": wavelength_nm}


def report(rows: list[Row]) -> str:
    """The report in Markdown."""
    lines = ["# Scale of the studies", "", "Written by `python benchmarks/scaling.py`.", ""]
    planned: dict[tuple[str, str], dict[str, float]] = {}
    for part, study, size, of, quantity, value, _ in rows:
        if part == "plan":
            planned.setdefault((study, size), {})[of if quantity == "jobs" else quantity] = value
    if planned:
        rules = list(dict.fromkeys(rule for found in planned.values() for rule in found))
        rules = [rule for rule in rules if rule not in ("total", "all", "processor", "wall")]
        lines += ["## Planning", ""]
        lines += ["Dry runs in an empty folder; wall seconds are of a machine shared with other work.", ""]
        names = [*rules, "total", "dry run, CPU s", "wall s"]
        lines += ["| study | size | " + " | ".join(names) + " |", "| --- " * (len(names) + 2) + "|"]
        for (study, size), found in planned.items():
            counts = [f"{found.get(rule, 0):.0f}" for rule in [*rules, "total"]]
            lines.append(
                f"| {study} | {size} | {' | '.join(counts)} | {found['processor']:.1f} | {found['wall']:.1f} |"
            )
        lines.append("")
    trained: dict[str, dict[str, float]] = {}
    for part, _, _, of, quantity, value, _ in rows:
        if part == "train":
            trained.setdefault(of, {})[quantity] = value
    if trained:
        lines += ["## Trainings of denoising-peft at size paper", ""]
        lines += ["Operations are counted (forward and backward of matrix products and convolutions), not timed.", ""]
        lines.append(
            "| variant | seeds | parameters, M | GFLOP a sample | batch | steps | PFLOP a training | memory, GB |"
        )
        lines.append("| --- " * 8 + "|")
        for name, found in trained.items():
            lines.append(
                f"| {name} | {found['seeds']:.0f} | {found['parameters'] / 1e6:.2f} "
                f"| {found['operations of a sample']:.1f} | {found['batch']:.0f} | {found['steps']:.0f} "
                f"| {found['operations of the training']:.1f} | {found['memory of its tensors']:.1f} |"
            )
        total = sum(found["seeds"] * found["operations of the training"] for found in trained.values())
        lines += [
            "",
            f"The variants above with their seeds, once for each of the two cases that train: {2 * total:,.0f} PFLOP.",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
