"""Draw docs/images/architecture.svg from the code: rules, their scripts, the package's folders, tasks and methods.

    python docs/draw_architecture.py [--check]

What runs what is read from `Snakefile` and workflow/rules, what calls what from the imports of the scripts and of the
package; nothing is imported or run. All text stands in boxes of one pale colour and all lines are of a middle grey, so
that the picture can be read on a light and on a dark page.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "hsipipe"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
QUESTIONS = ("prepare", "fit", "predict", "score", "draw")
# Every script works within `hsipipe.jobs.job`, and everybody uses what lies at the package's root.
NOT_DRAWN = ("jobs",)

FOLDERS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
WIDTH, LINE, GAP, PAD = 1000, 15, 8, 6
COLUMNS = {"rules": (10, 160), "scripts": (215, 125), "folders": (420, 285), "tasks": (735, 255)}
INK, PALE, FRAME, LINES = "#1b2733", "#eef3f7", "#4d6a83", "#7b8b99"
FILLS = {"rules": "#dfeaf4", "scripts": PALE, "folders": "#e6f0e3", "tasks": "#f7ecd9"}


@dataclass
class Box:
    """A box with lines of text, the first bold; `top` is set when it is placed."""

    column: str
    title: str
    lines: list[str] = field(default_factory=list)
    top: float = 0.0

    @property
    def height(self) -> float:
        """Of title and lines, pixels."""
        return LINE * (1 + len(self.lines)) + PAD

    @property
    def middle(self) -> float:
        """Pixels from the top of the picture."""
        return self.top + self.height / 2


def rules_of(smk: Path) -> list[str]:
    """The rules of a file that run a script, by its name, which is the rule's."""
    return re.findall(r'^\s+"\.\./scripts/(\w+)\.py"$', smk.read_text(encoding="utf-8"), flags=re.MULTILINE)


def rule_files() -> list[Path]:
    """The files of rules in the order in which the Snakefile includes them."""
    text = (ROOT / "Snakefile").read_text(encoding="utf-8")
    return [ROOT / name for name in re.findall(r'^include: "(.+)"$', text, flags=re.MULTILINE)]


def imports_of(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, early or late, but for those that only annotations need."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "hsipipe":
            yield from ([node.module] if node.module != "hsipipe" else [f"hsipipe.{name.name}" for name in node.names])
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("hsipipe."))
        waiting += ast.iter_child_nodes(node)


def folder_of(module: str) -> str:
    """The folder of the package that a module lies in; "" for one at its root."""
    name = module.split(".")[1]
    return name if (PACKAGE / name).is_dir() else ""


def questions_of(script: Path) -> list[str]:
    """Which questions a script asks a task: by `load_task(..., question)`, or by the name of a task's module."""
    found = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load_task":
            found.append(ast.literal_eval(node.args[1]))
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            if parts[:1] == ["hsipipe.tasks."]:
                found.append(str(parts[-1]).lstrip("."))
    return [question for question in QUESTIONS if question in found]


def uses(folder: Path, *, own: str) -> list[str]:
    """The other folders of the package that the code in a folder imports from."""
    found = {folder_of(module) for path in folder.rglob("*.py") for module in imports_of(path)}
    return sorted(found - {"", own, *NOT_DRAWN})


