"""The page of the architecture is of the code as it is now."""

import ast
import importlib.util
import itertools
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
HOPS = sorted(set(re.findall(r"`((?:workflow|tasks|training)/[\w/.]+\.(?:py|smk))(?::(\w+))?`", PAGE)))


@pytest.fixture(scope="module")
def drawing():
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs/draw_architecture.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_picture_is_what_the_code_gives_now(drawing):
    remedy = "run `python docs/draw_architecture.py`, and look at the picture"
    assert drawing.PICTURE.read_text(encoding="utf-8") == drawing.svg(), remedy


def test_the_picture_has_all_rules_folders_and_methods(drawing):
    text = " ".join(ElementTree.fromstring(drawing.svg()).itertext())
    for script in (ROOT / "workflow/scripts").glob("*.py"):
        assert script.name in text
    for description in (ROOT / "src/hsipipe/tasks").glob("*/methods/*/method.yaml"):
        assert description.parent.name in text
    for folder in (ROOT / "src/hsipipe").glob("*/__init__.py"):
        assert folder.parent.name in text


def test_lines_are_those_of_the_code(drawing):
    boxes, joined = drawing.make_boxes()
    titles = {(first.title, second.title) for first, second in joined}
    assert ("run_method.py", "tasks/<task>/predict.py") in titles
    assert ("train_method.py", "training") in titles
    assert ("tasks/<task>/fit.py", "tasks/fusion") not in titles  # fusion has none
    for column in drawing.COLUMNS:
        stack = sorted((box for box in boxes if box.column == column), key=lambda box: box.top)
        for upper, lower in itertools.pairwise(stack):
            assert upper.top + upper.height <= lower.top, f"{lower.title} lies on {upper.title}"


@pytest.mark.parametrize(("path", "name"), HOPS)
def test_hops_of_the_page_exist(path, name):
    file = ROOT / path if path.startswith("workflow") else ROOT / "src/hsipipe" / path
    text = file.read_text(encoding="utf-8")
    if path.endswith(".smk"):
        assert f"rule {name}:" in text
    elif name:
        assert name in {getattr(node, "name", None) for node in ast.parse(text).body}


def test_each_folder_says_why_it_is_there():
    for start in sorted((ROOT / "src/hsipipe").rglob("__init__.py")):
        paragraphs = (ast.get_docstring(ast.parse(start.read_text(encoding="utf-8"))) or "").split("\n\n")
        assert paragraphs[0], start
        tells_itself = {"methods", "cli"} & {start.parent.name, start.parent.parent.name}  # a method, a verb each
        assert tells_itself or len(paragraphs) > 1, f"{start}: what enters, what leaves, where to begin?"
