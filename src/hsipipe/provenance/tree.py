"""A tree of findings, as lines for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Node:
    """One thing on the way back from a result.

    Attributes:
        title: what it is.
        state: how it compares with its record; empty where nothing is compared.
        facts: what is known of it: name to plain value, or to text.
        children: what it was made from.
    """

    title: str
    state: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        about = {"title": self.title, "state": self.state, "facts": self.facts}
        return {**about, "children": [child.as_dict() for child in self.children]}

    def lines(self) -> Iterator[str]:
        """The tree as text, a line per title and per fact."""
        yield self.title + (f"  [{self.state}]" if self.state else "")
        bar = "│   " if self.children else "    "
        for name, value in self.facts.items():
            yield f"{bar}{name}: {told(value)}"
        for number, child in enumerate(self.children, 1):
            last = number == len(self.children)
            first, rest = ("└── ", "    ") if last else ("├── ", "│   ")
            for index, line in enumerate(child.lines()):
                yield (rest if index else first) + line


def told(value: Any) -> str:
    """A value in words: mappings as name=value, numbers with 6 significant digits."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={_inner(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(told(inner) for inner in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _inner(value: Any) -> str:
    text = told(value)
    if isinstance(value, dict):
        return f"{{{text}}}"
    return f"[{text}]" if isinstance(value, (list, tuple)) else text
