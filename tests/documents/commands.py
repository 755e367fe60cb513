"""The commands of a document: its blocks of bash, taken apart into one command after another.

    python tests/documents/commands.py README.md docs/guides/methods.md

prints them. A block after the line `<!-- not run -->` is one that nobody can run everywhere, such as an installation.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```")
NOT_RUN = "<!-- not run -->"


@dataclass(frozen=True)
class Command:
    """A command of a document, without its comment; lines that go on with a backslash are one."""

    document: Path
    chapter: str
    line: int
    text: str
    is_run: bool = True

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.text}"


def commands_of(document: Path) -> list[Command]:
    """All commands in the blocks of bash of a document, in their order."""
    found: list[Command] = []
    chapter, block, mark, waiting = "", None, "", ""
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        if FENCE.match(line):
            # A fence with a language opens a block, a bare one closes it.
            block = None if block is not None else line.removeprefix("```").strip()
        elif block == "bash":
            text = waiting + without_comment(line).strip()
            waiting = text.removesuffix("\\") if text.endswith("\\") else ""
            if text.strip() and not waiting:
                found.append(Command(document, chapter, number, text.strip(), mark != NOT_RUN))
        elif block is None:
            if line.startswith("#"):
                chapter = line.lstrip("# ")
            mark = line.strip() or mark
    return found


def without_comment(line: str) -> str:
    """A line of bash without the comment at its end; a # within quotes or a word is none."""
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place]
    return line


def files_of(document: Path, chapter: str, language: str) -> list[str]:
    """The blocks of a language in a chapter: files that the reader is asked to write."""
    text = document.read_text(encoding="utf-8")
    part = next(part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(f"{chapter}\n"))
    return re.findall(rf"^```{language}\n(.*?)^```", part, flags=re.MULTILINE | re.DOTALL)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        for command in commands_of(Path(name)):
            print(command)
