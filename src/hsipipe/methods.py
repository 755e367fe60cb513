"""The methods there are: one folder each under tasks/<task>/methods, told by its method.yaml, read without torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import ModuleType, NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from hsipipe.errors import UserError, unknown
from hsipipe.settings import LIMITS, as_plain, convert, settings_from, split
from hsipipe.training.settings import TrainingSettings

TASKS_FOLDER = Path(__file__).parent / "tasks"
KINDS = ("direct", "per-scene", "trained", "encoder", "oracle")
DESTRIPE = "destripe+"
BACKENDS = ("torch", "numpy")
TYPES: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict, "any": Any}
STEPS = ("train", "run")
RESOURCES = ("gpu", "vram_mb", "threads", "mem_mb", "runtime")
ENTRY_KEYS = ("default", "type", "null", "meaning", "choices", *LIMITS)
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Method:
    """What method.yaml says of a method.

    `settings` holds an entry per setting: default, type, meaning, and where they apply `null` (null is allowed although
    it is not the default), `choices` and limits. A fitted method has those of `TrainingSettings` as well; its file
    lists only what is different with it, or says `loop: false` if it is fitted without the training loop. `needs` names
    the methods of which one variant must be trained before; the setting `encoder` says which. `divisible: false` keeps
    a training on one GPU: its loss is no mean over the items of a batch.
    """

    name: str
    task: str
    title: str
    kind: str = field(metadata={"choices": KINDS})
    random: bool = False
    backend: str = field(default="torch", metadata={"choices": BACKENDS})
    needs: tuple[str, ...] = ()
    loop: bool = True
    divisible: bool = True
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

    @property
    def is_trained_by_loop(self) -> bool:
        """Whether the training loop fits it, so that it has the settings of the training."""
        return self.is_fitted and self.loop

    def load(self) -> ModuleType:
        """Import the module of the method (this may import torch)."""
        return importlib.import_module(self.module)

    def complete(self, given: dict[str, Any], *, file: str | Path | None = None) -> dict[str, Any]:
        """The method's settings: its defaults, overlaid with those given.

        Raises:
            UserError: a setting that the method does not have, or a value of a wrong type, out of range or not a
                choice; for trained methods also settings of the training that do not fit together.
        """
        merged = {name: entry.get("default") for name, entry in self.settings.items()}
        for name, value in given.items():
            if name not in self.settings:
                raise unknown(f"setting of method {self.name!r}", name, self.settings, file=file)
            merged[name] = _checked(name, self.settings[name], value, file)
        if self.is_trained_by_loop:
            settings_from(TrainingSettings, split(TrainingSettings, merged)[0], file)
        return merged

    def check_gpus(self, gpus: int, settings: dict[str, Any], *, file: str | Path | None = None) -> None:
        """Refuse to divide a training over several GPUs where that would be another training.

        Raises:
            UserError: a method that is not trained by the training loop, one whose loss compares the items of a batch,
                or a batch that is not a multiple of the number of GPUs.
        """
        if gpus < 2:
            return
        if not self.is_trained_by_loop or not self.divisible:
            why = "draws and compares the items of a batch together" if self.is_trained_by_loop else "is not divided"
            raise UserError(
                f"the training of {self.name!r} {why} and runs on one GPU at most", file=file, key="gpu", found=gpus
            )
        size = settings["batch_size"]
        if size % gpus:
            raise UserError(
                f"is divided over {gpus} GPUs and must be a multiple of that",
                file=file,
                key="batch_size",
                found=size,
                remedy=f"set batch_size to {(size // gpus + 1) * gpus}, or ask for another number of GPUs",
            )


def check_resources(given: Any, file: str | Path | None) -> dict[str, dict[str, int]]:
    """What the jobs of a method or a variant need: step -> resource -> number.

    Raises:
        UserError: an unknown step or resource, a value that is no number from 0, or a share of several GPUs.
    """
    found = convert(given, dict[str, dict[str, int]], {}, file, "resources")
    for step, needs in found.items():
        if step not in STEPS:
            raise unknown("step of `resources`", step, STEPS, file=file)
        for name, value in needs.items():
            if name not in RESOURCES:
                raise unknown(f"resource of `resources.{step}`", name, RESOURCES, file=file)
            if value < 0:
                raise UserError("must be at least 0", file=file, key=f"resources.{step}.{name}", found=value)
        if needs.get("vram_mb") and needs.get("gpu") != 1:
            raise UserError(
                "a share is of one GPU", file=file, key=f"resources.{step}.vram_mb", found=f"gpu {needs.get('gpu', 0)}"
            )
    if found.get("run", {}).get("gpu", 0) > 1:
        raise UserError("a model is applied on one GPU", file=file, key="resources.run.gpu", found=found["run"]["gpu"])
    return found


def _checked(name: str, entry: dict[str, Any], value: Any, file: str | Path | None) -> Any:
    """A setting's value as its type and within its limits; null where that is allowed or the default."""
    if value is None and (entry.get("null") or entry.get("default") is None):
        return None
    kind = entry.get("type", type(entry.get("default")).__name__)
    limits = {key: entry[key] for key in ("choices", *LIMITS) if key in entry}
    return convert(value, TYPES[kind], limits, file, name)


