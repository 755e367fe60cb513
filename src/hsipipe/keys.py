"""Step keys: hashes of settings and of the code that acts on them; a step reruns when its key changes."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "hsipipe"
PACKAGE_FOLDER = Path(__file__).parent
# Modules and folders that cannot change a result: messages, files and bookkeeping. An edit there retrains nothing.
BOOKKEEPING = (
    ".config",
    ".devices",
    ".errors",
    ".files",
    ".jobs",
    ".keys",
    ".locks",
    ".methods",
    ".progress",
    ".settings",
)
OF_TRAINING = tuple(
    f".training.{name}"
    for name in ("accounting", "history", "memory", "model_file", "out_of_memory", "pictures", "state")
)
_given_out: dict[str, tuple[str, ...]] = {}
ALONE = (PACKAGE, f"{PACKAGE}.tasks")  # neutral, although what is in these folders counts
# What draws changes no model and no score: it counts only for steps that are there to draw.
DRAWING = frozenset(("report", "figures"))
DRAWERS = DRAWING | {"draw", "explore", "figure"}
NEUTRAL = tuple(f"{PACKAGE}{name}" for name in (*OF_TRAINING, *BOOKKEEPING))


@cache
def _module_path(name: str) -> Path | None:
    """The source file of a module of this package, or None for names that are not modules."""
    path = PACKAGE_FOLDER.joinpath(*name.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


class _Docstrings(ast.NodeTransformer):
    """Drops docstrings: they explain the code and do not act."""

    def _strip(self, node: Any) -> Any:
        self.generic_visit(node)
        body = node.body
        if ast.get_docstring(node, clean=False) is not None:
            node.body = body[1:]
        return node

    visit_Module = visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _strip


@cache
def _read_module(name: str) -> tuple[str, frozenset[str]]:
    """The hash of a module's syntax tree (no comments, no docstrings) and the modules of this package it imports."""
    path = _module_path(name)
    if path is None:
        raise ModuleNotFoundError(name)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            imported.add(base)
            imported.update(f"{base}.{alias.name}" for alias in node.names)
    ours = frozenset(
        other for other in imported if other.partition(".")[0] == PACKAGE and other != name and _module_path(other)
    )
    digest = hashlib.sha256(_acts(tree))
    for data in _data_files(tree, path.parent):
        digest.update(data.read_bytes())
    return digest.hexdigest(), ours


def _acts(tree: ast.Module) -> bytes:
    """A syntax tree as bytes: what acts in it. To be called last, since it takes the docstrings out."""
    return ast.dump(_Docstrings().visit(tree)).encode()


def _data_files(tree: ast.AST, folder: Path) -> list[Path]:
    """Tables that a module reads: files beside it that its code names."""
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    named = (folder / text for text in texts if text.endswith((".csv", ".tsv", ".yaml")) and "/" not in text)
    return sorted(path for path in named if path.is_file())


def modules_used(names: Iterable[str]) -> list[str]:
    """The given modules of this package and all that they import from it, however deep, but for the neutral ones.

    The pictures of a training count as neutral, those of a figure do not: what draws counts where it is asked for.
    """
    waiting = list(names)
    draws = any(DRAWERS.intersection(name.split(".")) for name in waiting)
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or _is_neutral(name) or not (draws or DRAWING.isdisjoint(name.split("."))):
            continue
        found.add(name)
        waiting.extend(_read_module(name)[1])
    return sorted(found)


def _is_neutral(name: str) -> bool:
    return name in ALONE or any(name == neutral or name.startswith(f"{neutral}.") for neutral in NEUTRAL)


def code_key(*names: str) -> str:
    """A hash of the syntax trees of modules and of everything in this package that they import."""
    digest = hashlib.sha256()
    for name, own in code_of(names).items():
        digest.update(f"{name}={own}\n".encode())
    key = digest.hexdigest()[:16]
    _given_out[key] = names
    return key


def code_of(names: Iterable[str]) -> dict[str, str]:
    """What a key of these modules is made of: each module that counts, and the hash of its syntax tree."""
    return {name: _read_module(name)[0] for name in modules_used(names)}


def keys_given_out() -> dict[str, tuple[str, ...]]:
    """The keys that this process made so far, each with the modules that it was asked for."""
    return dict(_given_out)


@cache
def file_key(path: Path) -> str:
    """A hash of the syntax tree of one file of code, whatever it imports."""
    return hashlib.sha256(_acts(ast.parse(path.read_text(encoding="utf-8")))).hexdigest()[:16]


def folder_key(folder: Path) -> str:
    """A hash of the names and bytes of the files in a folder that code reads, such as the parts of a page."""
    found = sorted(path for path in folder.iterdir() if path.is_file())
    return step_key(*((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in found))


def step_key(*parts: Any) -> str:
    """A hash of settings and keys; dictionaries are equal whatever the order of their entries."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
