"""The heading of a figure, in as many lines as its width needs."""

from __future__ import annotations

from textwrap import fill
from typing import Any

CHARACTERS_PER_INCH = 11.5  # of the heading's type


def write_heading(figure: Any, text: str) -> None:
    """Write a heading, broken where it is wider than the figure; lines that the text has are kept."""
    width = max(int(figure.get_figwidth() * CHARACTERS_PER_INCH), 20)
    figure.suptitle("\n".join(fill(line, width) for line in text.split("\n")), fontsize=10)
