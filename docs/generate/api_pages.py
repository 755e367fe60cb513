"""Pages of the Python API: one for each package, with all its public modules, read without importing them."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from pieces import ROOT, table

SOURCE = ROOT / "src" / "hsipipe"
# Packages of which every folder below has a page of its own.
DEEP = {"tasks": 3, "scenes": 2}


def pages() -> dict[str, str]:
    """Path -> text of the pages of the API, the navigation among them."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        if parts[-1] in ("__main__",) or any(part.startswith("_") for part in parts[:-1]):
            continue
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if parts[-1].startswith("_") or not _has_members(path):
            continue
        groups[_group(parts[1:], path)].append(".".join(parts))
    made, navigation, rows = {}, ["- [All packages](index.md)"], []
    for group, modules in sorted(groups.items()):
        name = f"hsipipe.{group}" if group else "hsipipe"
        file = f"{(group or 'hsipipe').replace('.', '-')}.md"
        made[f"reference/api/{file}"] = _page(name, modules)
        navigation.append(f"- [{group or 'hsipipe'}]({file})")
        rows.append((f"[`{name}`]({file})", _sentence(name)))
    made["reference/api/index.md"] = "\n".join(
        [
            "# Python API\n",
            "What the workflow and the command line are made of, from the docstrings. For images in memory begin with",
            "[from Python](../../guides/python.md). Arrays are (bands, rows, cols), batches (B, C, H, W), spectra",
            "(N, C).\n",
            table(("package", "what it is for"), rows),
        ]
    )
    made["reference/api/SUMMARY.md"] = "\n".join(navigation) + "\n"
    return made


def _group(parts: tuple[str, ...], path: Path) -> str:
    """The package whose page a module is on."""
    folder = parts if path.name == "__init__.py" else parts[:-1]
    return ".".join(folder[: DEEP.get(folder[0], 1)]) if folder else ""


def _has_members(path: Path) -> bool:
    """Whether a module defines anything public: a package that only gathers others has no entry."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    return any(isinstance(node, kinds) for node in body)


def _page(name: str, modules: list[str]) -> str:
    lines = [f"# {name}\n", f"{_sentence(name)}\n"]
    return "\n".join(lines + [f"::: {module}\n" for module in modules])


def _sentence(name: str) -> str:
    """The first line of a package's docstring."""
    path = SOURCE.parent.joinpath(*name.split(".")) / "__init__.py"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].replace("\n", " ")
