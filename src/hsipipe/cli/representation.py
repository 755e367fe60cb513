"""The verb of representation, embed."""

from __future__ import annotations

import argparse
from typing import Any


def add_verbs(verbs: Any, common: argparse.ArgumentParser, arrays: argparse.ArgumentParser) -> None:
    """Add the verbs of this module to the parser."""
    embed = verbs.add_parser("embed", parents=[common, arrays], help="embed specimens or patches by a trained encoder")
    embed.add_argument("input", nargs="+", metavar="IN", help="folders of specimens, scene files, images")
    embed.add_argument("output", metavar="OUT", help=".csv, .parquet or .npy")
    embed.add_argument("--model", required=True, help="a trained encoder (model.pt)")
    embed.add_argument("--stride", type=int, default=1, help="for a model of patches: every so many rows and columns")
    embed.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda waits for a free GPU")
    embed.set_defaults(function=embed_inputs)


def embed_inputs(options: argparse.Namespace) -> None:
    """Embed files."""
    from hsipipe.cli.gpu import claim_gpu
    from hsipipe.errors import UserError

    if options.table:
        raise UserError("a table of spectra has no images", key="--table", remedy="use `hsipipe encode`")
    if options.stride < 1:
        raise UserError("must be at least 1", key="--stride", found=options.stride)
    device = claim_gpu() if options.device == "cuda" else "cpu"
    from hsipipe.tasks.representation.embed_files import embed_files

    count = embed_files(
        options.input,
        options.output,
        options.model,
        device=device,
        key=options.key,
        layout=options.layout,
        stride=options.stride,
    )
    if not options.quiet:
        print(f"{options.output}: {count} embeddings")