@cache
def training_entries() -> dict[str, dict[str, Any]]:
    """The settings of the training loop, each described as method.yaml describes a setting."""
    hints = get_type_hints(TrainingSettings)
    entries = {}
    for item in fields(TrainingSettings):
        options = get_args(hints[item.name]) if NoneType in get_args(hints[item.name]) else (hints[item.name],)
        kind = next(option for option in options if option is not NoneType)
        entry = {"default": as_plain(item.default), "type": (get_origin(kind) or kind).__name__}
        if get_origin(kind) is Literal:
            entry |= {"type": "str", "choices": list(get_args(kind))}
        elif get_origin(kind) is tuple:
            entry["type"] = "list"
        if NoneType in options:
            entry["null"] = True
        entries[item.name] = entry | {key: item.metadata[key] for key in ("meaning", *LIMITS) if key in item.metadata}
    return entries


def _complete_entries(method: Method, path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a method's file, checked; after them those that a fitted method inherits from the training."""
    inherited = training_entries() if method.is_trained_by_loop else {}
    entries = {name: entry for name, entry in method.settings.items() if name not in inherited}
    entries |= {name: {**entry, **method.settings.get(name, {})} for name, entry in inherited.items()}
    for name, entry in entries.items():
        for key in entry:
            if key not in ENTRY_KEYS:
                raise unknown(f"key of the setting {name!r}", key, ENTRY_KEYS, file=path)
        kind = entry.get("type", type(entry.get("default")).__name__)
        if kind not in TYPES:
            raise unknown(f"type of the setting {name!r}", kind, TYPES, file=path)
        if name in inherited and kind != inherited[name]["type"]:
            raise UserError("is a setting of the training", file=path, key=f"{name}.type", found=kind)
        entry["default"] = _checked(name, entry, entry.get("default"), path)
    return entries


@cache
def _read(path: Path) -> Method:
    loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    if not isinstance(loaded, dict):
        raise UserError("must be a mapping of keys", file=path, found=type(loaded).__name__)
    known = set(Method.__dataclass_fields__) - {"name", "task"}
    for key in loaded:
        if key not in known:
            raise unknown("key of a method", key, known, file=path)
    given = {key: value for key, value in loaded.items() if value is not None}
    method = settings_from(Method, {**given, "task": path.parent.parent.parent.name, "name": path.parent.name}, path)
    check_resources(method.resources, path)
    method = replace(method, settings=_complete_entries(method, path))
    method.complete({}, file=path)  # defaults can be right one by one and still not fit together
    return method


@cache
def methods_of(task: str) -> dict[str, Method]:
    """All methods of a task by name, found by their folders."""
    paths = sorted((TASKS_FOLDER / task / "methods").glob("*/method.yaml"))
    return {path.parent.name: _read(path) for path in paths}


def tasks() -> list[str]:
    """The tasks there are: folders with methods, and with settings of their cases."""
    found = (path.parent for path in TASKS_FOLDER.glob("*/methods"))
    return sorted(task.name for task in found if (task / "settings.py").exists())


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
