"""Pages of what was measured, of contributing and of changes: files of the repository that are not in docs/."""

from __future__ import annotations

from links import OUTSIDE, site_links
from pieces import ROOT, table


def pages() -> dict[str, str]:
    """Path -> text of the pages that are made of files outside docs/."""
    made, navigation, rows = {}, ["- [All measurements](index.md)"], []
    for path in sorted((ROOT / "benchmarks").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        made[f"benchmarks/{path.name}"] = site_links(text, f"benchmarks/{path.name}")
        title = text.partition("\n")[0].removeprefix("# ")
        navigation.append(f"- [{title}]({path.name})")
        rows.append((f"[{title}]({path.name})", f"`benchmarks/{path.name}`"))
    made["benchmarks/index.md"] = "\n".join(
        [
            "# Measurements\n",
            "What was measured with committed scripts. Each page says on what, and by which command it is made again",
            "(`make bench` for most). Seconds depend on the machine: compare those of one table.\n",
            table(("what", "file"), rows),
        ]
    )
    made["benchmarks/SUMMARY.md"] = "\n".join(navigation) + "\n"
    for file, page in OUTSIDE.items():
        if file != "README.md":
            made[page] = site_links((ROOT / file).read_text(encoding="utf-8"), file)
    return made
