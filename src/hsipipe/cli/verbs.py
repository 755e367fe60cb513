"""The parser of the command line: verbs in groups, each with a description and examples; one-line complaints."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hsipipe import __version__
from hsipipe.errors import UserError, unknown

GROUPS = {
    "files": "your own files",
    "studies": "studies, their models and results",
    "about": "about this program and this machine",
}
"""Name of a group of verbs -> its heading."""

EXIT_CODES = {
    0: "done",
    1: "a fault of this program; or something is not as it was recorded (explain, verify)",
    2: "a mistake that you can mend, told in one line; or something needed is missing (doctor)",
    130: "interrupted with Ctrl-C",
}
WIDTH = 100


@dataclass(frozen=True)
class Verb:
    """What `hsipipe --help` and the documentation tell of a verb.

    Attributes:
        name: as it is typed.
        group: one of `GROUPS`.
        summary: half a line.
        examples: command lines, to be copied; each works on files that its neighbours made, or on one's own.
    """

    name: str
    group: str
    summary: str
    examples: tuple[str, ...]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, with the nearest name where one is misspelt."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print with the usage."""
        raise UserError(message, remedy=f"see `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise unknown(_name_of(action), str(value), map(str, action.choices))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; an option that does not exist is refused with the nearest that does."""
        found, extra = super().parse_known_args(args, namespace)
        strange = next((word for word in extra if word.startswith("-") and not _is_number(word)), None)
        if strange is not None:
            word = strange.partition("=")[0]
            known = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(f"unknown option {word}", remedy=f"{hint}See `{self.prog} --help`")
        return found, extra


class MainParser(Parser):
    """The parser of all verbs, which lists them by what they are for."""

    def __init__(self) -> None:
        super().__init__(prog="hsipipe", add_help=True, formatter_class=_formatter)
        self.add_argument("--version", action="version", version=f"hsipipe {__version__}")
        self.verbs: dict[str, Verb] = {}

    def format_help(self) -> str:
        """Verbs by group, then what holds for all of them."""
        lines = [
            "Reproducible hyperspectral imaging: from scenes to a paper's tables, and your own scenes made better.",
            "",
            "usage: hsipipe VERB ...          hsipipe VERB --help tells its options, with examples",
        ]
        for group, heading in GROUPS.items():
            lines += ["", f"{heading}:"]
            lines += [f"  {verb.name:<12} {verb.summary}" for verb in self.verbs.values() if verb.group == group]
        lines += ["", "A study as a whole is run by `snakemake`; `hsipipe init FOLDER` makes a folder for one."]
        lines += ["", "every verb takes:"]
        lines += [
            "  --help       its options and examples",
            "  --quiet      no progress, and no notes but warnings; the answer is printed all the same",
            "  --debug      the traceback of an error",
            "  --json       where it prints something: one JSON object or list; all else goes to standard error",
        ]
        lines += ["", "exit codes:", *(f"  {code:<12} {meaning}" for code, meaning in EXIT_CODES.items())]
        lines += ["", "options without a verb: --help, --version"]
        return "\n".join(lines) + "\n"


class Verbs:
    """Where the modules of this package enter their verbs."""

    def __init__(self, parser: MainParser) -> None:
        self._parser = parser
        self._parsers = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
        self._common = Parser(add_help=False)
        self._common.add_argument("--debug", action="store_true", help="show the traceback of an error")
        self._common.add_argument("--quiet", action="store_true", help="no progress, and no notes but warnings")
        self._arrays = Parser(add_help=False)
        arrays = self._arrays.add_argument_group("bare arrays (.npy, .npz, .mat, .h5)")
        arrays.add_argument("--key", metavar="NAME", help="name of the array in the file, or of the item of a scene")
        arrays.add_argument("--layout", metavar="AXES", help="order of its axes, such as rows-cols-bands")
        arrays.add_argument("--table", action="store_true", help="a 2-D array is a table of spectra (pixels, bands)")

    def add(
        self,
        name: str,
        function: Callable[[argparse.Namespace], int | None],
        *,
        group: str,
        summary: str,
        description: str,
        examples: Sequence[str],
        arrays: bool = False,
        json: str | None = None,
    ) -> argparse.ArgumentParser:
        """Enter a verb.

        Args:
            name: as it is typed.
            function: is called with the options; returns an exit code, or None for 0.
            group: one of `GROUPS`.
            summary: half a line, for the list of verbs.
            description: sentences, for its help.
            examples: command lines.
            arrays: whether it reads images, which may be bare arrays.
            json: what `--json` prints; None: the verb prints nothing.

        Returns:
            Its parser, to add arguments to.
        """
        self._parser.verbs[name] = Verb(name, group, summary, tuple(examples))
        epilog = "\n".join(["examples:", *(f"  {line}" for line in examples)])
        parser = self._parsers.add_parser(
            name,
            parents=[self._common, *([self._arrays] if arrays else [])],
            help=summary,
            description=description,
            epilog=epilog,
            formatter_class=_formatter,
        )
        if json is not None:
            parser.add_argument("--json", action="store_true", help=f"print {json}")
        parser.set_defaults(function=function)
        return parser


class _Formatter(argparse.HelpFormatter):
    """Fills descriptions, and keeps the lines of examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return "\n".join(indent + line for line in text.splitlines())
        return super()._fill_text(text, width, indent)


def _formatter(prog: str) -> argparse.HelpFormatter:
    import shutil

    return _Formatter(prog, max_help_position=28, width=min(WIDTH, shutil.get_terminal_size().columns))


def _name_of(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return "verb"
    return action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
