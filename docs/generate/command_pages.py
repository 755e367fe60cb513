"""Every verb of the command line, from the parser itself."""

from __future__ import annotations

import argparse

from pieces import table

from hsipipe.cli import make_parser


def page() -> str:
    """All verbs: what each does, its usage, arguments and options."""
    parser = make_parser()
    (verbs,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in verbs._choices_actions}
    overview = [(f"[`{name}`](#hsipipe-{name})", helps.get(name, "")) for name in verbs.choices]
    lines = [
        "# Commands\n",
        "`hsipipe VERB --help` prints what stands here. Exit codes: 0 for success, 2 for what you can mend",
        "(one line says what",
        "and how), 1 for a fault of the program or a result that is not as recorded. `--debug` shows the traceback.\n",
        table(("verb", "what it does"), overview),
    ]
    for name, verb in verbs.choices.items():
        lines += [f"## hsipipe {name}\n", f"{_sentence(verb.description or helps.get(name, ''))}\n", *_usage(verb)]
    return "\n".join(lines)


def _usage(verb: argparse.ArgumentParser) -> list[str]:
    usage = verb.format_usage().removeprefix("usage: ").rstrip()
    lines = [f"```text\n{usage}\n```\n"]
    shown = [action for action in verb._actions if action.help != argparse.SUPPRESS and action.dest != "help"]
    rows = [(_name(action), _sentence(_help(verb, action)), _default(action)) for action in shown]
    return [*lines, table(("argument", "meaning", "default"), rows)]


def _name(action: argparse.Action) -> str:
    words = (
        action.metavar
        if isinstance(action.metavar, str)
        else (action.dest if not action.option_strings else action.dest.upper())
    )
    if not action.option_strings:
        return f"`{words}`"
    value = "" if action.nargs == 0 else f" {words}"
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def _help(verb: argparse.ArgumentParser, action: argparse.Action) -> str:
    if not action.help:
        return ""
    text = verb._get_formatter()._expand_help(action)
    return text + (f" ({', '.join(f'`{choice}`' for choice in action.choices)})" if action.choices else "")


def _default(action: argparse.Action) -> str:
    if action.required and action.option_strings:
        return "**required**"
    if action.default in (None, False, argparse.SUPPRESS, "") or action.default == []:
        return ""
    return f"`{action.default}`"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
