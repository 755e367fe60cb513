"""Verbs of denoising: denoise, score; and the list of methods."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

DEFAULT_METHOD = "blind"


def add_verbs(verbs: Any, common: argparse.ArgumentParser, arrays: argparse.ArgumentParser) -> None:
    """Add the verbs of this module to the parser."""
    denoise = verbs.add_parser("denoise", parents=[common, arrays], help="denoise a file, or several into a folder")
    denoise.add_argument("input", nargs="+")
    denoise.add_argument("output", help="a file (its extension tells the format), or a folder for several inputs")
    which = denoise.add_mutually_exclusive_group()
    which.add_argument(
        "--method", help=f"an untrained method (default {DEFAULT_METHOD}); destripe+NAME destripes first"
    )
    which.add_argument("--model", help="a trained model (model.pt)")
    denoise.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the method")
    denoise.add_argument("--tile", type=int, help="work in overlapped tiles of this side, for scenes beyond memory")
    denoise.add_argument("--device", default="cpu", help="cpu (default), cuda")
    denoise.set_defaults(function=denoise_files)

    score = verbs.add_parser("score", parents=[common, arrays], help="compare a prediction with the truth")
    score.add_argument("task", choices=["denoising"])
    score.add_argument("--truth", required=True)
    score.add_argument("--prediction", required=True)
    score.add_argument("--json", action="store_true", help="one JSON object")
    score.set_defaults(function=score_files)

    methods = verbs.add_parser("methods", parents=[common], help="the methods there are")
    methods.add_argument("--task", help="of one task only")
    methods.add_argument("--json", action="store_true", help="a JSON list")
    methods.set_defaults(function=list_methods)


def denoise_files(options: argparse.Namespace) -> None:
    """Denoise files."""
    from hsipipe.cli.scenes import parse_assignments
    from hsipipe.errors import UserError
    from hsipipe.methods import find_method
    from hsipipe.progress import progress
    from hsipipe.tasks.denoising.apply import denoise_file, make_denoiser

    output = Path(options.output)
    several = len(options.input) > 1
    if several and output.suffix:
        raise UserError("must be a folder", file=output, remedy=f"there are {len(options.input)} inputs")
    if options.model:
        from hsipipe.tasks.denoising.trained import read_method

        method, settings = read_method(options.model)
    else:
        method = find_method("denoising", options.method or DEFAULT_METHOD)
        settings = method.complete(parse_assignments(options.set))
    if method.kind == "oracle":
        raise UserError(f"method {method.name!r} needs the truth", key="--method", remedy="choose another")
    denoiser = make_denoiser(method, settings, model=options.model, device=options.device)
    targets = [output / Path(path).name for path in options.input] if several or output.is_dir() else [output]
    for path, target in progress(list(zip(options.input, targets, strict=True)), method.name, unit="file"):
        denoise_file(path, target, denoiser, key=options.key, layout=options.layout, tile=options.tile)


def score_files(options: argparse.Namespace) -> None:
    """Score one file against another, bands scaled to [0, 1] by the truth's range."""
    from hsipipe.degrade.normalise import normalise
    from hsipipe.errors import UserError
    from hsipipe.metrics.denoising import score_cube
    from hsipipe.scenes.readers import read_image
    from hsipipe.scenes.scaled import scale_item

    truth = read_image(options.truth, key=options.key, layout=options.layout)
    prediction = read_image(options.prediction, key=options.key, layout=options.layout)
    if truth.cube.shape != prediction.cube.shape:
        raise UserError(
            f"has {prediction.cube.shape} (bands, rows, cols), the truth has {truth.cube.shape}",
            file=options.prediction,
            remedy="score files of the same size and bands",
        )
    scaled = scale_item(truth)
    cube = normalise(prediction.cube[truth.good_bands].astype("float32"), scaled.low, scaled.high)
    scores = score_cube(scaled.cube, cube, valid=truth.valid, low=scaled.low, high=scaled.high)
    if options.json:
        print(json.dumps({metric: value for metric, value, _ in scores}))
        return
    for metric, value, unit in scores:
        print(f"{metric:>14}  {value:.6g} {unit}".rstrip())


def list_methods(options: argparse.Namespace) -> None:
    """List methods with their kinds and settings."""
    from hsipipe.errors import unknown
    from hsipipe.methods import methods_of, tasks

    if options.task and options.task not in tasks():
        raise unknown("task", options.task, tasks())
    found = [method for task in tasks() if options.task in (None, task) for method in methods_of(task).values()]
    if options.json:
        keys = ("name", "task", "kind", "title", "random", "settings", "citation", "deviations")
        described = [{**{key: getattr(method, key) for key in keys}, "parameters": method.settings} for method in found]
        print(json.dumps(described))
        return
    for method in found:
        print(f"{method.task:>12}  {method.name:<14} {method.kind:<10} {method.title}")
        for name, entry in method.settings.items():
            print(f"{'':>28}{name} = {entry.get('default')}: {entry.get('meaning', '')}")
