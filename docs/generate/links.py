"""Links that lead out of docs/ on the disk lead to pages on the site; those of no page become plain text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

# Pages of the site that are files outside docs/: file in the repository -> page.
OUTSIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def page_of(file: str) -> str | None:
    """The page that a file of the repository is on the site, None if it is on none."""
    if file in OUTSIDE:
        return OUTSIDE[file]
    if file.startswith("benchmarks/") and file.endswith(".md"):
        return file
    return file.removeprefix("docs/") if file.startswith("docs/") else None


def site_links(text: str, file: str, pages: Mapping[str, object] | None = None) -> str:
    """The text of a file of the repository with links as the site has them.

    Args:
        file: its path in the repository, such as `docs/guides/gpus.md`.
        pages: all pages of the site, to see that a link leads to one; None: not looked at.
    """
    here = posixpath.dirname(page_of(file) or "")

    def replace(found: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file), found[2]))
        page = page_of(target)
        if page is None or (pages is not None and page not in pages):
            return found[1]
        return f"[{found[1]}]({posixpath.relpath(page, here or '.')}{found[3] or ''})"

    return LINK.sub(replace, text)
