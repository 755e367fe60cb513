"""The explorer's page: the data of all papers and the parts in `assets`, in one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.files import write_text
from hsipipe.report.explorer.gather import FORMAT

SCRIPTS = (
    "base.js",
    "pictures.js",
    "leaderboard.js",
    "tradeoff.js",
    "cubes.js",
    "maps.js",
    "points.js",
    "run.js",
    "app.js",
)


def write_page(data: Sequence[str | Path], output: str | Path) -> None:
    """Write the page.

    Args:
        data: what `gather` wrote, a file a paper; the first is shown first. Those of another version are left out, and
            the page says so.
        output: HTML.

    Raises:
        UserError: none of the files can be shown.
    """
    papers, left_out = [], []
    for path in map(Path, data):
        text = path.read_text(encoding="utf-8")
        name = path.parent.name
        if json.loads(text).get("format") == FORMAT:
            papers.append((name, text.strip()))
        else:
            left_out.append(name)
    if not papers:
        raise UserError("made by another version", file=data[0], remedy="remove it, and run its paper again")
    note = f"Not shown, since another version of the code made them: {', '.join(left_out)}." if left_out else ""
    # No text in the data can be taken for the end of its element.
    blocks = "\n".join(
        f'<script type="application/json" class="paper-data" data-paper="{escape(name)}">{text}</script>'
        for name, text in ((name, text.replace("<", "\\u003c")) for name, text in papers)
    )
    script = "\n".join(_asset(name) for name in SCRIPTS)
    page = _asset("page.html")
    parts = {
        "STYLE": _asset("page.css"),
        "NOTE": escape(note),
        "SCRIPT": f'"use strict";\n(() => {{\n{script}\n}})();',
        "DATA": blocks,
    }
    for name, part in parts.items():
        page = page.replace(f"<!--{name}-->", part, 1)
    write_text(output, page)


def _asset(name: str) -> str:
    return resources.files("hsipipe.report.explorer").joinpath("assets", name).read_text(encoding="utf-8")
