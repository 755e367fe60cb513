"""The verb train: one method on one case of a paper, without Snakemake."""

from __future__ import annotations

import argparse
from typing import Any


def add_verbs(verbs: Any, common: argparse.ArgumentParser, arrays: argparse.ArgumentParser) -> None:
    """Add the verbs of this module to the parser."""
    del arrays
    train = verbs.add_parser("train", parents=[common], help="train a variant of a paper on one of its cases")
    train.add_argument("task")
    train.add_argument("case")
    train.add_argument("variant")
    train.add_argument("--config", default="config/config.yaml", help="the paper (default config/config.yaml)")
    train.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the method")
    train.add_argument("--size", help="size of the study, where the paper has several (default: that of its file)")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--gpus", type=int, help="devices to claim; 0 for the CPU (default: as the variant says)")
    train.add_argument("--output", help="model file (default results/TASK/CASE/VARIANT/seedN/model.pt)")
    train.set_defaults(function=train_variant)


def train_variant(options: argparse.Namespace) -> None:
    """Train, or go on with an interrupted training."""
    from dataclasses import asdict, replace
    from pathlib import Path

    from hsipipe.cases.split import read_split
    from hsipipe.cli.scenes import parse_assignments
    from hsipipe.config.load import load_paper, read_config
    from hsipipe.errors import UserError
    from hsipipe.keys import code_key, step_key
    from hsipipe.training.launch import train

    config = read_config(options.config)
    if options.size is not None:
        config["size"] = options.size
    paper = load_paper(config, file=options.config)
    case = paper.case(options.task, options.case)
    variant = paper.variant(options.task, options.variant)
    given = parse_assignments(options.set)
    settings = variant.method.complete({**variant.settings, **given})
    if not variant.method.is_fitted:
        raise UserError(f"method {variant.method.name!r} is {variant.method.kind}: there is nothing to train")
    folder = Path("results") / options.task / options.case
    if not (folder / "case.h5").exists():
        raise UserError(
            "does not exist",
            file=folder / "case.h5",
            remedy=f"make it with `snakemake {folder / 'case.h5'} --configfile {options.config}`",
        )
    # Other settings are another model: it gets its own folder, so that it never passes for the paper's.
    own = f"-{step_key(given)}" if given else ""
    run = folder / f"{options.variant}{own}" / f"seed{options.seed}"
    output = Path(options.output) if options.output else run / "model.pt"
    changed = replace(variant, settings=settings)
    needed = None if changed.encoder is None else paper.variant(options.task, changed.encoder).method
    if needed is not None and needed.name not in changed.method.needs:
        raise UserError(
            f"must be a variant of method {' or '.join(map(repr, changed.method.needs))}, or none",
            key="encoder",
            found=f"{changed.encoder}, of method {needed.name!r}",
        )
    start = paper.start_of(options.task, options.case, changed, options.seed)
    if start is not None and not Path(start).exists():
        making = f"make it with `snakemake {start} --configfile {options.config}`, or --set encoder=none"
        raise UserError("does not exist", file=start, remedy=making if needed is not None else "give a file of weights")
    needs = {"gpu": 1, **variant.resources.get("train", {})}
    gpus = needs["gpu"] if options.gpus is None else options.gpus
    train(
        f"hsipipe.tasks.{options.task}.fit",
        gpus=gpus,
        vram_mb=needs.get("vram_mb", 0) if gpus == 1 else 0,
        case=folder / "case.h5",
        scenes=[f"results/scenes/{scene}.h5" for scene in case.scenes],
        units=read_split(folder / "split.csv"),
        method=variant.method,
        settings=settings,
        case_settings=asdict(case),
        seed=options.seed,
        key=code_key(f"hsipipe.tasks.{options.task}.fit", *variant.method.modules),
        state=Path("results/.state") / run.relative_to("results"),
        output=output,
        curves=output.with_name("loss_curves.png"),
        samples=output.with_name("samples.png"),
        start=start,
    )
    print(output)
