"""The generated reference tells all that there is: keys, methods, metrics, verbs, scenes, and the code itself."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from hsipipe.cases.pixels import PixelSplitSettings
from hsipipe.cases.settings import CommonCaseSettings
from hsipipe.cases.split import SplitSettings
from hsipipe.cli import make_parser
from hsipipe.config.sections import (
    ClaimSettings,
    FigureSettings,
    PaperSettings,
    PublishedSettings,
    SceneSettings,
    SimulateSettings,
    SpecimenSettings,
    TableSettings,
    TaskSettings,
)
from hsipipe.degrade.noise_components import COMPONENTS
from hsipipe.degrade.noise_presets import PRESETS
from hsipipe.degrade.psf import PSFS
from hsipipe.degrade.response import sensors
from hsipipe.methods import methods_of, tasks, training_entries
from hsipipe.metrics.definitions import DEFINITIONS
from hsipipe.metrics.registry import METRICS
from hsipipe.report import costs
from hsipipe.scenes.catalogue import read_catalogue
from hsipipe.tasks.denoising.settings import FIGURES as DENOISING_FIGURES
from hsipipe.tasks.denoising.settings import CaseSettings as DenoisingCase
from hsipipe.tasks.fusion.settings import FIGURES as FUSION_FIGURES
from hsipipe.tasks.fusion.settings import CaseSettings as FusionCase
from hsipipe.tasks.representation.settings import FIGURES as REPRESENTATION_FIGURES
from hsipipe.tasks.representation.settings import CaseSettings as RepresentationCase
from hsipipe.tasks.segmentation.settings import FIGURES as SEGMENTATION_FIGURES
from hsipipe.tasks.segmentation.settings import CaseSettings as SegmentationCase
from hsipipe.training.settings import TrainingSettings

ROOT = Path(__file__).parents[2]
SECTIONS = {
    "The study": [PaperSettings, TaskSettings],
    "scenes.NAME": [SceneSettings, SimulateSettings, SpecimenSettings],
    "TASK.cases.NAME": [CommonCaseSettings, SplitSettings],
    "denoising.cases.NAME": [DenoisingCase],
    "fusion.cases.NAME": [FusionCase],
    "segmentation.cases.NAME": [SegmentationCase, PixelSplitSettings],
    "representation.cases.NAME": [RepresentationCase],
    "tables.NAME": [TableSettings, PublishedSettings],
    "figures.NAME": [FigureSettings],
    "claims": [ClaimSettings],
}
CLASSES = [*(cls for classes in SECTIONS.values() for cls in classes), TrainingSettings]
SOURCES = sorted((ROOT / "src" / "hsipipe").rglob("*.py"))


@pytest.fixture(scope="module")
def generated(docs_generator):
    return docs_generator.generated()


def chapter(text, heading):
    return next(part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(f"{heading}\n"))


def first_cells(text):
    """The code spans of the first cells of all tables."""
    return {
        name for row in re.findall(r"^\| ([^|]*)\|", text, flags=re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_every_key_of_a_config_has_a_meaning(cls):
    for item in dataclasses.fields(cls):
        assert len(item.metadata.get("meaning", "")) > 3, item.name


@pytest.mark.parametrize("task", tasks())
def test_every_setting_of_a_method_has_a_meaning(task):
    for method in methods_of(task).values():
        for name, entry in method.settings.items():
            assert len(entry.get("meaning", "")) > 3, f"{method.name}.{name}"


@pytest.mark.parametrize("heading", SECTIONS)
def test_page_of_the_config_has_every_key(heading, generated):
    common = {item.name for item in dataclasses.fields(CommonCaseSettings)} if heading != "TASK.cases.NAME" else set()
    named = first_cells(chapter(generated["reference/config.md"], heading))
    for cls in SECTIONS[heading]:
        inherited = common if issubclass(cls, CommonCaseSettings) else set()
        assert {item.name for item in dataclasses.fields(cls)} - inherited <= named


def test_tables_of_settings_tell_limits_defaults_and_choices(generated):
    scenes = chapter(generated["reference/config.md"], "scenes.NAME")
    assert "| `rows` | rows of each image, pixels of 30 m | whole number, at least 8 | `128` |" in scenes
    tables = chapter(generated["reference/config.md"], "tables.NAME")
    assert "| `task` | the task whose runs it shows | text | **required** |" in tables
    assert re.search(
        r"^\| `optimizer` \| .* \| `adam`, `adamw`, `adamw8bit` \| `adam` \|$",
        generated["reference/training.md"],
        re.MULTILINE,
    )
    assert first_cells(generated["reference/training.md"]) == set(training_entries())


def test_kinds_of_figures_are_explained(generated):
    named = first_cells(chapter(generated["reference/config.md"], "figures.NAME"))
    kinds = {*DENOISING_FIGURES, *FUSION_FIGURES, *SEGMENTATION_FIGURES, *REPRESENTATION_FIGURES}
    assert kinds <= named
    assert named - kinds <= {item.name for item in dataclasses.fields(FigureSettings)}


def test_every_method_has_a_page_with_its_own_settings(generated):
    for task in tasks():
        for method in methods_of(task).values():
            page = generated[f"reference/methods/{task}/{method.name}.md"]
            assert page.startswith(f"# {method.title}\n")
            changed = {name for name, entry in method.settings.items() if entry != training_entries().get(name)}
            own = changed if method.is_trained_by_loop else set(method.settings)
            assert own <= first_cells(chapter(page, "Settings"))
            assert all(re.sub(r"\s+", " ", text).replace("|", "\\|") in page for text in method.deviations)


def test_measured_place_is_that_of_the_benchmark(generated):
    """The mean of MPSNR over the scenes of benchmarks/denoising.md, whose last rows hold it."""
    table = (ROOT / "benchmarks" / "denoising.md").read_text(encoding="utf-8").split("\n## ")[1]
    means = dict(re.findall(r"^\| \*\*mean\*\* \| ([\w-]+) \|(?:[^|]*\|){4} ([\d.]+) \|", table, flags=re.MULTILINE))
    page = chapter(generated["reference/methods/denoising/hyres.md"], "Measured")
    score, place, rivals = re.search(
        r"^\| hyspecnet \| `hyres` \| ([\d.]+) \| [\d.]+ \| (\d+) of (\d+) \|", page, re.MULTILINE
    ).groups()
    assert score == means["hyres"]
    competing = {name: float(value) for name, value in means.items() if name != "oracle"}
    assert int(place) == 1 + sum(value > competing["hyres"] for value in competing.values())
    assert int(rivals) == len(competing)
    oracle = chapter(generated["reference/methods/denoising/oracle.md"], "Measured")
    assert " of " not in oracle.partition("|")[2], "an oracle competes with nobody"


def test_every_metric_and_cost_is_defined(generated):
    assert set(DEFINITIONS) == set(METRICS) == first_cells(generated["reference/metrics.md"])
    assert set(costs.DEFINITIONS) == set(costs.COSTS) == first_cells(generated["reference/costs.md"])
    assert all(len(text) > 10 and text.endswith(".") for text in [*DEFINITIONS.values(), *costs.DEFINITIONS.values()])


def test_every_verb_and_option_has_a_meaning(generated):
    page = generated["reference/commands.md"]
    (verbs,) = (
        action for action in make_parser()._actions if hasattr(action, "choices") and isinstance(action.choices, dict)
    )
    assert set(re.findall(r"^## hsipipe ([\w-]+)$", page, flags=re.MULTILINE)) == set(verbs.choices)
    for name, verb in verbs.choices.items():
        part = chapter(page, f"hsipipe {name}")
        for action in verb._actions:
            assert all(f"`{option}" in part for option in action.option_strings if action.dest != "help")


def test_degradation_and_scenes_are_complete(generated):
    page = generated["reference/degradation.md"]
    assert {*PRESETS, *PSFS, *sensors()} <= first_cells(page)
    assert set(COMPONENTS) <= set(re.findall(r"^### (.*)$", page, flags=re.MULTILINE))
    assert set(read_catalogue(ROOT / "config" / "scenes.tsv")) <= first_cells(generated["reference/scenes.md"])


def public(body):
    """Public functions and classes of a body, those of classes among them."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_every_public_object_has_a_docstring_and_its_module_a_place_in_the_reference(generated):
    entries = {name for text in generated.values() for name in re.findall(r"^::: ([\w.]+)$", text, flags=re.MULTILINE)}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        found = list(public(tree.body))
        for node in found:
            assert ast.get_docstring(node), f"{path}: {node.name}"
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if found and not any(part.startswith("_") for part in name.split(".")):
            assert name in entries
