"""Pieces of Markdown that several pages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def cell(text: object) -> str:
    """A text that may stand in a table: one line, bars escaped."""
    return re.sub(r"\s+", " ", str(text)).strip().replace("|", "\\|")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> str:
    """A table; columns named in `right` are aligned to the right. Empty without rows."""
    lines = [f"| {' | '.join(cell(part) for part in row)} |" for row in rows]
    if not lines:
        return ""
    rule = ["---:" if heading in right else "---" for heading in headings]
    return "\n".join([f"| {' | '.join(headings)} |", f"|{'|'.join(rule)}|", *lines]) + "\n"


def value(given: Any) -> str:
    """A value as a config writes it, in a code span; a list in brackets, null for None."""
    return f"`{_yaml(given)}`"


def _yaml(given: Any) -> str:
    if given is None:
        return "null"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, (list, tuple)):
        return f"[{', '.join(_yaml(part) for part in given)}]"
    if isinstance(given, dict):
        return f"{{{', '.join(f'{key}: {_yaml(part)}' for key, part in given.items())}}}"
    if isinstance(given, float):
        return f"{given:g}"
    return '""' if given == "" else str(given)


def prose(docstring: str | None) -> str:
    """A docstring as paragraphs: without indentation and without its sections (Args, Returns, Raises)."""
    if not docstring:
        return ""
    lines = docstring.expandtabs().splitlines()
    indents = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    margin = min(indents, default=0)
    plain = "\n".join([lines[0].strip(), *(line[margin:].rstrip() for line in lines[1:])])
    kept = [
        part
        for part in re.split(r"\n{2,}", plain.strip())
        if not re.match(r"(Args|Returns|Raises|Attributes|Yields):\n", part) and not part.startswith(">>>")
    ]
    return "\n\n".join(kept)
