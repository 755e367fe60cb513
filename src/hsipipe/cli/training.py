"""The verb train: one method on one case of a paper, without Snakemake."""

from __future__ import annotations

import argparse

from hsipipe.cli.output import print_json
from hsipipe.cli.scenes import add_settings
from hsipipe.cli.verbs import Verbs


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    train = verbs.add(
        "train",
        train_variant,
        group="studies",
        summary="train one variant of a study on one of its cases",
        description="Train, or go on with a training that was interrupted, as the workflow does, but without it. With "
        "--set it is another model, and gets a folder of its own. The case must have been made before.",
        examples=[
            "snakemake results/denoising/simulated-hyspecnet/case.h5",
            "hsipipe train denoising simulated-hyspecnet qrnn3d --set channels=16",
        ],
        json="one object: the model file, its settings, seed, and the folder of its state",
    )
    train.add_argument("task", metavar="TASK", help="denoising, segmentation or representation")
    train.add_argument("case", metavar="CASE", help="a case of the config")
    train.add_argument("variant", metavar="VARIANT", help="a variant of the config whose method is trained")
    train.add_argument("--config", metavar="FILE", default="config/config.yaml", help="the study (config/config.yaml)")
    add_settings(train, "the method")
    train.add_argument("--size", metavar="NAME", help="size of the study, where it has several (default: the first)")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="of the training (default 0)")
    train.add_argument(
        "--gpus", type=int, metavar="N", help="devices to claim; 0: the CPU (default: as the variant says)"
    )
    train.add_argument("--output", metavar="MODEL", help="model file (results/TASK/CASE/VARIANT/seedN/model.pt)")


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
    state = Path("results/.state") / run.relative_to("results")
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
        state=state,
        output=output,
        curves=output.with_name("loss_curves.png"),
        samples=output.with_name("samples.png"),
        start=start,
    )
    if options.json:
        told = {"task": options.task, "case": options.case, "variant": options.variant, "seed": options.seed}
        print_json({"model": str(output), **told, "settings": settings, "state": str(state)})
    else:
        print(output)
