"""`hsipipe doctor`: what is found, what is a note, what is a problem."""

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

from hsipipe.cli import main
from hsipipe.doctor import finding, machine, places, software
from hsipipe.doctor.finding import Finding, probe


@pytest.fixture
def without_torch(monkeypatch):
    """As if no process could import torch: fast, and the same on every machine."""
    told = {"torch": "2.13.0", "cuda": None, "gpus": [], "torchvision": ""}
    monkeypatch.setattr(machine, "probe", lambda _: (told, ""))
    monkeypatch.setattr(machine, "has_driver", lambda: False)
    return told


def by_name(findings):
    return {found.what: found for found in findings}


@pytest.mark.usefixtures("without_torch")
def test_all_of_it_as_lines_and_as_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HSIPIPE_MIRROR", raising=False)
    code = main(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    problems = [found for found in told["findings"] if found["state"] == "problem"]
    assert told["healthy"] == (not problems)
    assert code == (2 if problems else 0)
    found = {entry["what"]: entry for entry in told["findings"]}
    assert {"Python", "hsipipe", "libraries", "cores", "memory", "torch", "GPU", "SLURM", "disk", "mirror"} <= set(
        found
    )
    assert found["GPU"]["state"] == "note"
    assert "denoising-peft (22 variants)" in found["GPU"]["remedy"]
    assert found["workflow"]["remedy"] == "for a study: hsipipe init FOLDER"
    assert main(["doctor"]) == code
    lines = capsys.readouterr().out
    assert "-> for a study: hsipipe init FOLDER" in " ".join(lines.split())
    assert f"{len(problems)} problems" in lines.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_broken_library_is_told_and_not_raised():
    assert probe("import json; print('noise'); print(json.dumps([1]))") == ([1], "")
    answer, why = probe("import no_such_library")
    assert answer is None
    assert why == "ModuleNotFoundError: No module named 'no_such_library'"
    assert probe("import os; os.abort()")[1] == "ended by signal 6"


def test_a_library_that_hangs_is_told(monkeypatch):
    monkeypatch.setattr(finding, "PROBE_WITHIN_S", 0.3)
    assert probe("import time; time.sleep(60)") == (None, "does not answer within 0.3 s")


def test_torch_that_fails_is_a_problem(monkeypatch):
    monkeypatch.setattr(machine, "probe", lambda _: (None, "OSError: libcudart.so.13: cannot open shared object file"))
    (found,) = machine._torch()
    assert found.state == "problem"
    assert "libcudart" in found.found
    assert found.remedy


def test_gpus_and_what_keeps_them_away(without_torch, monkeypatch):
    without_torch["torchvision"] = "RuntimeError: operator torchvision::nms does not exist"
    assert by_name(machine._torch())["torchvision"].state == "problem"
    without_torch |= {"torchvision": "", "gpus": [["A100", 79.2, True], ["V100", 31.7, False]], "cuda": "13.0"}
    _, first, second = machine._torch()
    assert (first.state, first.found) == ("ok", "A100, 79.2 GB, bfloat16")
    assert "no bfloat16" in second.found
    without_torch |= {"gpus": [], "cuda": None}
    monkeypatch.setattr(machine, "has_driver", lambda: True)
    assert "torch is built without CUDA" in by_name(machine._torch())["GPU"].found


def test_libraries_that_are_missing_or_too_old(monkeypatch):
    required = [
        "numpy>=2.0,<3",
        "nothing-of-this-name>=1",
        "snakemake>=9; extra == 'workflow'",
        "onnx>=1; extra == 'export'",
    ]
    versions = {"numpy": "1.26.4", "snakemake": "9.25.1"}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(software.metadata, "requires", lambda _: required)
    monkeypatch.setattr(software.metadata, "version", version)
    found = by_name(software._libraries())
    assert found["libraries"].found.startswith("1 of 3 as needed")
    assert (found["numpy"].state, found["numpy"].found) == ("problem", "1.26.4, where <3,>=2.0 is asked for")
    assert found["nothing-of-this-name"].found == "is not installed"
    assert found["extra export"].state == "note"
    assert found["extra export"].remedy.endswith('pip install "hsipipe[export]"')
    assert "snakemake" not in found


def test_jobs_that_would_compile_anew_are_told(tmp_path, monkeypatch):
    library = tmp_path / "pytorch_lightning"
    library.mkdir()
    (library / "__init__.py").touch()
    monkeypatch.setattr(
        software.util, "find_spec", lambda _: type("Spec", (), {"origin": str(library / "__init__.py")})
    )
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert software._bytecode().state == "note"
    assert "compileall" in software._bytecode().remedy
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE")
    assert software._bytecode().state == "ok"
    (library / "__pycache__").mkdir()
    (library / "__pycache__" / f"a.{sys.implementation.cache_tag}.pyc").touch()
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert software._bytecode().state == "ok"


def test_file_systems_are_told_by_the_longest_mount():
    mounts = "/dev/a / ext4 rw 0 0\nserver:/x /home nfs4 rw 0 0\nnone /home/fast\\040disk tmpfs rw 0 0\n"
    for folder, kind in {"/tmp": "ext4", "/home/me": "nfs4", "/home/fast disk/a": "tmpfs", "/homes": "ext4"}.items():
        assert places.file_system(Path(folder), mounts) == kind


def test_network_disks_full_disks_and_folders_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "file_system", lambda _: "nfs4")
    assert places._file_system(tmp_path).state == "note"
    assert "over the network" in places._file_system(tmp_path).found
    monkeypatch.setattr(places, "has_locks", lambda _: False)
    assert "without locks" in places._file_system(tmp_path).found

    def usage(free):
        return lambda _: type("Usage", (), {"free": free})

    for free, state in ((1e8, "problem"), (2e9, "note"), (1e11, "ok")):
        monkeypatch.setattr(places.shutil, "disk_usage", usage(free))
        assert places._disk(tmp_path).state == state

    def refuse(folder):
        raise OSError(30, "Read-only file system", str(folder))

    monkeypatch.setattr(places, "check_writable", refuse)
    assert places._permission(tmp_path) == Finding(
        "results", f"{tmp_path}: Read-only file system", "problem", "make the folder writable, or work in another"
    )


def test_a_mirror_that_is_no_folder_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setenv("HSIPIPE_MIRROR", str(tmp_path / "nowhere"))
    assert places._mirror().state == "problem"
    monkeypatch.setenv("HSIPIPE_MIRROR", str(tmp_path))
    assert places._mirror() == Finding("mirror", str(tmp_path))
