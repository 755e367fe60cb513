"""The command line: `hsipipe VERB ...`; each verb calls the function that a rule of the workflow calls."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from hsipipe import __version__
from hsipipe.cli import denoising, scenes, training
from hsipipe.errors import UserError
from hsipipe.logs import FORMAT


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = argparse.ArgumentParser(prog="hsipipe", description="Reproducible hyperspectral imaging.")
    parser.add_argument("--version", action="version", version=f"hsipipe {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    common.add_argument("--quiet", action="store_true", help="warnings and errors only")
    arrays = argparse.ArgumentParser(add_help=False)
    arrays.add_argument("--key", help="name of the array in a .mat, .npz or .h5 file")
    arrays.add_argument("--layout", help="order of axes of a bare array, such as rows-cols-bands")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in (scenes, denoising, training):
        module.add_verbs(verbs, common, arrays)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0 on success, 2 for the user's mistake, 1 for ours."""
    options = make_parser().parse_args(arguments)
    debug = options.debug or bool(os.environ.get("HSIPIPE_DEBUG"))
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING if options.quiet else logging.INFO, format=FORMAT, force=True
    )
    try:
        options.function(options)
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
    return 0
