"""A paper: the config that lists scenes, cases, variants, seeds, tables, figures and claims; typed and checked."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from hsipipe.errors import UserError, unknown
from hsipipe.methods import Loader, Method, find_method, tasks
from hsipipe.metrics.registry import METRICS
from hsipipe.settings import settings_from

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class SceneSettings:
    """A scene that a config defines itself: simulated, or made of the user's own files."""

    simulate: dict[str, Any] | None = field(
        default=None, metadata={"meaning": "settings of the simulator: rows, cols, items, seed"}
    )
    files: list[str] | None = field(default=None, metadata={"meaning": "files or folders on this machine"})
    labels: str | None = field(default=None, metadata={"meaning": "FILE[:KEY] of a label map"})
    key: str | None = field(default=None, metadata={"meaning": "name of the array in the file"})
    layout: str | None = field(default=None, metadata={"meaning": "order of axes, such as rows-cols-bands"})


@dataclass(frozen=True)
class TableSettings:
    """A table: variants down, cases and metrics across."""

    task: str = field(metadata={"meaning": "the task whose runs it shows"})
    cases: list[str] = field(metadata={"meaning": "cases, left to right"})
    metrics: list[str] = field(metadata={"meaning": "metrics, left to right"})
    title: str = field(default="", metadata={"meaning": "heading"})
    variants: list[str] | None = field(default=None, metadata={"meaning": "variants, top to bottom; all if absent"})
    published: dict[str, Any] | None = field(
        default=None,
        metadata={"meaning": "source, and columns: heading -> {variant: published number}"},
    )
    note: str = field(default="", metadata={"meaning": "printed below the table"})


@dataclass(frozen=True)
class FigureSettings:
    """A figure of a task."""

    task: str = field(metadata={"meaning": "the task that draws it"})
    kind: str = field(metadata={"meaning": "which of the task's figures: see the task's draw module"})
    case: str = field(metadata={"meaning": "the case it shows"})
    title: str = field(default="", metadata={"meaning": "heading"})
    variants: list[str] | None = field(default=None, metadata={"meaning": "variants shown; all of the case if absent"})
    metric: str = field(default="mpsnr", metadata={"meaning": "metric shown, where one is"})


@dataclass(frozen=True)
class ClaimSettings:
    """A sentence of a paper as an inequality over mean scores: `better` beats each of `than` by more than `margin`."""

    claim: str = field(metadata={"meaning": "the paper's sentence, in short"})
    task: str = field(metadata={"meaning": "task"})
    case: str = field(metadata={"meaning": "case whose scores decide"})
    metric: str = field(default="mpsnr", metadata={"meaning": "metric compared"})
    better: str | None = field(default=None, metadata={"meaning": "the variant said to be better"})
    than: list[str] = field(default_factory=list, metadata={"meaning": "the variants said to be worse"})
    margin: float = field(default=0.0, metadata={"meaning": "by more than this; negative: worse by less than that"})
    needs: str | None = field(
        default=None, metadata={"meaning": "size of study that the claim needs; another size: not tested"}
    )


@dataclass(frozen=True)
class Variant:
    """A method with settings, named in a config."""

    name: str
    method: Method
    settings: dict[str, Any]

    @property
    def seeds_matter(self) -> bool:
        """Whether the method is random, so that it runs once per seed."""
        return self.method.random


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
        return [name for name, scene in self.scenes.items() if scene.simulate is not None]

    def measured_scenes(self, catalogue: Iterable[str]) -> list[str]:
        """The scenes that are read from files: the config's own and the catalogue's."""
        own = [name for name, scene in self.scenes.items() if scene.files is not None]
        return [*own, *(name for name in catalogue if name not in self.scenes)]

    def check_scene(self, name: str, catalogue: Iterable[str]) -> None:
        """Refuse a scene that is neither of the config nor of the catalogue."""
        if name not in self.scenes and name not in catalogue:
            raise unknown("scene", name, [*self.scenes, *catalogue], file=f"paper {self.name}")

    def runs(self, task: str | None = None, cases: Iterable[str] | None = None) -> list[Run]:
        """All runs of the paper, or those of a task and of some of its cases."""
        found = []
        for run_task, by_name in self.cases.items():
            for name, case in by_name.items():
                if (task and task != run_task) or (cases is not None and name not in cases):
                    continue
                for variant_name in case.variants or self.variants[run_task]:
                    variant = self.variant(run_task, variant_name)
                    for seed in self.seeds if variant.seeds_matter else self.seeds[:1]:
                        found.append(Run(run_task, name, variant_name, seed))
        return found


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


