"""What is installed is complete: data files of the package, the workflow beside it, metadata, and what conda runs."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import hsipipe
from hsipipe import workflow_files
from hsipipe.errors import UserError

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
WORKFLOW = ("Snakefile", "workflow", "config", "profiles", "envs")


def tracked(*places):
    """Files under git, as paths from the root; where there is no git, those that are there."""
    done = subprocess.run(["git", "ls-files", *places], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return {Path(line) for line in done.stdout.splitlines() if (ROOT / line).exists()}
    found = (path for place in places for path in [ROOT / place, *(ROOT / place).rglob("*")])
    return {path.relative_to(ROOT) for path in found if path.is_file() and "__pycache__" not in path.parts}


def test_the_workflow_is_installed_as_a_whole():
    """Every file of it goes to the same place below share/hsipipe as below the root."""
    installed = {}
    for folder, patterns in SETUPTOOLS["data-files"].items():
        for pattern in patterns:
            found = list(ROOT.glob(pattern))
            assert found, pattern
            installed |= {path.relative_to(ROOT): Path(folder) / path.name for path in found}
    wanted = tracked(*WORKFLOW) | {Path("requirements.lock")}
    assert set(installed) >= wanted
    assert set(installed.values()) == {Path("share/hsipipe") / path for path in installed}


def test_data_files_of_the_package_are_installed():
    matched = {
        path for pattern in SETUPTOOLS["package-data"]["hsipipe"] for path in (ROOT / "src/hsipipe").glob(pattern)
    }
    others = {ROOT / path for path in tracked("src/hsipipe") if path.suffix != ".py"}
    assert others
    assert others <= matched


def test_the_workflow_is_found_in_a_checkout_and_where_pip_put_it(tmp_path, monkeypatch):
    assert workflow_files.workflow_root() == ROOT
    share = tmp_path / "share" / "hsipipe"
    share.mkdir(parents=True)
    (share / "Snakefile").touch()

    class Listed:
        name = "Snakefile"

        def locate(self):
            return share / "Snakefile"

    package = tmp_path / "lib" / "python" / "site-packages" / "hsipipe"
    monkeypatch.setattr(workflow_files, "__file__", str(package / "workflow_files.py"))
    monkeypatch.setattr(workflow_files.metadata, "files", lambda _: [Listed()])
    assert workflow_files.workflow_root() == share
    monkeypatch.setattr(workflow_files.metadata, "files", lambda _: [])
    with pytest.raises(UserError, match=r"not installed with this package; install hsipipe anew"):
        workflow_files.workflow_root()


def test_versions_and_names_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == hsipipe.__version__
    assert citation["license"] == PROJECT["project"]["license"]
    assert f"## {hsipipe.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert [author["name"] for author in PROJECT["project"]["authors"]] == [a["name"] for a in citation["authors"]]


def test_what_the_catalogue_of_workflows_needs_is_there():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    assert {"conda", "apptainer", "report"} <= set(usage["software-stack-deployment"])
    assert (ROOT / "workflow" / "Snakefile").is_file()
    assert (ROOT / "config" / "README.md").stat().st_size > 500


def test_conda_installs_the_checkout_from_a_copy_of_the_script(tmp_path):
    """Snakemake copies the script into .snakemake/conda before it runs it."""
    copy = tmp_path / "copied.sh"
    copy.write_text((ROOT / "envs/hsipipe.post-deploy.sh").read_text())
    stub = tmp_path / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\necho "$@"\n')
    stub.chmod(0o755)

    def run(root):
        around = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}", "HSIPIPE_ROOT": root}
        return subprocess.run(["bash", str(copy)], capture_output=True, text=True, check=False, env=around)

    done = run(str(ROOT))
    assert done.returncode == 0, done.stderr
    first, lock, own = done.stdout.splitlines()
    assert first.startswith("-m pip install uv==")
    assert lock.endswith(f"-r {ROOT}/requirements.lock")
    assert own.endswith(f"--no-deps {ROOT}")
    assert "is no checkout of hsipipe" in run(str(tmp_path)).stderr
    assert "HSIPIPE_ROOT" in run("").stderr
