"""The verb of denoising, denoise; and the list of methods."""

from __future__ import annotations

import argparse
from typing import Any

from hsipipe.cli.output import pair_outputs, print_json
from hsipipe.tasks.defaults import DEFAULT_METHODS

DEFAULT_METHOD = DEFAULT_METHODS["denoising"]


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

    methods = verbs.add_parser("methods", parents=[common], help="the methods there are")
    methods.add_argument("--task", help="of one task only")
    methods.add_argument("--json", action="store_true", help="a JSON list")
    methods.set_defaults(function=list_methods)


def denoise_files(options: argparse.Namespace) -> None:
    """Denoise files."""
    from hsipipe.cli.gpu import claim_gpu
    from hsipipe.cli.scenes import parse_assignments
    from hsipipe.progress import progress
    from hsipipe.scenes.writers import check_outputs
    from hsipipe.tasks.denoising.apply import choose_denoiser, denoise_file, make_denoiser

    pairs = pair_outputs(options.input, options.output)
    check_outputs(pairs)
    # Before anything imports torch, which would count the devices itself.
    device = claim_gpu() if options.device == "cuda" else "cpu"
    method, settings = choose_denoiser(options.method, options.model, parse_assignments(options.set))
    denoiser = make_denoiser(method, settings, model=options.model, device=device)
    hidden = True if options.quiet or len(pairs) == 1 else None
    how = {"key": options.key, "layout": options.layout, "table": options.table, "tile": options.tile}
    for path, target in progress(pairs, method.name, unit="file", disable=hidden):
        denoise_file(path, target, denoiser, **how)


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
