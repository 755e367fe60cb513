"""A paper: the config that lists scenes, cases, variants, seeds, tables, figures and claims; typed and checked."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from hsipipe.config_checks import check_paper
from hsipipe.config_sections import (
    ClaimSettings,
    FigureSettings,
    PaperSettings,
    SceneSettings,
    SimulateSettings,
    SpecimenSettings,
    TableSettings,
    TaskSettings,
)
from hsipipe.errors import UserError, unknown
from hsipipe.methods import Loader, Method, check_resources, find_method, tasks
from hsipipe.settings import settings_from

__all__ = [
    "ClaimSettings",
    "FigureSettings",
    "Paper",
    "Run",
    "SceneSettings",
    "SimulateSettings",
    "SpecimenSettings",
    "TableSettings",
    "Variant",
    "check_definitions",
    "definitions",
    "load_paper",
    "load_papers",
    "merged",
    "read_config",
]

NO_ENCODER = "none"  # the setting `encoder` of a variant that starts from random weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variant:
    """A method with settings, named in a config; `resources` are the method's, overlaid with those of the config."""

    name: str
    method: Method
    settings: dict[str, Any]
    resources: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def seeds_matter(self) -> bool:
        """Whether the method is random, so that it runs once per seed."""
        return self.method.random

    @property
    def encoder(self) -> str | None:
        """The variant whose trained encoder this one starts from, if any (its method `needs` one)."""
        named = self.settings.get("encoder") if self.method.needs else None
        return None if named in (None, NO_ENCODER) or self.settings.get("weights") else str(named)


@dataclass(frozen=True)
class Run:
    """The unit of work: (task, case, variant, seed)."""

    task: str
    case: str
    variant: str
    seed: int


@dataclass(frozen=True)
class Paper:
    """A checked config."""

    name: str
    title: str
    size: str
    seeds: list[int]
    scenes: dict[str, SceneSettings]
    cases: dict[str, dict[str, Any]]
    variants: dict[str, dict[str, Variant]]
    tables: dict[str, TableSettings]
    figures: dict[str, FigureSettings]
    claims: list[ClaimSettings]
    citation: str = ""

    def case(self, task: str, name: str) -> Any:
        """The settings of a case."""
        if name not in self.cases.get(task, {}):
            raise unknown(f"{task} case", name, self.cases.get(task, {}))
        return self.cases[task][name]

    def variant(self, task: str, name: str) -> Variant:
        """A variant of a task."""
        if name not in self.variants.get(task, {}):
            raise unknown(f"{task} variant", name, self.variants.get(task, {}))
        return self.variants[task][name]

    def scene_names(self) -> list[str]:
        """The scenes that the cases use, each once."""
        return sorted({scene for by_name in self.cases.values() for case in by_name.values() for scene in case.scenes})

    def simulated_scenes(self) -> list[str]:
        """The scenes that the config asks to simulate."""
        return [name for name, scene in self.scenes.items() if scene.files is None]

    def measured_scenes(self, catalogue: Iterable[str]) -> list[str]:
        """The scenes that are read from files: the config's own and the catalogue's."""
        own = [name for name, scene in self.scenes.items() if scene.files is not None]
        return [*own, *(name for name in catalogue if name not in self.scenes)]

    def check_scene(self, name: str, catalogue: Iterable[str]) -> None:
        """Refuse a scene that is neither of the config nor of the catalogue, or of both under one name."""
        known = set(catalogue)
        if name in self.scenes and name in known:
            raise UserError(
                f"scene {name!r} is of the catalogue",
                file=f"paper {self.name}",
                key=f"scenes.{name}",
                remedy="results are shared by name: give your own scene another",
            )
        if name not in self.scenes and name not in known:
            raise unknown("scene", name, {*self.scenes, *known}, file=f"paper {self.name}")

    def check_scenes(self, catalogue: Iterable[str]) -> None:
        """Check every scene that the config defines or its cases use."""
        known = set(catalogue)
        for name in sorted({*self.scenes, *self.scene_names()}):
            self.check_scene(name, known)

    def runs(self, task: str | None = None, cases: Iterable[str] | None = None) -> list[Run]:
        """All runs of the paper, or those of a task and of some of its cases; encoders are trained but not run."""
        found = []
        for run_task, by_name in self.cases.items():
            for name, case in by_name.items():
                if (task and task != run_task) or (cases is not None and name not in cases):
                    continue
                for variant_name in case.variants or self.variants[run_task]:
                    variant = self.variant(run_task, variant_name)
                    if variant.method.kind != "encoder":
                        found += [Run(run_task, name, variant_name, seed) for seed in self.seeds_of(variant)]
        return found

    def encoder_runs(self) -> list[Run]:
        """The encoders to train: on each case that trains models of its own, and where they are needed."""
        found = set()
        for task, by_name in self.cases.items():
            for name, case in by_name.items():
                if case.models_from is not None:
                    continue
                chosen = [self.variant(task, variant) for variant in case.variants or self.variants[task]]
                encoders = {variant.name for variant in chosen if variant.method.kind == "encoder"}
                encoders |= {variant.encoder for variant in chosen if variant.encoder is not None}
                for encoder in sorted(encoders):
                    seeds = self.seeds_of(self.variant(task, encoder))
                    found |= {Run(task, name, encoder, seed) for seed in seeds}
        return sorted(found, key=lambda run: (run.task, run.case, run.variant, run.seed))

    def seeds_of(self, variant: Variant) -> list[int]:
        """The seeds that a variant runs with."""
        return self.seeds if variant.seeds_matter else self.seeds[:1]

    def start_of(self, task: str, case: str, variant: Variant, seed: int) -> str | None:
        """The file whose weights a training starts from: its encoder's model, the file of its settings, or None."""
        if variant.encoder is not None:
            encoder = self.variant(task, variant.encoder)
            own_seed = seed if encoder.seeds_matter else self.seeds[0]
            return f"results/{task}/{case}/{encoder.name}/seed{own_seed}/model.pt"
        return variant.settings.get("weights") or None


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


