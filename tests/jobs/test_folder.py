import errno
import os
from pathlib import Path

import pytest

from hsipipe.errors import UserError
from hsipipe.jobs import folder as module
from hsipipe.jobs.folder import LOCK, check_results_writable, check_writable, held_folder, settle_folder
from hsipipe.locks import held
from hsipipe.provenance.home import read_home
from hsipipe.provenance.settle import Settled


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".snakemake").mkdir()
    Path("results").mkdir()


def test_one_run_at_a_time():
    with held_folder():
        home = read_home()
        with pytest.raises(UserError, match=r"another snakemake runs here.*wait until it ends"), held_folder():
            pass
    with held_folder():
        assert read_home() == home != ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_folder_that_takes_no_files_is_told_before_anything_runs(monkeypatch, number):
    def refuse(_):
        raise OSError(number, os.strerror(number), "results/.probe")

    monkeypatch.setattr(module.os, "fsync", refuse)
    with pytest.raises(UserError, match=r"results: writing failed: .*; make .*, then start again"), held_folder():
        pass
    assert list(Path("results").iterdir()) == []
    with held(LOCK, wait=False, busy="still held"):
        pass


def test_a_folder_that_is_not_there_needs_no_room():
    check_writable(Path("downloads"))
    assert not Path("downloads").exists()


def test_nothing_is_settled_while_a_run_is_at_work(monkeypatch):
    found = Settled(same_sources={"a"})
    monkeypatch.setattr(module, "record_paths", lambda _: [])
    monkeypatch.setattr(module, "settle", lambda _: found)
    assert settle_folder(None) is found
    with held_folder():
        assert settle_folder(None) == Settled()
    assert settle_folder(None) is found


def test_settling_before_the_first_run_leaves_nothing_behind(monkeypatch):
    Path(".snakemake").rmdir()
    monkeypatch.setattr(module, "record_paths", lambda _: [])
    assert settle_folder(None) == Settled()
    assert not Path(".snakemake").exists()


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (["snakemake"], True),
        (["snakemake", "--cores", "2", "--configfile", "config/new.yaml"], True),
        (["snakemake", "-n"], False),
        (["snakemake", "-nq"], False),
        (["snakemake", "--report", "report.zip"], False),
        (["snakemake", "--report=report.zip"], False),
    ],
)
def test_results_that_cannot_be_written_may_only_be_looked_at(tmp_path, monkeypatch, arguments, refused):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir(exist_ok=True)
    check_results_writable(arguments)
    monkeypatch.setattr(
        "hsipipe.jobs.folder.os.access", lambda *_: False
    )  # root may write wherever a disk can be written
    if not refused:
        check_results_writable(arguments)
        return
    with pytest.raises(UserError, match=r"results: cannot be written to; make the folder writable"):
        check_results_writable(arguments)
