"""What MkDocs asks while it builds: links out of docs/ are led to pages of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from links import site_links


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """A page of docs/ with its links to files outside as links to their pages; generated pages are made with them."""
    generated = page.file.generated_by or page.file.src_uri.startswith("benchmarks/")
    return markdown if generated else site_links(markdown, f"docs/{page.file.src_uri}")


def on_post_build(*, config: Any) -> None:
    """Without its page for wrong addresses, whose links hold on one server only, and never in a folder of files."""
    (Path(config.site_dir) / "404.html").unlink(missing_ok=True)
