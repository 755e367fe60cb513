"""The examples of README.md do what it says."""

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from commands import commands_of, files_of

import hsipipe.tasks.denoising.methods
from hsipipe import methods
from hsipipe.config.load import load_paper, read_config
from hsipipe.methods import find_method, methods_of

README = Path(__file__).parent.parent.parent / "README.md"


@pytest.fixture
def own_method(tmp_path, monkeypatch):
    """The method of README.md, in a folder of methods of its own."""
    (code,) = files_of(README, "Your own method", "python")
    (description,) = files_of(README, "Your own method", "yaml")
    (name,) = set(re.findall(r"tasks/denoising/methods/(\w+)/", README.read_text()))
    folder = tmp_path / "denoising" / "methods"
    (folder / name).mkdir(parents=True)
    (folder / name / "model.py").write_text(code)
    (folder / name / "method.yaml").write_text(description)
    (tmp_path / "denoising" / "settings.py").touch()
    monkeypatch.setattr(methods, "TASKS_FOLDER", tmp_path)
    package = hsipipe.tasks.denoising.methods
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    methods_of.cache_clear()
    yield name
    methods_of.cache_clear()


def test_own_method_is_found_and_runs(own_method):
    assert list(methods_of("denoising")) == [own_method]
    method = find_method("denoising", own_method)
    settings = method.complete({"side": 5})
    noisy = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    denoised = method.load().denoise(noisy, wavelength_nm=None, **settings)
    assert denoised.shape == noisy.shape
    assert denoised[1, 2, 4, 5].item() == pytest.approx(noisy[1, 2, 2:7, 3:8].mean().item(), rel=1e-5)
    # At the corner only pixels of the image count.
    assert denoised[0, 0, 0, 0].item() == pytest.approx(noisy[0, 0, :3, :3].mean().item(), rel=1e-5)


def test_own_study_is_complete(tmp_path):
    (text,) = files_of(README, "Your own data set", "yaml")
    listed = yaml.safe_load(text)
    listed["scenes"]["my-field"]["files"] = [str(tmp_path / "field.hdr")]
    (tmp_path / "my-study.yaml").write_text(yaml.safe_dump(listed))
    paper = load_paper(read_config(tmp_path / "my-study.yaml"), file="my-study.yaml")
    assert {run.variant for run in paper.runs("denoising")} == set(paper.variants["denoising"]) != set()
    assert paper.measured_scenes([]) == ["my-field"]
    assert list(paper.tables) == ["my-field"]
    assert "snakemake --configfile my-study.yaml" in [command.text for command in commands_of(README)]
