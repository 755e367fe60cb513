"""The verb init: a folder for a study, without a checkout of this program."""

from __future__ import annotations

import argparse
import shlex

from hsipipe.cli.output import print_json
from hsipipe.cli.verbs import Verbs


def add_verbs(verbs: Verbs) -> None:
    """Add the verb of this module to the parser."""
    init = verbs.add(
        "init",
        make_folder,
        group="studies",
        summary="make a folder for a study, in which `snakemake` runs",
        description="Write a Snakefile that includes the workflow of the installed package, and copies of the configs "
        "and profiles, to be edited. Nothing that exists is overwritten.",
        examples=["hsipipe init my-study"],
        json="one object: the folder and the files in it",
    )
    init.add_argument("folder", metavar="FOLDER", help="made if need be")


def make_folder(options: argparse.Namespace) -> None:
    """Make the folder, and tell how to go on."""
    from hsipipe.workflow_files import make_study

    files = [str(path) for path in make_study(options.folder)]
    if options.json:
        print_json({"folder": options.folder, "files": files})
        return
    print(f"{options.folder}: {len(files)} files. Go on with:")
    for line in (f"cd {shlex.quote(options.folder)}", "snakemake --dry-run", "snakemake --resources gpu=0"):
        print(f"  {line}")
