"""The verb export: a trained model as a file that runs without this package."""

from __future__ import annotations

import argparse

from hsipipe.cli.output import print_json
from hsipipe.cli.verbs import Verbs


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    export = verbs.add(
        "export",
        export_file,
        group="studies",
        summary="write a trained denoiser as TorchScript or ONNX",
        description="Write a trained denoiser as a file that runs without this package, and tell what it takes and how "
        "far its output is from that of the trained model.",
        examples=["hsipipe export results/denoising/simulated-hyspecnet/qrnn3d/seed0/model.pt qrnn3d.torchscript"],
        json="one object: path, bytes, largest_difference, and what the file takes",
    )
    export.add_argument("model", metavar="MODEL", help="a trained model (model.pt)")
    export.add_argument("output", metavar="OUT", help=".pt or .torchscript (TorchScript), .pt2 (torch.export) or .onnx")
    export.add_argument("--size", type=int, metavar="PIXELS", help="side of the images to export with (default 32)")


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
