"""The verb completion: a script that lets a shell complete verbs, options, files and names."""

from __future__ import annotations

import argparse

from hsipipe.cli.verbs import MainParser, Verbs

SHELLS = ("bash", "zsh", "tcsh")
# What words stand for in the help -> what a shell completes there.
FILES = ("FILE", "FILE[:KEY]", "IN", "OUT", "MSI_OUT", "LR_HSI", "HR_MSI", "LR_OUT", "MODEL", "CSV", "H5", "PICTURE")
FILES_TOO = ("RESULT", "BUNDLE", "ARCHIVE")
FOLDERS = ("FOLDER",)
TASK_OF = {"denoise": "denoising", "fuse": "fusion", "segment": "segmentation"}


def add_verbs(verbs: Verbs) -> None:
    """Add the verb of this module to the parser."""
    completion = verbs.add(
        "completion",
        print_completion,
        group="about",
        summary="a script for your shell that completes verbs, options, files, names of methods",
        description="Print a completion script. bash: write it to ~/.local/share/bash-completion/completions/hsipipe. "
        "zsh: to a file _hsipipe in a folder of $fpath. tcsh: to a file that ~/.tcshrc sources. Methods that you add "
        "later are known after writing it again.",
        examples=["hsipipe completion bash > hsipipe.bash", "hsipipe completion zsh > _hsipipe"],
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or tcsh")


def print_completion(options: argparse.Namespace) -> None:
    """Print the script."""
    import shtab

    from hsipipe.cli import make_parser

    print(shtab.complete(prepared(make_parser()), shell=options.shell))


def prepared(parser: MainParser) -> MainParser:
    """The parser, with what a shell can offer for each argument; it is good for nothing else afterwards."""
    import shtab

    from hsipipe.cli.scenes import STRATEGY_NAMES
    from hsipipe.methods import DESTRIPE, methods_of, tasks

    (verbs,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for verb, sub in verbs.choices.items():
        for action in sub._actions:
            if "--method" in action.option_strings:
                action.choices = _untrained(TASK_OF[verb], methods_of(TASK_OF[verb]), DESTRIPE)
            elif "--encoder" in action.option_strings:
                action.choices = [*(n for n, m in methods_of("segmentation").items() if m.is_trained_by_loop), "none"]
            elif "--strategy" in action.option_strings:
                action.choices = list(STRATEGY_NAMES)
            elif action.metavar == "TASK" and action.choices is None:
                action.choices = tasks()
            elif action.metavar in (*FILES, *FILES_TOO):
                action.complete = shtab.FILE
            elif action.metavar in FOLDERS:
                action.complete = shtab.DIRECTORY
    return parser


def _untrained(task: str, methods: dict, destripe: str) -> list[str]:
    """The names that `--method` of a task's verb takes."""
    if task == "segmentation":
        return [name for name, method in methods.items() if method.kind == "per-scene"]
    names = [name for name, method in methods.items() if not method.is_fitted and method.kind != "oracle"]
    if task != "denoising":
        return names
    return [*names, *(f"{destripe}{name}" for name in names if name not in ("noisy", "constant", "destripe"))]
