"""The sections of a config as typed settings: scenes, tables, figures, claims, and the paper that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hsipipe.errors import UserError
from hsipipe.metrics.registry import METRICS
from hsipipe.report.costs import COSTS


@dataclass(frozen=True)
class SimulateSettings:
    """Settings of `hsipipe.scenes.simulate.simulate_scene`, checked without importing it."""

    rows: int = field(default=128, metadata={"meaning": "rows of each image, pixels of 30 m", "minimum": 8})
    cols: int = field(default=128, metadata={"meaning": "columns of each image, pixels of 30 m", "minimum": 8})
    items: int = field(default=1, metadata={"meaning": "how many images", "minimum": 1})
    seed: int = field(default=0, metadata={"meaning": "determines the whole scene"})
    psf_fwhm_pixels: float = field(
        default=0.0, metadata={"meaning": "width of the point-spread function; 0: none", "minimum": 0}
    )
    snr_db: float | None = field(
        default=None, metadata={"meaning": "signal over white noise in every band; null: no noise"}
    )


@dataclass(frozen=True)
class SpecimenSettings:
    """Settings of `hsipipe.scenes.simulation.specimens.files.simulate_specimens`, checked without importing it."""

    species: int = field(
        default=8, metadata={"meaning": "how many, in pairs with one known difference each; even", "minimum": 2}
    )
    individuals: int = field(default=12, metadata={"meaning": "individuals of each species", "minimum": 1})
    sides: int = field(default=2, metadata={"meaning": "1: dorsal; 2: dorsal and ventral", "minimum": 1, "maximum": 2})
    sessions: int = field(
        default=3, metadata={"meaning": "sessions of recording, each with a light of its own", "minimum": 1}
    )
    size: int = field(default=48, metadata={"meaning": "rows and columns of an image, pixels", "minimum": 16})
    bands: int = field(default=408, metadata={"meaning": "bands from 348 to 810 nm", "minimum": 2})
    seed: int = field(default=0, metadata={"meaning": "determines the whole set"})


@dataclass(frozen=True)
class SceneSettings:
    """A scene that a config defines itself: simulated, or made of the user's own files."""

    simulate: SimulateSettings | None = field(
        default=None, metadata={"meaning": "settings of the simulator; {} takes its defaults"}
    )
    specimens: SpecimenSettings | None = field(
        default=None, metadata={"meaning": "settings of the simulator of specimens, which writes .bil files"}
    )
    files: list[str] | None = field(
        default=None, metadata={"meaning": "files or folders on this machine", "nonempty": True, "distinct": True}
    )
    labels: str | None = field(default=None, metadata={"meaning": "FILE[:KEY] of a label map"})
    key: str | None = field(default=None, metadata={"meaning": "name of the array in the file"})
    layout: str | None = field(default=None, metadata={"meaning": "order of axes, such as rows-cols-bands"})

    def __post_init__(self) -> None:
        given = [name for name in ("simulate", "specimens", "files") if getattr(self, name) is not None]
        if len(given) != 1:
            raise UserError(
                "a scene is either simulated or made of files",
                found=" and ".join(given) if given else "neither",
                remedy="give one of `simulate`, `specimens` and `files`",
            )
        for name in ("labels", "key", "layout"):
            if self.files is None and getattr(self, name) is not None:
                raise UserError("tells how files are read, and a simulated scene has none", key=name)


@dataclass(frozen=True)
class PublishedSettings:
    """Numbers that a paper printed, shown beside ours."""

    source: str = field(metadata={"meaning": "where they are printed"})
    columns: dict[str, dict[str, float]] = field(metadata={"meaning": "heading -> {variant: published number}"})
    others: list[str] = field(
        default_factory=list,
        metadata={"meaning": "systems in `columns` that are not run here, in rows of their own", "distinct": True},
    )


@dataclass(frozen=True)
class TableSettings:
    """A table: variants down, cases and metrics across."""

    task: str = field(metadata={"meaning": "the task whose runs it shows"})
    cases: list[str] = field(metadata={"meaning": "cases, left to right", "nonempty": True, "distinct": True})
    metrics: list[str] = field(
        default_factory=list,
        metadata={"meaning": "metrics, left to right", "distinct": True, "choices": tuple(METRICS)},
    )
    costs: list[str] = field(
        default_factory=list,
        metadata={"meaning": "what runs cost, right of the metrics", "distinct": True, "choices": tuple(COSTS)},
    )
    title: str = field(default="", metadata={"meaning": "heading"})
    variants: list[str] | None = field(
        default=None,
        metadata={"meaning": "variants, top to bottom; all if absent", "nonempty": True, "distinct": True},
    )
    published: PublishedSettings | None = field(default=None, metadata={"meaning": "numbers that a paper printed"})
    note: str = field(default="", metadata={"meaning": "printed below the table"})

    def __post_init__(self) -> None:
        if not self.metrics and not self.costs:
            raise UserError("a table needs columns", key="metrics", remedy="give `metrics`, `costs` or both")


