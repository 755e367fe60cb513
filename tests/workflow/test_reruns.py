"""What runs again, and what does not, when a user touches, copies or edits: dry runs of a small finished study."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hsipipe.cli import main

ROOT = Path(__file__).parents[2]
CODE = ("Snakefile", "config", "envs", "profiles", "src", "workflow")
SCENE = "results/scenes/field.h5"  # larger than 1 MB, so that Snakemake goes by its time
OWN = "data/field.npy"
CASE = "results/denoising/field-noisy"
TABLE = "results/papers/reruns/tables/field.csv"
pytestmark = pytest.mark.workflow

SCORED = {"collect_scores": 1, "write_table": 1, "gather_explorer": 1, "build_explorer": 1}
RUN_AGAIN = {"run_method": 1, **SCORED}  # one method
SCORED_AGAIN = {"run_method": 3, **SCORED}  # of all methods: predictions are not kept
FROM_CASE = {"degrade_case": 1, "train_method": 1, **SCORED_AGAIN}
FROM_SCENE = {"split_case": 1, "select_bands": 1, "draw_bands": 1, **FROM_CASE}


class Study:
    """A study's folder, with a copy of the program that runs it, to be edited."""

    def __init__(self, folder):
        self.folder = folder
        self.code = folder / "code"
        self.config = folder / "study.yaml"

    def snakemake(self, *arguments):
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.code / "Snakefile"), "--cores", "2"]
        command += ["--directory", str(self.folder), "--configfile", str(self.config), *arguments]
        around = {**os.environ, "PYTHONPATH": str(self.code / "src")}
        return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=around)

    def planned(self):
        """The jobs that a dry run plans, by rule."""
        answer = self.snakemake("--dry-run", "--quiet", "rules")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        lines = [line.split() for line in (answer.stdout + answer.stderr).splitlines()]
        counts = {line[0]: int(line[1]) for line in lines if len(line) == 2 and "_" in line[0] and line[1].isdigit()}
        if not counts:
            assert ["Nothing", "to", "be", "done"] in [line[:4] for line in lines], answer.stdout + answer.stderr
        return counts

    def edit(self, path, old, new):
        """Edit a file of the study or of its program."""
        text = (self.folder / path).read_text()
        assert old in text
        (self.folder / path).write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reruns") / "study"
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (folder / "code").mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / "code" / name)
    (folder / "data").mkdir()
    np.save(folder / OWN, np.random.default_rng(0).random((72, 72, 80), np.float32))
    shutil.copy2(Path(__file__).with_name("reruns.yaml"), folder / "study.yaml")
    study = Study(folder)
    done = study.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / SCENE).stat().st_size > 2**20
    return study


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the finished study, with its times, to work in."""
    shutil.copytree(finished.folder, tmp_path / "study")
    return Study(tmp_path / "study")


def test_what_changes_no_content_runs_nothing_again(finished, tmp_path):
    # Copied with new times, in no order.
    shutil.copytree(finished.folder, tmp_path / "study", copy_function=shutil.copyfile)
    study = Study(tmp_path / "study")
    study.edit("code/src/hsipipe/metrics/spatial.py", "def band_mse(", "# A comment.\ndef band_mse(")
    study.edit("code/src/hsipipe/metrics/spatial.py", '"""Mean squared error', '"""A docstring. Mean squared error')
    study.edit("code/src/hsipipe/tasks/denoising/methods/qrnn3d/model.py", '"""', '"""Another title. ')
    study.edit("code/workflow/scripts/train_method.py", "with job", "# A comment.\nwith job")
    study.edit("study.yaml", "seeds: [0]", "seeds: [0] # one\n")
    np.save(study.folder / OWN, np.load(study.folder / OWN))  # the same content, written again
    (study.folder / SCENE).touch()
    (study.folder / CASE / "split.csv").touch()
    assert study.planned() == {}


METHODS = "code/src/hsipipe/tasks/denoising/methods"


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("study.yaml", "rank: 2", "rank: 3", {**RUN_AGAIN, "keep_config": 1}),
        ("study.yaml", "epochs: 1", "epochs: 2", {"train_method": 1, **RUN_AGAIN, "keep_config": 1}),
        ("study.yaml", "sigma=0.1", "sigma=0.2", {**FROM_CASE, "keep_config": 1}),
        (f"{METHODS}/svd/model.py", "return ", "return 1 * ", RUN_AGAIN),
        ("code/src/hsipipe/metrics/spatial.py", "PSNR_CEILING_DB = 150.0", "PSNR_CEILING_DB = 151.0", SCORED_AGAIN),
        ("code/workflow/scripts/write_table.py", "write_table(\n", "write_table(*(),\n", {"write_table": 1}),
    ],
    ids=["setting", "training", "case", "method", "metric", "script"],
)
def test_a_change_runs_what_depends_on_it_and_nothing_else(study, path, old, new, expected):
    study.edit(path, old, new)
    assert study.planned() == expected


def test_a_file_of_the_user_with_other_content_is_read_again_whatever_its_times(study):
    own = study.folder / OWN
    before = own.stat()
    values = np.load(own)
    values[0, 0, 0] += 1
    np.save(own, values)
    os.utime(own, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert own.stat().st_size == before.st_size
    assert study.planned() == {"read_scene": 1, **FROM_SCENE}


def test_an_edited_result_and_results_without_their_settings_are_told(study):
    study.edit(f"{CASE}/svd/seed0/scores.csv", "mpsnr", "MPSNR")
    shutil.rmtree(study.folder / ".snakemake")
    answer = study.snakemake("--dry-run")
    assert answer.returncode == 2
    alien, edited = [line for line in answer.stderr.splitlines() if line.startswith("error:")]
    assert "was made in another folder" in alien
    assert "bring the folder .snakemake along" in alien
    assert "svd/seed0/scores.csv: was changed after its step had written it" in edited
    assert "delete it to have it made again" in edited


def test_a_finished_study_is_explained_bundled_and_verified(study, monkeypatch, capsys):
    monkeypatch.chdir(study.folder)
    assert main(["explain", TABLE, "--variant", "svd", "--metric", "MPSNR"]) == 0
    told = capsys.readouterr().out
    assert "agrees" in told
    assert f"{OWN}  [as recorded]" in told
    assert told.count("the same now") >= 6  # the code of each step is known
    assert "changed since:" not in told
    for result in ("results/papers/reruns/tables/field.html", f"{CASE}/qrnn3d/seed0", f"{CASE}/bands.png"):
        assert main(["explain", result]) == 0
        assert "environment" in capsys.readouterr().out
    assert main(["bundle", "reruns", "-o", "reruns.tar", "--models"]) == 0
    assert main(["verify", "reruns.tar"]) == 0
    assert "1 tables and claims made anew" in capsys.readouterr().out
