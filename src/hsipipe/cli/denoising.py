"""The verb of denoising, denoise; and the list of methods."""

from __future__ import annotations

import argparse
from typing import Any

from hsipipe.cli.output import check_figure, pair_outputs, print_json
from hsipipe.cli.scenes import add_device, add_settings
from hsipipe.cli.verbs import Verbs
from hsipipe.tasks.defaults import DEFAULT_METHODS

DEFAULT_METHOD = DEFAULT_METHODS["denoising"]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    denoise = verbs.add(
        "denoise",
        denoise_files,
        group="files",
        summary="denoise a file, or several into a folder",
        description="Denoise images by a method that needs no training, or by a trained model. Without either the "
        "noise level, stripes, clipping and rank are estimated. The noise that was found and what was removed is told.",
        examples=[
            "hsipipe denoise scene.tif clean.tif --figure before-after.png",
            "hsipipe denoise noisy.tif clean.tif --method destripe+fasthyde --tile 64",
            "hsipipe denoise scene.tif noisy.tif cleaned/ "
            "--model results/denoising/simulated-hyspecnet/qrnn3d/seed0/model.pt",
        ],
        arrays=True,
        json="a list: input, item, output, method, seconds; noise found and what was removed, by band",
    )
    denoise.add_argument("input", metavar="IN", nargs="+", help="images, or scene files")
    denoise.add_argument("output", metavar="OUT", help="a file (its extension tells the format), or a folder/")
    which = denoise.add_mutually_exclusive_group()
    which.add_argument(
        "--method",
        metavar="NAME",
        help=f"an untrained method (default {DEFAULT_METHOD}); destripe+NAME destripes first; see `hsipipe methods`",
    )
    which.add_argument("--model", metavar="MODEL", help="a trained model (model.pt)")
    add_settings(denoise, "the method")
    denoise.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="work in overlapped tiles of this side: less working memory, for large scenes",
    )
    denoise.add_argument(
        "--figure",
        metavar="PICTURE",
        help="draw before and after, the noisiest band and a spectrum (.png, .svg, .pdf); of one image",
    )
    add_device(denoise)

    methods = verbs.add(
        "methods",
        list_methods,
        group="about",
        summary="the methods there are, their settings and what they mean",
        description="List methods with their kind (direct: no fitting; per-scene; trained; encoder; oracle: sees the "
        "truth), title, and settings with their defaults.",
        examples=["hsipipe methods --task denoising", "hsipipe methods --json"],
        json="a list: name, task, kind, title, random, parameters, citation, deviations",
    )
    methods.add_argument("--task", metavar="TASK", help="of one task only")


def denoise_files(options: argparse.Namespace) -> None:
    """Denoise files, and tell the noise that was found."""
    from hsipipe.cli.gpu import claim_gpu
    from hsipipe.cli.scenes import parse_assignments
    from hsipipe.errors import UserError
    from hsipipe.progress import progress
    from hsipipe.scenes.writers import check_outputs
    from hsipipe.tasks.denoising.apply import choose_denoiser, make_denoiser
    from hsipipe.tasks.denoising.denoise_files import denoise_file

    pairs = pair_outputs(options.input, options.output)
    check_outputs(pairs)
    if options.figure is not None:
        if len(pairs) > 1:
            raise UserError("is of one image", key="--figure", found=f"{len(pairs)} inputs", remedy="leave it out")
        check_figure(options.figure)
    # Before anything imports torch, which would count the devices itself.
    device = claim_gpu() if options.device == "cuda" else "cpu"
    method, settings = choose_denoiser(options.method, options.model, parse_assignments(options.set))
    denoiser = make_denoiser(method, settings, model=options.model, device=device)
    how = {"key": options.key, "layout": options.layout, "table": options.table, "tile": options.tile}
    told = []
    for path, target in progress(pairs, method.name, unit="file", disable=len(pairs) == 1):
        items = denoise_file(path, target, denoiser, figure=options.figure, title=method.title, **how)
        for found in items:
            report = {"input": str(path), "output": str(target), "method": method.name, **found.report()}
            told.append(report)
            if not options.json:
                name = str(target) if len(items) == 1 else f"{target}: {found.item}"
                print(f"{name}: {_told(report)}")
    if options.json:
        print_json(told)


def _told(report: dict[str, Any]) -> str:
    noise, removed = report["noise"], report["removed"]
    return (
        f"{report['method']}, {report['seconds']:.1f} s; noise of the bands {noise['median']:.3g} (median; SNR "
        f"{noise['snr_db']:.1f} dB), removed {removed['rms']:.3g} (RMS)"
    )


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
