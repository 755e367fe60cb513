"""The command line: `hsipipe VERB ...`; each verb calls the function that a rule of the workflow calls."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from hsipipe import __version__
from hsipipe.cli import (
    denoising,
    export,
    fusion,
    provenance,
    representation,
    scenes,
    scoring,
    segmentation,
    training,
)
from hsipipe.errors import UserError
from hsipipe.jobs.logs import FORMAT


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as those of the verbs are."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message, remedy=f"see `{self.prog} --help`")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = _Parser(prog="hsipipe", description="Reproducible hyperspectral imaging.")
    parser.add_argument("--version", action="version", version=f"hsipipe {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    common.add_argument("--quiet", action="store_true", help="warnings and errors only")
    arrays = argparse.ArgumentParser(add_help=False)
    arrays.add_argument("--key", help="name of the array in a .mat, .npz or .h5 file, or of the item of a scene")
    arrays.add_argument("--layout", help="order of axes of a bare array, such as rows-cols-bands")
    arrays.add_argument("--table", action="store_true", help="a 2-D array is a table of spectra (pixels, bands)")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in (scenes, denoising, fusion, segmentation, representation, scoring, training, export, provenance):
        module.add_verbs(verbs, common, arrays)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0 on success, 2 for the user's mistake, 1 for ours and for results that are not what they were."""
    debug = bool(os.environ.get("HSIPIPE_DEBUG"))
    try:
        options = make_parser().parse_args(arguments)
        debug |= options.debug
        logging.basicConfig(
            stream=sys.stderr, level=logging.WARNING if options.quiet else logging.INFO, format=FORMAT, force=True
        )
        # rasterio logs each complaint of GDAL before raising it, which would tell every error twice.
        logging.getLogger("rasterio").setLevel(logging.ERROR)
        answer = options.function(options)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except UserError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if debug:
            raise
        print(f"error: {type(error).__name__}: {error} (run with --debug for the traceback)", file=sys.stderr)
        return 1
    return answer or 0
