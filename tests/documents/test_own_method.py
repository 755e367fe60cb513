"""A method is one folder: added to a copy of the package, the workflow lists, trains, runs, scores and shows it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from commands import files_of

from hsipipe.cli import main
from hsipipe.scenes.readers import read_image

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
METHODS = "hsipipe/tasks/denoising/methods"
NETWORK = '''"""One convolution, added to its input."""

import torch


def build(*, bands, side=3):
    """A module that maps (B, C, H, W) to the same."""
    return Residual(bands, side)


class Residual(torch.nn.Module):
    def __init__(self, bands, side):
        super().__init__()
        self.bands = bands
        self.convolution = torch.nn.Conv2d(bands, bands, side, padding=side // 2)

    def forward(self, noisy):
        return noisy + self.convolution(noisy)
'''
DESCRIPTION = """
title: One convolution
kind: trained
settings:
  side: {default: 3, type: int, minimum: 1, meaning: "side of the kernel, pixels"}
  patch: {default: 16, type: int, minimum: 8, meaning: "side of the training images, pixels"}
  batch_size: {default: 2}
citation: none
"""
pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The README's study and method, a trained method beside it, and the study run."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(ROOT / "src/hsipipe", folder / "src/hsipipe", ignore=shutil.ignore_patterns("__pycache__"))
    (code,) = files_of(README, "Your own method", "python")
    (description,) = files_of(README, "Your own method", "yaml")
    for name, model, told in (("mean_filter", code, description), ("convolution", NETWORK, DESCRIPTION)):
        (folder / "src" / METHODS / name).mkdir()
        (folder / "src" / METHODS / name / "model.py").write_text(model)
        (folder / "src" / METHODS / name / "method.yaml").write_text(told)
    (text,) = files_of(README, "Your own data set", "yaml")
    study = yaml.safe_load(text)
    (case,) = study["denoising"]["cases"]
    study["denoising"]["cases"][case]["split"] |= {"block": 24, "buffer": 2}
    study["denoising"]["variants"] = {
        "noisy": {"method": "noisy"},
        "mean-filter": {"method": "mean_filter", "side": 5},
        "convolution": {"method": "convolution", "epochs": 1, "steps_per_epoch": 2},
    }
    study["figures"] = {"bars": {"task": "denoising", "kind": "bars", "case": case}}
    (folder / "my-study.yaml").write_text(yaml.safe_dump(study))
    make_scene(folder / study["scenes"]["my-field"]["files"][0])
    run(folder, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", "my-study.yaml", "--cores", "2")
    return folder


def make_scene(path):
    """A scene of the user's own, of 48 x 96 pixels and 60 bands, as ENVI."""
    from hsipipe.scenes.simulate import simulate_scene
    from hsipipe.scenes.writers import write_image

    (item,) = simulate_scene(rows=48, cols=96, items=1)
    item.labels = None
    path.parent.mkdir(parents=True)
    write_image(path, item)


def run(folder, *arguments):
    """Run Python with the copy of the package."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_names_the_folder_of_its_method():
    assert f"src/{METHODS}/mean_filter/" in README.read_text()


def check_the_list(folder, capsys):
    listed = {method["name"]: method for method in json.loads(run(folder, "-m", "hsipipe", "methods", "--json"))}
    assert listed["mean_filter"]["kind"] == "direct"
    assert listed["mean_filter"]["parameters"]["side"]["choices"] == [3, 5, 7]
    assert listed["convolution"]["kind"] == "trained"
    assert "epochs" in listed["convolution"]["parameters"]
    assert main(["methods", "--json"]) == 0
    names = {method["name"] for method in json.loads(capsys.readouterr().out)}
    assert set(listed) - names == {"mean_filter", "convolution"}, "the copy has what the package has, and these"


def check_the_table(folder):
    tables = folder / "results/papers/my-study/tables"
    table = pd.read_csv(tables / "my-field.csv", comment="#")
    text = (tables / "my-field.md").read_text()
    assert set(table[table.columns[0]]) == {"noisy", "mean-filter", "convolution"}
    for name in ("mean-filter", "convolution"):
        assert re.search(rf"^\| *{name}\b", text, flags=re.MULTILINE)
    scores = pd.read_csv(folder / "results/papers/my-study/scores.csv").set_index(["variant", "metric"]).value
    # A mean over 25 pixels takes nearly all power from white noise of 50 / 255, and some from the image.
    assert scores["mean-filter", "mpsnr"].mean() > scores["noisy", "mpsnr"].mean() + 1


def check_the_figure(folder):
    text = (folder / "results/papers/my-study/figures/bars.svg").read_text()
    assert "mean-filter" in text
    assert "convolution" in text


def check_the_command_line(folder):
    run(folder, "-m", "hsipipe", "denoise", "data/my-field.hdr", "clean.tif", "--method", "mean_filter")
    model = next((folder / "results").glob("denoising/*/convolution/seed0/model.pt"))
    run(folder, "-m", "hsipipe", "denoise", "data/my-field.hdr", "trained.tif", "--model", model)
    field, clean, trained = (
        read_image(folder / name).cube for name in ("data/my-field.hdr", "clean.tif", "trained.tif")
    )
    assert clean.shape == trained.shape == field.shape
    assert clean[30].std() < field[30].std()


def test_it_is_in_the_list_the_table_the_figure_and_the_command_line(folder, capsys):
    # One test: of two, each process would run the study anew.
    check_the_list(folder, capsys)
    check_the_table(folder)
    check_the_figure(folder)
    check_the_command_line(folder)
