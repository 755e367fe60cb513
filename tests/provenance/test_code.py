"""Keys of code are explained beside the results; what changed since is told by module."""

import json
from pathlib import Path

import pytest

from hsipipe import keys
from hsipipe.provenance.code import FOLDER, Since, code_since, keep_code
from hsipipe.provenance.explain import explain

MODULES = ("hsipipe.report.tables",)


@pytest.fixture
def key(tmp_path, monkeypatch):
    """The key of the code of tables, explained in the working folder."""
    monkeypatch.chdir(tmp_path)
    made = keys.code_key(*MODULES)
    keep_code()
    return made


def edit(key, change):
    """Alter what is kept of a key, as if it had been made by other code."""
    path = FOLDER / f"{key}.json"
    kept = json.loads(path.read_text())
    change(kept["code"])
    path.rename(FOLDER / "0000.json")
    Path(FOLDER / "0000.json").write_text(json.dumps(kept))
    return code_since("0000")


def test_the_same_code(key):
    assert code_since(key) == Since(known=True)
    assert code_since(key).same
    assert str(code_since(key)) == ""


def test_modules_that_changed_came_and_went(key):
    def change(code):
        code["hsipipe.metrics.registry"] = "another"
        code["hsipipe.report.gone"] = "was there"
        del code["hsipipe.report.page"]

    since = edit(key, change)
    assert since.changed == ("hsipipe.metrics.registry",)
    assert since.removed == ("hsipipe.report.gone",)
    assert since.added == ("hsipipe.report.page",)
    assert not since.same
    assert str(since) == ("changed: hsipipe.metrics.registry; removed: hsipipe.report.gone; added: hsipipe.report.page")


def test_a_module_that_is_gone(key):
    path = FOLDER / f"{key}.json"
    path.write_text(path.read_text().replace("hsipipe.report.tables", "hsipipe.report.no_such"))
    assert code_since(key).removed == ("hsipipe.report.no_such",)


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"modules": 3, "code": {}}'])
def test_a_key_that_is_not_explained(key, text):
    path = FOLDER / f"{key}.json"
    path.unlink() if text is None else path.write_text(text)
    assert code_since(key) == Since(known=False)


def test_explain_names_the_modules(study):
    kept = {"modules": list(MODULES), "code": keys.code_of(MODULES)}
    kept["code"]["hsipipe.report.page"] = "another"
    (study / FOLDER / "code-of-train_method.json").write_text(json.dumps(kept))
    found = explain("results/denoising/c/net/seed0")
    assert found.problems == []
    assert found.since == ["code of train_method: changed: hsipipe.report.page"]


def test_explain_names_libraries_of_other_versions(study):
    record = next(study.glob("results/denoising/c/net/seed0/.steps/train_method-*.json"))
    content = json.loads(record.read_text())
    content["environment"]["libraries"]["numpy"] = "1.0"
    record.write_text(json.dumps(content))
    found = explain("results/denoising/c/net/seed0")
    assert len(found.since) == 1
    assert found.since[0].startswith("numpy: 1.0 then, ")
    assert found.since[0].endswith("now (1 of 6 steps)")
    assert sum(node.title.startswith("environment of") for node in found.tree.children) == 2