GENERAL_KEYS = (
    "paper",
    "title",
    "citation",
    "size",
    "sizes",
    "seeds",
    "scenes",
    "tables",
    "figures",
    "claims",
    "mirror",
)


def load_paper(config: Mapping[str, Any], *, file: str | Path | None = None) -> Paper:
    """Check a config and give it types.

    Raises:
        UserError: an unknown key, task, method, setting, scene, case or variant (with the nearest that exists), a
            value of the wrong type, or a name that cannot be a part of a path.
    """
    task_names = tasks()
    for key in config:
        if key not in GENERAL_KEYS and key not in task_names:
            raise unknown("config key", key, (*GENERAL_KEYS, *task_names), file=file)
    sizes = config.get("sizes") or {}
    size = str(config.get("size", next(iter(sizes), "demo")))
    if sizes and size not in sizes:
        raise unknown("size", size, sizes, file=file)
    chosen = merged({key: value for key, value in config.items() if key != "sizes"}, sizes.get(size) or {})
    where = str(file or f"paper {chosen.get('paper')}")
    if "paper" not in chosen:
        raise UserError("must name the paper", file=file, key="paper")
    cases: dict[str, dict[str, Any]] = {}
    variants: dict[str, dict[str, Variant]] = {}
    for task in task_names:
        plan = chosen.get(task)
        if plan is None:
            continue
        for key in plan:
            if key not in ("cases", "variants"):
                raise unknown(f"key of {task}", key, ("cases", "variants"), file=where)
        settings_class = importlib.import_module(f"hsipipe.tasks.{task}.settings").CaseSettings
        cases[task] = {
            name: settings_from(settings_class, value, f"{where}: {task}.cases.{name}")
            for name, value in (plan.get("cases") or {}).items()
        }
        variants[task] = {
            name: _variant(task, name, value, where) for name, value in (plan.get("variants") or {}).items()
        }
    paper = Paper(
        name=str(chosen["paper"]),
        title=str(chosen.get("title", chosen["paper"])),
        size=size,
        seeds=[int(seed) for seed in chosen.get("seeds", [0])],
        scenes=_each(SceneSettings, chosen.get("scenes"), where, "scenes"),
        cases=cases,
        variants=variants,
        tables=_each(TableSettings, chosen.get("tables"), where, "tables"),
        figures=_each(FigureSettings, chosen.get("figures"), where, "figures"),
        claims=[
            settings_from(ClaimSettings, value, f"{where}: claims[{index}]")
            for index, value in enumerate(chosen.get("claims") or [])
        ],
        citation=str(chosen.get("citation", "")),
    )
    _check_names(paper, where)
    return paper


def _each(cls: Any, values: Mapping[str, Any] | None, where: str, key: str) -> dict[str, Any]:
    return {name: settings_from(cls, value, f"{where}: {key}.{name}") for name, value in (values or {}).items()}


def _variant(task: str, name: str, value: Any, where: str) -> Variant:
    here = f"{where}: {task}.variants.{name}"
    if value is None:
        value = {"method": name}
    if not isinstance(value, Mapping) or "method" not in value:
        raise UserError("must be a mapping with a `method`", file=here, found=repr(value))
    method = find_method(task, str(value["method"]), file=here)
    given = {key: entry for key, entry in value.items() if key != "method"}
    return Variant(name, method, method.complete(given, file=here))


