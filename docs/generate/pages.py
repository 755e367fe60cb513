"""Everything of the reference that is made of the code: run by MkDocs (mkdocs-gen-files) when the site is built."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "src")]

import api_pages  # noqa: E402
import benchmark_pages  # noqa: E402
import command_pages  # noqa: E402
import degradation_page  # noqa: E402
import method_pages  # noqa: E402
import metric_pages  # noqa: E402
import scenes_page  # noqa: E402
from pieces import ROOT  # noqa: E402
from settings_tables import MARK, fill  # noqa: E402


def generated() -> dict[str, str]:
    """Path -> text of every generated page."""
    made = {
        "reference/commands.md": command_pages.page(),
        "reference/costs.md": metric_pages.costs_page(),
        "reference/degradation.md": degradation_page.page(),
        "reference/metrics.md": metric_pages.metrics_page(),
        "reference/scenes.md": scenes_page.page(),
        **method_pages.pages(),
        **benchmark_pages.pages(),
        **api_pages.pages(),
    }
    for path in (ROOT / "docs").rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        if MARK.search(text):
            made[path.relative_to(ROOT / "docs").as_posix()] = fill(text)
    return made


if __name__ == "<run_path>" or __name__ == "__main__":
    import mkdocs_gen_files

    for name, text in generated().items():
        with mkdocs_gen_files.open(name, "w") as file:
            file.write(text)
