import os
import time
from pathlib import Path

import pytest

from hsipipe.files import write_text
from hsipipe.provenance import settle as module
from hsipipe.provenance.home import HOME, make_home
from hsipipe.provenance.settle import settle
from hsipipe.provenance.steps import FOLDER, recorded

OWN = "field.npy"
SCENE, CASE, SCORES = "results/scenes/field.h5", "results/denoising/c/case.h5", "results/papers/p/scores.csv"
CHAIN = [("read_scene", OWN, SCENE), ("degrade_case", SCENE, CASE), ("collect_scores", CASE, SCORES)]
DAY_NS = 86400 * 10**9


def make(step, source, output, text=""):
    with recorded(step, inputs=[("", source)], outputs=[("", output)], params={"key": "k"}, wildcards={}):
        write_text(output, f"{step} of {Path(source).read_text()}{text}")


def settled():
    return settle(sorted(Path("results").rglob(f"{FOLDER}/*.json")))


def mtimes():
    return [os.stat(path).st_mtime_ns for path in (SCENE, CASE, SCORES)]


def date(path, mtime_ns):
    os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.fixture(autouse=True)
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(OWN).write_text("a user's own")
    for step in CHAIN:
        make(*step)


def test_an_untouched_study_is_left_alone_and_not_read(monkeypatch):
    before = mtimes()

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(module, "is_same", refuse)
    found = settled()
    assert (found.restored, found.mended, found.remake, found.problems) == ([], [], [], [])
    assert found.same_sources == {OWN}
    assert mtimes() == before


@pytest.mark.parametrize("days", [-1, 1])
def test_times_are_restored_where_the_content_is_the_same(days):
    before = mtimes()
    date(CASE, before[1] + days * DAY_NS)
    found = settled()
    assert found.restored == [CASE]
    assert mtimes() == before
    assert settled().restored == []


def test_every_altered_result_is_told():
    for path in (SCENE, SCORES):
        before = os.stat(path).st_mtime_ns
        with open(path, "r+b") as file:
            file.write(b"X")
        date(path, before)
    problems = list(map(str, settled().problems))
    assert [problem.partition(": ")[0] for problem in problems] == [SCORES, SCENE]
    assert all(problem.endswith(f"rm {problem.partition(': ')[0]}") for problem in problems)


def test_a_missing_result_is_no_problem():
    Path(CASE).unlink()
    found = settled()
    assert found.problems == []
    assert found.remake == []


def test_results_of_a_clock_that_was_ahead_come_to_the_present_in_their_order():
    for path in (SCENE, CASE):
        date(path, os.stat(path).st_mtime_ns + DAY_NS)
    record_times_as_they_are()
    found = settled()
    scene, case, scores = mtimes()
    assert found.problems == []
    assert set(found.mended) == {SCENE, CASE, SCORES}
    assert scene <= case <= scores <= time.time_ns()
    assert settled().mended == []


def test_results_of_a_clock_that_was_behind_are_no_older_than_their_inputs():
    date(CASE, os.stat(CASE).st_mtime_ns - DAY_NS)
    record_times_as_they_are()
    found = settled()
    scene, case, scores = mtimes()
    assert found.mended == [CASE]
    assert scene <= case <= scores


def record_times_as_they_are():
    """Let the records of a study have the times that its files have now."""
    for path in Path("results").rglob(f"{FOLDER}/*.json"):
        step = module.read_step(path)
        for entry in step.outputs:
            stat = os.stat(entry["path"])
            entry.update(mtime_ns=stat.st_mtime_ns, ctime_ns=stat.st_ctime_ns)
        module.write_step(step)


def test_a_result_of_another_content_is_older_than_it_whatever_the_clock_said():
    before = os.stat(CASE).st_mtime_ns - DAY_NS
    make(*CHAIN[0], text=", made again")
    date(SCENE, before)
    record_times_as_they_are()
    found = settled()
    assert found.remake == [CASE]
    scene, case, _ = mtimes()
    assert case < scene


def test_a_scene_made_again_with_the_same_content_makes_nothing_run_again():
    make(*CHAIN[0])
    scene, case, scores = mtimes()
    assert case < scene
    assert settled().mended == [CASE, SCORES]
    scene, case, scores = mtimes()
    assert scene <= case <= scores


def test_a_source_with_another_content_makes_its_results_older_and_is_left_alone():
    date(OWN, os.stat(OWN).st_mtime_ns - DAY_NS)
    assert settled().same_sources == {OWN}
    Path(OWN).write_text("another")
    before = os.stat(SCENE).st_mtime_ns - DAY_NS
    date(OWN, before)
    for _ in range(2):  # a dry run, then a run
        found = settled()
        assert found.same_sources == set()
        assert found.remake == [SCENE]
        assert os.stat(SCENE).st_mtime_ns < os.stat(OWN).st_mtime_ns == before


def test_a_result_of_a_changed_source_stays_older_than_it_whatever_else_it_was_made_from():
    Path("mask.npy").write_text("a second one of the user's own")
    with recorded(
        "degrade_case", inputs=[("scene", SCENE), ("mask", "mask.npy")], outputs=[("", CASE)], params={}, wildcards={}
    ):
        write_text(CASE, "made of both")
    Path("mask.npy").write_text("another, from an old archive")
    date("mask.npy", os.stat(SCENE).st_mtime_ns - DAY_NS)
    for _ in range(3):
        assert settled().remake == [CASE, SCORES]
        assert os.stat(CASE).st_mtime_ns < os.stat("mask.npy").st_mtime_ns


def test_results_of_another_folder_are_told_in_one_line():
    make_home()
    make(*CHAIN[0])
    assert settled().problems == []
    HOME.unlink()
    make_home()
    (problem,) = settled().problems
    assert f"{SCENE}: was made in another folder" in str(problem)
    assert str(problem).endswith("rm -r results/*")


def test_results_that_may_only_be_read_are_looked_at_all_the_same(monkeypatch):
    date(CASE, os.stat(CASE).st_mtime_ns + DAY_NS)

    def refuse(*_, **__):
        raise PermissionError(13, "denied")

    monkeypatch.setattr(module.os, "utime", refuse)
    monkeypatch.setattr(module, "write_step", refuse)
    found = settled()
    assert found.problems == []
    assert found.same_sources == {OWN}


def test_a_damaged_record_is_one_of_the_problems():
    place = next(Path("results/scenes", FOLDER).iterdir())
    place.write_text("{")
    (problem,) = settled().problems
    assert str(problem).endswith(f"rm {place} {SCENE}")