def reason_of(folder: Path) -> str:
    """The first sentence of a folder's docstring."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("`", "").rstrip(".")


def wrapped(text: str, column: str) -> list[str]:
    """Text in lines that fit a column."""
    return textwrap.wrap(text, int(COLUMNS[column][1] / 5.6))


def make_boxes() -> tuple[list[Box], list[tuple[Box, Box]]]:
    """All boxes in their places, and the pairs of them that a line joins."""
    rules, scripts, folders, tasks, joined = [], {}, {}, [], []
    for smk in rule_files():
        names = rules_of(smk)
        if names:
            rules.append(Box("rules", smk.name, names))
        for name in names:
            scripts[name] = Box("scripts", f"{name}.py")
    asked = {question: Box("folders", f"tasks/<task>/{question}.py") for question in QUESTIONS}
    calls: list[tuple[str, str]] = []
    for name in scripts:
        path = ROOT / "workflow" / "scripts" / f"{name}.py"
        called = {folder_of(module) for module in imports_of(path)} - {"", "tasks", *NOT_DRAWN}
        calls += [(name, folder) for folder in sorted(called)] + [(name, one) for one in questions_of(path)]
    order = list(scripts)
    for folder in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        if folder.name != "tasks":
            used = uses(folder, own=folder.name)
            lines = wrapped(reason_of(folder), "tasks") + (wrapped(f"uses {', '.join(used)}", "tasks") if used else [])
            folders[folder.name] = Box("folders", folder.name, lines)
    # What is called stands beside its callers, what no script calls below.
    places = {name: [order.index(script) for script, called in calls if called == name] for name in (*folders, *asked)}
    ranked = sorted(places, key=lambda name: (sum(places[name]) / len(places[name]) if places[name] else 99, name))
    placed = [(folders | asked)[name] for name in ranked if places[name]]
    last_called = placed[-1]
    for folder in sorted(path.parent for path in (PACKAGE / "tasks").glob("*/methods")):
        methods = sorted(path.parent.name for path in folder.glob("methods/*/method.yaml"))
        lines = wrapped(f"{len(methods)} methods: {', '.join(methods)}", "tasks")
        tasks.append(
            Box(
                "tasks",
                f"tasks/{folder.name}",
                [*lines, *wrapped(f"uses {', '.join(uses(folder, own='tasks'))}", "tasks")],
            )
        )
    # What no script calls stands below: beneath the tasks what these are made of, beneath the folders the rest.
    of_tasks = uses(PACKAGE / "tasks", own="tasks")
    for name in ranked:
        if not places[name] and name in of_tasks:
            folders[name].column = "tasks"
            tasks.append(folders[name])
        elif not places[name]:
            placed.append(folders[name])
    for stack in (rules, list(scripts.values()), placed, tasks):
        place(stack)
    spread(list(scripts.values()), last_called.top)
    for box in rules:
        own = [scripts[name] for name in box.lines]
        box.top = sum(one.middle for one in own) / len(own) - box.height / 2
        joined += [(box, one) for one in own]
    joined += [(scripts[script], (folders | asked)[called]) for script, called in calls]
    joined += [
        (box, task)
        for question, box in asked.items()
        for task in tasks
        if (PACKAGE / task.title / f"{question}.py").exists()
    ]
    return [*rules, *scripts.values(), *placed, *tasks], joined


def place(stack: list[Box]) -> None:
    """One below the other."""
    top = 34.0
    for box in stack:
        box.top = top
        top += box.height + GAP


def spread(stack: list[Box], bottom: float) -> None:
    """With equal gaps down to a height."""
    step = max(2 * LINE + PAD + GAP, (bottom - 34) / len(stack))  # room for a file with one rule beside each
    for index, box in enumerate(stack):
        box.top = 34 + index * step


def svg() -> str:
    """The picture as text."""
    boxes, joined = make_boxes()
    height = max(box.top + box.height for box in boxes) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        'font-family="sans-serif" font-size="11.5">',
        "<title>How hsipipe is laid out: rules, their scripts, folders of the package, tasks and their methods</title>",
    ]
    for column, words in zip(
        COLUMNS, ("workflow/rules", "workflow/scripts", "src/hsipipe", "tasks and methods"), strict=True
    ):
        left, width = COLUMNS[column]
        parts.append(f'<rect x="{left}" y="6" width="{width}" height="20" rx="3" fill="{FRAME}"/>')
        parts.append(f'<text x="{left + 8}" y="20" fill="{PALE}" font-weight="bold">{words}</text>')
    for first, second in joined:
        start, end = sum(COLUMNS[first.column]), COLUMNS[second.column][0]
        half = (start + end) / 2
        begin = first.middle
        if first.column == "rules":  # from the line that names the rule
            begin = first.top + LINE * (first.lines.index(second.title.removesuffix(".py")) + 1.8)
        finish = second.top + 11
        parts.append(
            f'<path d="M{start} {begin:.1f} C{half} {begin:.1f} {half} {finish:.1f} {end} {finish:.1f}" fill="none" '
            f'stroke="{LINES}" stroke-width="1.1"/>'
        )
    for box in boxes:
        left, width = COLUMNS[box.column]
        parts.append(
            f'<rect x="{left}" y="{box.top:.1f}" width="{width}" height="{box.height:.1f}" rx="4" '
            f'fill="{FILLS["folders" if box.title in FOLDERS else box.column]}" stroke="{FRAME}"/>'
        )
        for number, line in enumerate([box.title, *box.lines]):
            weight = ' font-weight="bold"' if number == 0 else ""
            y = box.top + LINE * (number + 1) - 1
            parts.append(f'<text x="{left + 7}" y="{y:.1f}" fill="{INK}"{weight}>{escape(line)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> int:
    """Write the picture; with --check, 1 if it is not the one that the code makes now."""
    parser = argparse.ArgumentParser(description="Draw the architecture from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the picture is of other code")
    if parser.parse_args().check:
        return int(PICTURE.read_text(encoding="utf-8") != svg())
    PICTURE.write_text(svg(), encoding="utf-8")
    print(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