@dataclass(frozen=True)
class FigureSettings:
    """A figure of a task."""

    task: str = field(metadata={"meaning": "the task that draws it"})
    kind: str = field(metadata={"meaning": "which of the task's figures, by the table below"})
    case: str = field(metadata={"meaning": "the case it shows"})
    title: str = field(default="", metadata={"meaning": "heading"})
    variants: list[str] | None = field(
        default=None,
        metadata={"meaning": "variants shown; all of the case if absent", "nonempty": True, "distinct": True},
    )
    metric: str = field(default="mpsnr", metadata={"meaning": "metric shown, where one is", "choices": tuple(METRICS)})


@dataclass(frozen=True)
class ClaimSettings:
    """A sentence of a paper as an inequality over mean scores: `better` beats each of `than` by more than `margin`."""

    claim: str = field(metadata={"meaning": "the paper's sentence, in short"})
    task: str = field(metadata={"meaning": "task"})
    case: str = field(metadata={"meaning": "case whose scores decide"})
    metric: str = field(default="mpsnr", metadata={"meaning": "metric compared", "choices": tuple(METRICS)})
    cost: str | None = field(
        default=None,
        metadata={"meaning": "cost compared instead of a metric; the lower is the better", "choices": tuple(COSTS)},
    )
    factor: float = field(
        default=1.0, metadata={"meaning": "for a cost: the others need more than so many times as much", "above": 0}
    )
    better: str | None = field(
        default=None, metadata={"meaning": "the variant said to be better; absent: a claim that no run here decides"}
    )
    than: list[str] = field(
        default_factory=list, metadata={"meaning": "the variants said to be worse", "distinct": True}
    )
    margin: float = field(default=0.0, metadata={"meaning": "by more than this; negative: worse by less than that"})
    deviations: float = field(
        default=0.0,
        metadata={
            "meaning": "and by more than so many standard deviations over seeds, the larger one of the two",
            "minimum": 0,
        },
    )
    standard_errors: float = field(
        default=0.0,
        metadata={
            "meaning": "and by more than so many standard errors of the mean over seeds, the larger one of the two",
            "minimum": 0,
        },
    )
    at_least: float | None = field(
        default=None, metadata={"meaning": "the mean of `better` is this or more, where that is known beforehand"}
    )
    at_most: float | None = field(default=None, metadata={"meaning": "the mean of `better` is this or less"})
    needs: str | None = field(
        default=None, metadata={"meaning": "size of study that the claim needs; another size: not tested"}
    )

    def __post_init__(self) -> None:
        bounded = self.at_least is not None or self.at_most is not None
        if self.better is None and (self.than or bounded):
            raise UserError("nobody is said to be better", key="better", remedy="give a variant")
        if self.better is not None and not self.than and not bounded:
            raise UserError("a comparison has two sides", remedy="give `than`, `at_least` or `at_most`, or no `better`")
        if bounded and self.cost is not None:
            raise UserError("bounds are of metrics", key="cost", found=self.cost)


@dataclass(frozen=True)
class TaskSettings:
    """What a config asks of a task; the task's own CaseSettings and the methods check the entries."""

    cases: dict[str, Any] = field(default_factory=dict, metadata={"meaning": "name -> settings of the case"})
    variants: dict[str, Any] = field(
        default_factory=dict, metadata={"meaning": "name -> `method` and what differs from its defaults"}
    )


@dataclass(frozen=True)
class PaperSettings:
    """The keys of a config that belong to no task."""

    paper: str = field(metadata={"meaning": "name of the study: results/papers/{paper}"})
    title: str = field(default="", metadata={"meaning": "heading of the report; the name if absent"})
    citation: str = field(default="", metadata={"meaning": "what the study reproduces"})
    size: str | int | None = field(default=None, metadata={"meaning": "which of `sizes`; the first if absent"})
    sizes: dict[str, dict[str, Any]] = field(
        default_factory=dict,
        metadata={"meaning": "name -> keys of this file that a size of the study replaces, mapping by mapping"},
    )
    seeds: list[int] = field(
        default_factory=lambda: [0],
        metadata={"meaning": "random methods run once per seed", "minimum": 0, "nonempty": True, "distinct": True},
    )
    scenes: dict[str, SceneSettings] = field(
        default_factory=dict, metadata={"meaning": "name -> a scene of the study's own"}
    )
    tables: dict[str, TableSettings] = field(default_factory=dict, metadata={"meaning": "name -> table"})
    figures: dict[str, FigureSettings] = field(default_factory=dict, metadata={"meaning": "name -> figure"})
    claims: list[ClaimSettings] = field(default_factory=list, metadata={"meaning": "sentences to be judged"})
    mirror: str | None = field(default=None, metadata={"meaning": "folder that serves downloads, found by SHA-256"})
