"""Verbs of denoising: denoise, score; and the list of methods."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING, Any

from hsipipe.cli.output import pair_outputs, print_json

if TYPE_CHECKING:
    import numpy as np

    from hsipipe.scenes.scene import Item

DEFAULT_METHOD = "blind"


def add_verbs(verbs: Any, common: argparse.ArgumentParser, arrays: argparse.ArgumentParser) -> None:
    """Add the verbs of this module to the parser."""
    denoise = verbs.add_parser("denoise", parents=[common, arrays], help="denoise a file, or several into a folder")
    denoise.add_argument("input", nargs="+")
    denoise.add_argument("output", help="a file (its extension tells the format), or a folder/ for one or several")
    which = denoise.add_mutually_exclusive_group()
    which.add_argument(
        "--method", help=f"an untrained method (default {DEFAULT_METHOD}); destripe+NAME destripes first"
    )
    which.add_argument("--model", help="a trained model (model.pt)")
    denoise.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the method")
    denoise.add_argument(
        "--tile", type=int, help="work in overlapped tiles of this side: less working memory, for large scenes"
    )
    denoise.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda waits for a free GPU")
    denoise.set_defaults(function=denoise_files)

    score = verbs.add_parser("score", parents=[common, arrays], help="compare a prediction with the truth")
    score.add_argument("task", choices=["denoising"])
    score.add_argument("--truth", required=True, metavar="FILE[:KEY]")
    score.add_argument("--prediction", required=True, metavar="FILE[:KEY]")
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
    from hsipipe.scenes.writers import check_outputs
    from hsipipe.tasks.denoising.apply import denoise_file, make_denoiser

    pairs = pair_outputs(options.input, options.output)
    check_outputs(pairs)
    # Before anything imports torch, which would count the devices itself.
    device = _claim_gpu() if options.device == "cuda" else "cpu"
    if options.model:
        if options.set:
            raise UserError(
                "a trained model has its settings", key="--set", found=options.set[0], remedy="leave it out"
            )
        from hsipipe.tasks.denoising.trained import read_method

        method, settings = read_method(options.model)
    else:
        method = find_method("denoising", options.method or DEFAULT_METHOD)
        settings = method.complete(parse_assignments(options.set))
    if method.kind == "oracle":
        raise UserError(f"method {method.name!r} needs the truth", key="--method", remedy="choose another")
    denoiser = make_denoiser(method, settings, model=options.model, device=device)
    hidden = True if options.quiet or len(pairs) == 1 else None
    how = {"key": options.key, "layout": options.layout, "table": options.table, "tile": options.tile}
    for path, target in progress(pairs, method.name, unit="file", disable=hidden):
        denoise_file(path, target, denoiser, **how)


def _claim_gpu() -> str:
    """Claim a GPU; the name that torch gives it.

    Raises:
        UserError: there is none.
    """
    from hsipipe import device
    from hsipipe.errors import UserError

    def is_no_warning(record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING

    # Without a GPU `claim` warns and falls back to the CPU; here that is an error, told once.
    device.log.addFilter(is_no_warning)
    try:
        claimed = device.claim(1)
    finally:
        device.log.removeFilter(is_no_warning)
    if claimed.kind == "cpu":
        raise UserError("no GPU to compute on", key="--device cuda", found=claimed.note, remedy="leave it out")
    return claimed.torch_name


def score_files(options: argparse.Namespace) -> None:
    """Score one file against another, bands scaled to [0, 1] by the truth's range."""
    from hsipipe.degrade.normalise import normalise
    from hsipipe.errors import UserError
    from hsipipe.metrics.denoising import score_cube
    from hsipipe.scenes.scaled import scale_item

    truth, prediction = _read_scored(options.truth, options), _read_scored(options.prediction, options)
    if truth.cube.shape != prediction.cube.shape:
        raise UserError(
            f"has {prediction.cube.shape} (bands, rows, cols), the truth has {truth.cube.shape}",
            file=options.prediction,
            remedy="score files of the same size and bands",
        )
    missing = int((truth.valid & _without_value(prediction, truth)).sum())
    if missing:
        raise UserError(
            f"has no value (nodata, NaN, infinite or all zero) at {missing:,} of the truth's {truth.valid.sum():,} "
            "valid pixels",
            file=options.prediction,
            remedy="predict every pixel, or mark these in the truth as nodata",
        )
    scaled = scale_item(truth)
    cube = normalise(prediction.cube[truth.good_bands].astype("float32"), scaled.low, scaled.high)
    scores = score_cube(scaled.cube, cube, valid=truth.valid, low=scaled.low, high=scaled.high)
    if options.json:
        print_json({metric: value for metric, value, _ in scores})
        return
    for metric, value, unit in scores:
        print(f"{metric:>14}  {value:.6g} {unit}".rstrip())


def _read_scored(address: str, options: argparse.Namespace) -> Item:
    from hsipipe.scenes.readers import read_image, split_key

    path, key = split_key(address)
    return read_image(path, key=key or options.key, layout=options.layout, table=options.table)


def _without_value(prediction: Item, truth: Item) -> np.ndarray:
    """(rows, cols) bool: pixels at which the prediction lacks a value in any band that the truth has."""
    import numpy as np

    from hsipipe.scenes.validity import representable

    lacking = ~prediction.valid
    nodata = representable(prediction.source.get("nodata"), prediction.cube.dtype)
    for band in np.flatnonzero(truth.good_bands):
        samples = prediction.cube[band]
        lacking |= ~np.isfinite(samples)
        if nodata is not None and not prediction.good_bands[band]:
            lacking |= samples == nodata
    return lacking


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
        print_json(described)
        return
    for method in found:
        print(f"{method.task:>12}  {method.name:<14} {method.kind:<10} {method.title}")
        for name, entry in method.settings.items():
            print(f"{'':>28}{name} = {entry.get('default')}: {entry.get('meaning', '')}")
