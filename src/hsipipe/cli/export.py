"""The verb export: a trained model as a file that runs without this package."""

from __future__ import annotations

import argparse
from typing import Any

from hsipipe.cli.output import print_json


def add_verbs(verbs: Any, common: argparse.ArgumentParser, arrays: argparse.ArgumentParser) -> None:
    """Add the verbs of this module to the parser."""
    del arrays
    export = verbs.add_parser("export", parents=[common], help="write a trained model as TorchScript or ONNX")
    export.add_argument("model", help="a trained model (model.pt)")
    export.add_argument("output", help=".pt or .torchscript (TorchScript), .pt2 (torch.export) or .onnx")
    export.add_argument("--size", type=int, metavar="N", help="side of the images to export with (default 32)")
    export.add_argument("--json", action="store_true", help="one JSON object")
    export.set_defaults(function=export_file)


def export_file(options: argparse.Namespace) -> None:
    """Export, and tell what the file takes and how far it is from the trained model."""
    from hsipipe.tasks.denoising.export import export_model

    exported = export_model(options.model, options.output, size=options.size)
    description = exported.description
    if options.json:
        size, difference = exported.size_bytes, exported.difference
        print_json({"path": str(exported.path), "bytes": size, "largest_difference": difference, **description})
        return
    steps = description["free"].items()
    free = ", ".join(axis if step == 1 else f"{axis} (multiples of {step})" for axis, step in steps) or "none"
    fixed = ", ".join(f"{axis} = {length}" for axis, length in description["fixed"].items()) or "none"
    print(f"{exported.path}: {exported.kind}, {exported.size_bytes / 1e6:.2f} MB")
    print(f"free sizes: {free}; fixed: {fixed}")
    print(f"largest difference from the trained model: {exported.difference:.1e}")
