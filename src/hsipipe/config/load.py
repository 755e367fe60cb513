"""From a config file to a `Paper`: its size chosen, every key and value checked."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from hsipipe.config.checks import check_paper
from hsipipe.config.paper import Paper, Variant
from hsipipe.config.sections import PaperSettings, TaskSettings
from hsipipe.errors import UserError, unknown
from hsipipe.methods import Loader, check_resources, find_method, tasks
from hsipipe.settings import settings_from


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a YAML config; the error for one that does not parse names its line."""
    try:
        with open(path, encoding="utf-8") as file:
            loaded = yaml.load(file, Loader=Loader)
    except FileNotFoundError as error:
        raise UserError("does not exist", file=path) from error
    except yaml.YAMLError as error:
        raise UserError("is not valid YAML", file=path, found=str(error)) from error
    if not isinstance(loaded, dict):
        raise UserError("must be a mapping of keys", file=path, found=type(loaded).__name__)
    return loaded


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` overlaid with `over`, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


GENERAL_KEYS = tuple(entry.name for entry in fields(PaperSettings))
HEAD_KEYS = ("paper", "size", "sizes")  # what the sizes of a study cannot replace


def load_paper(config: Mapping[str, Any], *, file: str | Path | None = None) -> Paper:
    """Check a config and give it types.

    Raises:
        UserError: an unknown key, task, method, setting, scene, case or variant (with the nearest that exists), a
            value of the wrong type or out of range, or a name that cannot be a part of a path.
    """
    where = str(file or f"paper {config.get('paper')}")
    task_names = tasks()
    _check_keys(config, (*GENERAL_KEYS, *task_names), where)
    size, over = _chosen_size(config, task_names, where)
    general, plans = _sections(merged(config, over), task_names, where)
    cases: dict[str, dict[str, Any]] = {}
    variants: dict[str, dict[str, Variant]] = {}
    for task, plan in plans.items():
        settings_class = importlib.import_module(f"hsipipe.tasks.{task}.settings").CaseSettings
        cases[task] = {
            name: settings_from(settings_class, value, f"{where}: {task}.cases.{name}")
            for name, value in plan.cases.items()
        }
        variants[task] = {name: _variant(task, name, value, where) for name, value in plan.variants.items()}
    paper = Paper(
        name=general.paper,
        title=general.title or general.paper,
        size=size,
        seeds=general.seeds,
        scenes=general.scenes,
        cases=cases,
        variants=variants,
        tables=general.tables,
        figures=general.figures,
        claims=general.claims,
        citation=general.citation,
    )
    check_paper(paper, where, sizes=general.sizes)
    return paper


def _chosen_size(config: Mapping[str, Any], task_names: Iterable[str], where: str) -> tuple[str, dict[str, Any]]:
    """The size of the study, and the keys of the config that it replaces."""
    # The other keys are checked once they are complete: a size may add what the rest of the file leaves out.
    head = settings_from(
        PaperSettings, {key: value for key, value in _given(config).items() if key in HEAD_KEYS}, where
    )
    replaceable = [key for key in (*GENERAL_KEYS, *task_names) if key not in HEAD_KEYS]
    for name, over in head.sizes.items():
        _check_keys(over, replaceable, f"{where}: sizes.{name}")
    size = str(head.size) if head.size is not None else next(iter(head.sizes), "demo")
    if head.sizes and size not in head.sizes:
        raise unknown("size", size, head.sizes, file=where)
    return size, head.sizes.get(size, {})


def _check_keys(mapping: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in mapping:
        if key not in names:
            raise unknown("config key", key, names, file=where)


def _given(mapping: Any) -> Any:
    """A mapping without its empty keys, which YAML reads as null: an empty section is an absent one."""
    if not isinstance(mapping, Mapping):
        return mapping
    given = {key: value for key, value in mapping.items() if value is not None}
    if isinstance(given.get("sizes"), Mapping):
        given["sizes"] = {name: {} if over is None else over for name, over in given["sizes"].items()}
    return given


def _sections(
    config: Mapping[str, Any], task_names: Iterable[str], where: str
) -> tuple[PaperSettings, dict[str, TaskSettings]]:
    """The keys of a config that belong to no task, and what it asks of each task."""
    given, names = _given(config), list(task_names)
    general = settings_from(PaperSettings, {key: value for key, value in given.items() if key not in names}, where)
    plans = {task: settings_from(TaskSettings, _given(given[task]), where, key=task) for task in names if task in given}
    return general, plans


def _variant(task: str, name: str, value: Any, where: str) -> Variant:
    here = f"{where}: {task}.variants.{name}"
    if value is None:
        value = {"method": name}
    if not isinstance(value, Mapping) or "method" not in value:
        raise UserError("must be a mapping with a `method`", file=here, found=repr(value))
    method = find_method(task, str(value["method"]), file=here)
    given = {key: entry for key, entry in value.items() if key not in ("method", "resources")}
    settings = method.complete(given, file=here)
    resources = check_resources(merged(method.resources, _given(value.get("resources")) or {}), here)
    method.check_gpus(resources.get("train", {}).get("gpu", 0), settings, file=here)
    return Variant(name, method, settings, resources)
