"""A paper as the workflow sees it: its scenes, cases, variants and runs, typed and checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hsipipe.config.sections import ClaimSettings, FigureSettings, SceneSettings, TableSettings
from hsipipe.errors import UserError, unknown
from hsipipe.methods import Method

NO_ENCODER = "none"  # the setting `encoder` of a variant that starts from random weights


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
