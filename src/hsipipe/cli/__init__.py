"""The command line: `hsipipe VERB ...`; each verb calls the function that a rule of the workflow calls."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from hsipipe.cli import (
    completion,
    denoising,
    doctor,
    export,
    fusion,
    init,
    plotting,
    provenance,
    representation,
    scenes,
    scoring,
    segmentation,
    training,
)
from hsipipe.cli.output import only_json
from hsipipe.cli.verbs import MainParser, Verbs
from hsipipe.errors import UserError
from hsipipe.jobs.logs import FORMAT
from hsipipe.progress import show_progress

# In the order in which the verbs of a group are listed.
MODULES = (
    *(scenes, plotting, denoising, fusion, segmentation, representation, scoring),
    *(init, training, export, provenance, doctor, completion),
)


def make_parser() -> MainParser:
    """The parser of all verbs."""
    parser = MainParser()
    verbs = Verbs(parser)
    for module in MODULES:
        module.add_verbs(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0 on success, 2 for the user's mistake, 1 for ours and for results that are not what they were."""
    debug = bool(os.environ.get("HSIPIPE_DEBUG"))
    try:
        parser = make_parser()
        options = parser.parse_args(arguments)
        if options.verb is None:
            parser.print_help()
            return 0
        debug |= options.debug
        logging.basicConfig(
            stream=sys.stderr, level=logging.WARNING if options.quiet else logging.INFO, format=FORMAT, force=True
        )
        # rasterio logs each complaint of GDAL before raising it, which would tell every error twice.
        logging.getLogger("rasterio").setLevel(logging.ERROR)
        with show_progress("never" if options.quiet else "terminal"), only_json(getattr(options, "json", False)):
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
