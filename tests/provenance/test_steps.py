import json
import os
from pathlib import Path

import pytest

from hsipipe.errors import UserError
from hsipipe.files import sha256_of, write_text
from hsipipe.provenance import digests
from hsipipe.provenance.steps import Steps, read_step, record_path, recorded, steps_in

SCENE, CASE = "results/scenes/field.h5", "results/denoising/c/case.h5"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(name, inputs, outputs, text="content"):
    names = [[(f"file{place}", path) for place, path in enumerate(paths)] for paths in (inputs, outputs)]
    with recorded(name, inputs=names[0], outputs=names[1], params={"key": "k"}, wildcards={}):
        for path in outputs:
            write_text(path, f"{text} of {path}")


def touch(path):
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 10**9))


@pytest.fixture
def reads(monkeypatch):
    """The files that are read for their content from now on."""
    paths = []
    monkeypatch.setattr(digests, "sha256_of", lambda path: paths.append(str(path)) or sha256_of(path))
    return paths


def test_a_record_tells_what_was_read_and_written():
    make("simulate_scene", [], [SCENE])
    make("degrade_case", [SCENE], [CASE])
    step = Steps().making(CASE)
    assert step.step == "degrade_case"
    assert step.inputs == [
        {"name": "file0", "path": SCENE, "sha256": sha256_of(SCENE), "bytes": os.stat(SCENE).st_size}
    ]
    assert step.output(CASE)["sha256"] == sha256_of(CASE)


def test_each_result_is_read_once_by_its_own_step_and_once_after_a_touch(reads):
    make("simulate_scene", [], [SCENE])
    make("degrade_case", [SCENE], [CASE])
    assert reads == [SCENE, CASE]
    touch(SCENE)  # as Snakemake does when a job has ended
    make("degrade_case", [SCENE], [CASE])
    make("degrade_case", [SCENE], [CASE])
    assert reads == [SCENE, CASE, SCENE, CASE, CASE]


def test_a_step_that_fails_leaves_no_record_of_before():
    make("simulate_scene", [], [SCENE])
    with (
        pytest.raises(KeyError),
        recorded("simulate_scene", inputs=[], outputs=[("", SCENE)], params={}, wildcards={}),
    ):
        raise KeyError
    assert Steps().making(SCENE) is None


def test_another_step_that_makes_the_same_file_takes_over():
    make("simulate_scene", [], [SCENE])
    make("simulate_scene", [], ["results/scenes/other.h5"])
    make("read_scene", [], [SCENE])
    assert [(step.step, step.outputs[0]["path"]) for step in steps_in("results/scenes")] == [
        ("read_scene", SCENE),
        ("simulate_scene", "results/scenes/other.h5"),
    ]


@pytest.mark.parametrize(("text", "found"), [("longer than before", r"\d+ bytes instead"), ("x", "other content")])
@pytest.mark.parametrize("keeps_date", [True, False])
def test_an_input_that_was_changed_is_refused(text, found, keeps_date):
    make("simulate_scene", [], [SCENE])
    before = os.stat(SCENE)
    content = Path(SCENE).read_text()
    Path(SCENE).write_text(text + content[1:] if len(text) == 1 else text)
    if keeps_date:
        os.utime(SCENE, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UserError, match=rf"{SCENE}: was changed after .*{found}.*; delete it .*: rm {SCENE}$"):
        make("degrade_case", [SCENE], [CASE])
    assert not Path(CASE).exists()


def test_what_is_being_written_is_no_record_yet():
    make("simulate_scene", [], [SCENE])
    place = record_path("simulate_scene", SCENE)
    (place.parent / ".simulate_scene-field.0123abcd.json").write_text("{")
    assert len(steps_in("results/scenes")) == 1


def cut(content):
    return content[: len(content) // 2]


def without_hash(content):
    return content.replace("sha256", "sha257")


def of_another_version(content):
    return content.replace("hsipipe-step-1", "hsipipe-step-0")


@pytest.mark.parametrize("damage", [cut, without_hash, of_another_version, lambda _: "[]"])
def test_a_damaged_record_names_the_results_that_go_with_it(damage):
    make("simulate_scene", [], [SCENE, "results/scenes/field.csv"])
    make("simulate_scene", [], ["results/scenes/other.h5"])
    Path("results/scenes/notes.txt").write_text("a user's own")
    place = record_path("simulate_scene", SCENE)
    place.write_text(damage(place.read_text()))
    with pytest.raises(UserError) as raised:
        read_step(place)
    assert str(raised.value).endswith(f": rm {place} results/scenes/field.csv {SCENE}")


def test_results_that_may_only_be_read_are_read_anew(monkeypatch, reads):
    make("simulate_scene", [], [SCENE])
    touch(SCENE)

    def refuse(*_):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr("hsipipe.provenance.steps.write_step", refuse)
        for _ in range(2):
            assert Steps().checked(SCENE)["sha256"] == sha256_of(SCENE)
    assert reads == [SCENE, SCENE, SCENE]
    assert json.loads(record_path("simulate_scene", SCENE).read_text())["outputs"][0]["path"] == SCENE
