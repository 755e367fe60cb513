"""The verb of representation, embed."""

from __future__ import annotations

import argparse

from hsipipe.cli.output import print_json
from hsipipe.cli.scenes import add_device
from hsipipe.cli.verbs import Verbs


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    embed = verbs.add(
        "embed",
        embed_inputs,
        group="files",
        summary="embed specimens or patches by a trained encoder",
        description="Write a table with an embedding of each specimen or, for a model of patches, of each pixel.",
        examples=[
            "hsipipe embed results/specimens/simulated-specimens embeddings.csv "
            "--model results/representation/simulated-wings/simclr/seed0/model.pt",
        ],
        arrays=True,
        json="one object: the table and the number of its rows",
    )
    embed.add_argument("input", nargs="+", metavar="IN", help="folders of specimens, scene files, images")
    embed.add_argument("output", metavar="OUT", help="the table: .csv, .parquet or .npy")
    embed.add_argument("--model", required=True, metavar="MODEL", help="a trained encoder (model.pt)")
    embed.add_argument(
        "--stride", type=int, default=1, metavar="PIXELS", help="for a model of patches: every so many rows and columns"
    )
    add_device(embed)


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
    if options.json:
        print_json({"output": options.output, "embeddings": count})
    else:
        print(f"{options.output}: {count} embeddings")
