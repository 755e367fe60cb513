"""The methods there are: one folder each under tasks/<task>/methods, told by its method.yaml, read without torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from hsipipe.errors import UserError, unknown

TASKS_FOLDER = Path(__file__).parent / "tasks"
KINDS = ("direct", "per-scene", "trained", "encoder", "oracle")
DESTRIPE = "destripe+"
TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "list": (list, tuple),
    "dict": (dict,),
    "any": (object,),
}
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Method:
    """What method.yaml says of a method."""

    name: str
    task: str
    title: str
    kind: str
    random: bool = False
    backend: str = "torch"
    needs: str | None = None
    resources: dict[str, dict[str, int]] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    citation: str = ""
    deviations: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        """The name of the folder: without the prefix `destripe+`."""
        return self.name.removeprefix(DESTRIPE)

    @property
    def module(self) -> str:
        """The name of the module that holds the method's mathematics."""
        return f"hsipipe.tasks.{self.task}.methods.{self.base}.model"

    @property
    def modules(self) -> list[str]:
        """The modules whose code decides what the method computes."""
        destriping = ["hsipipe.tasks.denoising.shared.destripe"] if self.name.startswith(DESTRIPE) else []
        return [self.module, *destriping]

    @property
    def is_fitted(self) -> bool:
        """Whether the method is trained on the training part before it runs."""
        return self.kind in ("trained", "encoder")

    def load(self) -> ModuleType:
        """Import the module of the method (this may import torch)."""
        return importlib.import_module(self.module)

    def complete(self, given: dict[str, Any], *, file: str | Path | None = None) -> dict[str, Any]:
        """The method's settings: its defaults, overlaid with those given.

        Raises:
            UserError: a setting that the method does not have, or a value of another type than the default's.
        """
        merged = {name: entry.get("default") for name, entry in self.settings.items()}
        for name, value in given.items():
            if name not in self.settings:
                raise unknown(f"setting of method {self.name!r}", name, self.settings, file=file)
            merged[name] = _checked(self, name, value, file)
        return merged


def _checked(method: Method, name: str, value: Any, file: str | Path | None) -> Any:
    entry = method.settings[name]
    choices = entry.get("choices")
    if choices and value not in choices:
        raise unknown(f"value of {method.name}'s {name}", str(value), map(str, choices), file=file)
    expected = entry.get("type", type(entry.get("default")).__name__)
    if expected not in TYPES:
        raise UserError(f"a setting's type is one of {', '.join(TYPES)}", file=method.name, key=name, found=expected)
    allowed = TYPES[expected]
    number_as_text = expected == "float" and isinstance(value, str)  # YAML 1.1 reads 1e-3 as text
    if number_as_text:
        try:
            return float(value)
        except ValueError:
            allowed = ()
    fits = isinstance(value, allowed) and (expected == "bool" or not isinstance(value, bool))
    if not fits and not (value is None and entry.get("default") is None):
        raise UserError(
            f"{name} of method {method.name!r} must be of type {expected}",
            file=file,
            key=name,
            found=f"{value!r}",
            remedy=f"its default is {entry.get('default')!r}",
        )
    return value


@cache
def _read(path: Path) -> Method:
    task, name = path.parent.parent.parent.name, path.parent.name
    loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    known = set(Method.__dataclass_fields__) - {"name", "task"}
    for key in loaded:
        if key not in known:
            raise unknown("key of a method", key, known, file=path)
    method = Method(name=name, task=task, **{**loaded, "deviations": tuple(loaded.get("deviations") or ())})
    if method.kind not in KINDS:
        raise unknown("kind of method", method.kind, KINDS, file=path)
    return method


@cache
def methods_of(task: str) -> dict[str, Method]:
    """All methods of a task by name, found by their folders."""
    paths = sorted((TASKS_FOLDER / task / "methods").glob("*/method.yaml"))
    return {path.parent.name: _read(path) for path in paths}


def tasks() -> list[str]:
    """The tasks there are."""
    return sorted(path.parent.name for path in TASKS_FOLDER.glob("*/methods"))


def find_method(task: str, name: str, *, file: str | Path | None = None) -> Method:
    """A method by name; for denoising, `destripe+NAME` is method NAME with the destriping before it."""
    if task not in tasks():
        raise unknown("task", task, tasks(), file=file)
    known = methods_of(task)
    base = name.removeprefix(DESTRIPE) if task == "denoising" else name
    if base not in known:
        raise unknown(f"{task} method", name, known, file=file)
    method = known[base]
    if base == name:
        return method
    return Method(**{**method.__dict__, "name": name, "title": f"destriping, then {method.title}", "backend": "torch"})