def _check_names(paper: Paper, where: str) -> None:
    """Check that names can be parts of paths, and that what refers to a name finds it."""
    named: list[tuple[str, str]] = [("paper", paper.name)]
    named += [("scene", name) for name in paper.scenes]
    named += [
        (kind, name)
        for kind, group in (("case", paper.cases), ("variant", paper.variants))
        for by in group.values()
        for name in by
    ]
    named += [("table", name) for name in paper.tables] + [("figure", name) for name in paper.figures]
    for kind, name in named:
        if not NAME.fullmatch(str(name)):
            raise UserError(
                f"{name!r} cannot name a {kind}",
                file=where,
                remedy="use letters, digits, and . _ + - after the first",
            )
    for task, by_name in paper.cases.items():
        for name, case in by_name.items():
            for variant in case.variants or []:
                if variant not in paper.variants[task]:
                    raise unknown("variant", variant, paper.variants[task], file=f"{where}: {task}.cases.{name}")
            if case.models_from and case.models_from not in by_name:
                raise unknown("case", case.models_from, by_name, file=f"{where}: {task}.cases.{name}.models_from")
    shown: list[tuple[str, str, list[str], list[str]]] = []
    shown += [(f"tables.{key}", table.task, table.cases, table.variants or []) for key, table in paper.tables.items()]
    shown += [(f"figures.{key}", one.task, [one.case], one.variants or []) for key, one in paper.figures.items()]
    for key, table in paper.tables.items():
        for metric in table.metrics:
            if metric not in METRICS:
                raise unknown("metric", metric, METRICS, file=f"{where}: tables.{key}")
    for key, task, case_names, variant_names in shown:
        if task not in paper.cases:
            raise unknown("task", task, paper.cases, file=f"{where}: {key}")
        for name in case_names:
            if name not in paper.cases[task]:
                raise unknown("case", name, paper.cases[task], file=f"{where}: {key}")
        for name in variant_names:
            if name not in paper.variants[task]:
                raise unknown("variant", name, paper.variants[task], file=f"{where}: {key}")
    for key, one in paper.figures.items():
        kinds = importlib.import_module(f"hsipipe.tasks.{one.task}.settings").FIGURES
        if one.kind not in kinds:
            raise unknown("kind of figure", one.kind, kinds, file=f"{where}: figures.{key}")
        if one.metric not in METRICS:
            raise unknown("metric", one.metric, METRICS, file=f"{where}: figures.{key}")
    for index, claim in enumerate(paper.claims):
        if claim.metric not in METRICS:
            raise unknown("metric", claim.metric, METRICS, file=f"{where}: claims[{index}]")


def load_papers(folder: str | Path, *, but: str = "") -> list[tuple[str, Paper]]:
    """Every paper of a config folder in each of its sizes, as (where, paper), leaving out the paper named `but`."""
    found = []
    for path in sorted([*Path(folder).glob("config.yaml"), *Path(folder).glob("papers/*.yaml")]):
        config = read_config(path)
        if config.get("paper") != but:
            for size in config.get("sizes") or {"demo": {}}:
                found.append((f"{path} ({size})", load_paper({**config, "size": size}, file=path)))
    return found


def definitions(paper: Paper) -> dict[str, str]:
    """Every (case, variant) of a paper and what defines it, to find one name with two definitions among papers."""
    found = {}
    for task, by_name in paper.cases.items():
        for name, case in by_name.items():
            plain = {entry.name: getattr(case, entry.name) for entry in fields(case) if entry.name != "variants"}
            scenes = {scene: repr(paper.scenes.get(scene)) for scene in case.scenes}
            found[f"{task}/{name}"] = repr((plain, scenes))
            for variant in case.variants or paper.variants[task]:
                chosen = paper.variants[task][variant]
                found[f"{task}/{name}/{variant}"] = repr((chosen.method.name, sorted(chosen.settings.items())))
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