def load_papers(folder: str | Path, *, but: str = "") -> list[tuple[str, Paper]]:
    """Every paper of a config folder in each of its sizes, as (where, paper), leaving out the paper named `but`.

    A paper that is wrong in itself is passed over with a warning: its own run tells, and others can run meanwhile.
    """
    found = []
    for path in sorted([*Path(folder).glob("config.yaml"), *Path(folder).glob("papers/*.yaml")]):
        try:
            config = read_config(path)
            if config.get("paper") != but:
                sizes = config.get("sizes")
                for size in sizes if sizes and isinstance(sizes, Mapping) else ["demo"]:
                    found.append((f"{path} ({size})", load_paper({**config, "size": size}, file=path)))
        except UserError as error:
            log.warning("not compared with this paper: %s", error)
    return found


def definitions(paper: Paper) -> dict[str, str]:
    """Every scene, case and variant of a paper and what defines it, to find names with two definitions among papers."""
    # A scene of the catalogue has no settings here, so that a scene of one's own under its name differs.
    used = {*paper.scenes, *paper.scene_names()}
    found = {f"scenes/{name}": repr(paper.scenes.get(name)) for name in sorted(used)}
    for task, by_name in paper.cases.items():
        for name, case in by_name.items():
            plain = {entry.name: getattr(case, entry.name) for entry in fields(case) if entry.name != "variants"}
            scenes = {scene: repr(paper.scenes.get(scene)) for scene in case.scenes}
            found[f"{task}/{name}"] = repr((plain, scenes))
            named = [paper.variants[task][variant] for variant in case.variants or paper.variants[task]]
            encoders = [paper.variants[task][variant.encoder] for variant in named if variant.encoder is not None]
            for chosen in [*named, *encoders]:
                found[f"{task}/{name}/{chosen.name}"] = repr((chosen.method.name, sorted(chosen.settings.items())))
    return found


def check_definitions(papers: Iterable[tuple[str, Paper]]) -> None:
    """Refuse papers that share a path of results but define it differently."""
    seen: dict[str, tuple[str, str]] = {}
    for where, paper in papers:
        for path, definition in definitions(paper).items():
            other = seen.setdefault(path, (where, definition))
            if other[1] != definition:
                raise UserError(
                    f"{path} is defined otherwise in {other[0]}",
                    file=where,
                    remedy="results are shared by path: give one of them another name",
                )
