"""Small self-contained HTML pages for the report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b2430; margin: 1.5rem; }
h1 { font-size: 1.25rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; border-bottom: 2px solid #1b2430; padding: .35rem .8rem; vertical-align: bottom; }
td { border-bottom: 1px solid #d8dee6; padding: .3rem .8rem; white-space: nowrap; }
td.best { font-weight: 700; }
th.number, td.number { text-align: right; }
td.text { white-space: normal; max-width: 34rem; }
td.reproduced { color: #14693b; } td.not-reproduced { color: #a3261f; } td.not-tested { color: #6b7785; }
p.note { color: #4b5866; max-width: 60rem; margin: .4rem 0; }
"""


def html_page(title: str, body: str, notes: Sequence[str] = ()) -> str:
    """A page with a heading, a body (HTML) and notes (text) below."""
    below = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}{below}</body></html>\n"
    )
