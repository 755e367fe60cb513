from pathlib import Path

import pytest

import hsipipe.keys as keys


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the lookup that reads a toy package."""
    folder = tmp_path / "hsipipe"
    (folder / "sub").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "errors.py").write_text("x = 1\n")
    (folder / "sub" / "__init__.py").write_text("")
    (folder / "sub" / "deep.py").write_text('"""Doc."""\n\n\ndef f():\n    """Doc."""\n    return 1  # one\n')
    (folder / "sub" / "late.py").write_text("y = 2\n")
    (folder / "top.py").write_text(
        "import os\nfrom hsipipe.errors import x\nfrom .sub import deep\n\ndef g():\n    import hsipipe.sub.late\n"
    )
    monkeypatch.setattr(keys, "PACKAGE_FOLDER", folder)
    monkeypatch.setattr(keys, "_given_out", {})  # keys of modules that nobody else can look up

    def fresh():
        keys._module_path.cache_clear()
        keys._read_module.cache_clear()
        return folder

    yield fresh
    keys._module_path.cache_clear()
    keys._read_module.cache_clear()


def test_imports_are_followed_also_late_and_relative_ones(package):
    package()
    found = keys.modules_used(["hsipipe.top"])
    assert found == ["hsipipe.sub", "hsipipe.sub.deep", "hsipipe.sub.late", "hsipipe.top"]


def test_comments_docstrings_and_layout_do_not_count(package):
    folder = package()
    before = keys.code_key("hsipipe.top")
    (folder / "sub" / "deep.py").write_text("def f():\n\n    # another word\n    return (1)\n")
    package()
    assert keys.code_key("hsipipe.top") == before


def test_code_of_an_import_counts(package):
    folder = package()
    before = keys.code_key("hsipipe.top")
    (folder / "sub" / "deep.py").write_text("def f():\n    return 2\n")
    package()
    assert keys.code_key("hsipipe.top") != before


def test_neutral_modules_do_not_count(package):
    folder = package()
    before = keys.code_key("hsipipe.top")
    (folder / "errors.py").write_text("x = 3\n")
    package()
    assert keys.code_key("hsipipe.top") == before


def test_folders_of_neutral_modules_do_not_count(package):
    folder = package()
    (folder / "jobs").mkdir()
    (folder / "jobs" / "job.py").write_text("x = 1\n")
    (folder / "top.py").write_text("from hsipipe.jobs.job import x\n")
    assert keys.modules_used(["hsipipe.top"]) == ["hsipipe.top"]


def test_neutral_modules_exist():
    # One that was renamed would count without anybody noticing.
    assert [name for name in (*keys.NEUTRAL, *keys.ALONE) if keys._module_path(name) is None] == []


def test_a_table_that_the_code_names_counts(package):
    folder = package()
    (folder / "sub" / "deep.py").write_text('def f():\n    return open("bands.csv")\n')
    (folder / "sub" / "bands.csv").write_text("1")
    package()
    before = keys.code_key("hsipipe.top")
    (folder / "sub" / "bands.csv").write_text("2")
    package()
    assert keys.code_key("hsipipe.top") != before


def test_unknown_module_is_an_error():
    with pytest.raises(ModuleNotFoundError):
        keys.code_key("hsipipe.no.such")


def test_step_key_ignores_order_of_entries_only():
    assert keys.step_key({"a": 1, "b": 2}) == keys.step_key({"b": 2, "a": 1})
    assert keys.step_key({"a": 1}) != keys.step_key({"a": 2})


def test_scoring_does_not_depend_on_training():
    used = keys.modules_used(["hsipipe.tasks.denoising.score"])
    assert not [name for name in used if "training" in name or ".fit" in name]


def test_a_method_is_part_of_its_runs_key():
    used = keys.modules_used(["hsipipe.tasks.denoising.predict", "hsipipe.tasks.denoising.methods.hyres.model"])
    assert "hsipipe.tasks.denoising.shared.wavelets" in used
    assert all(Path(str(keys._module_path(name))).is_file() for name in used)


def test_the_look_of_pictures_counts_for_figures_only():
    style = "hsipipe.report.style"
    for task in ("denoising", "fusion", "segmentation", "representation"):
        assert style in keys.modules_used([f"hsipipe.tasks.{task}.draw"])
    used = keys.modules_used(["hsipipe.tasks.segmentation.fit", "hsipipe.tasks.representation.predict"])
    assert style not in used
    assert not [name for name in used if ".figures" in name]
