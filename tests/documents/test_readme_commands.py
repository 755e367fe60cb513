"""Every command of README.md runs, in its order and in one folder, on the demo at a small size.

What cannot run in a test (an installation, a download, GPUs, hours) is replaced by its own dry run; see `STAND_INS`.
"""

import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from commands import Command, commands_of, files_of

from hsipipe.cli import main
from hsipipe.config.load import load_paper, read_config
from hsipipe.scenes.readers import read_image

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
COPIED = ("Makefile", "Snakefile", "config", "envs", "profiles", "pyproject.toml", "requirements.lock", "workflow")
# A command, what stands in for it, and where that runs: `clone`, as downloaded, or `demo`, where `make run` has ended.
STAND_INS = (
    (r"make (run|test)", r"make --dry-run \1", "clone"),  # they install; the fixture runs what `make run` runs then
    (r"snakemake --configfile \S+ --report (\S+)", r"snakemake --report \1", "demo"),  # the paper's scenes are real
    # Downloads, hours: each paper is planned in both sizes by tests/workflow/test_workflow.py.
    (r"snakemake --configfile (config/papers/\S+)(?: --config size=(\w+))?", r"paper \1 \2", "clone"),
    (r"(snakemake --cores 8 --resources gpu=2)", r"\1 --dry-run", "clone"),  # two GPUs
    (r"(snakemake --configfile my-study.yaml)", r"\1 --dry-run", "clone"),  # run by test_own_method.py
)
MADE = (
    *("demo.zip", "report.zip", "clean.tif", "cleaned/strip.bil", "qrnn3d.onnx", "cube.tif", "bands.png", "noisy.tif"),
    *("before-after.png", "clean.png", "fine_hsi.tif", "clusters.tif", "clusters.png", "classes.tif", "embeddings.csv"),
)
pytestmark = pytest.mark.workflow


def copy_project(folder):
    """What a clone has, but for the package, which is installed."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(text, folder):
    """Run a command in a folder: by bash, or, which saves importing torch each time, by what the program calls."""
    if text.startswith("paper "):
        _, file, *size = text.split()
        assert load_paper({**read_config(folder / file), **({"size": size[0]} if size else {})}).runs()
        return
    if text.startswith("hsipipe "):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert main(arguments_of(text)) == 0, text
        return
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-ec", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def arguments_of(text):
    """The words of a command after its first, patterns of files replaced as a shell does."""
    words = shlex.split(text)[1:]
    return [found for word in words for found in (sorted(glob.glob(word)) if "*" in word else [word])]


def make_small(config):
    """The demo with its names, and of everything as little as gives results."""
    paper = yaml.safe_load(config.read_text())
    paper["scenes"]["simulated-landscape"]["simulate"].update(rows=32, cols=32)
    paper["scenes"]["simulated-specimens"]["specimens"].update(species=2, individuals=12, size=16, bands=12)
    kept = {"denoising": ["hyres", "qrnn3d"], "segmentation": ["svm"], "representation": ["simclr"]}
    del paper["fusion"]
    for task, names in kept.items():
        for case in paper[task]["cases"].values():
            case["variants"] = names
        for settings in paper[task]["variants"].values():
            settings.update({name: 1 for name in settings if name in ("epochs", "steps_per_epoch", "warmup_steps")})
    paper["denoising"]["cases"]["simulated-hyspecnet"]["bands"] = {"strategy": "uniform", "count": 24}
    paper["denoising"]["variants"]["qrnn3d"].update(channels=2, bands_per_patch=8)
    paper["representation"]["variants"]["simclr"]["batch_size"] = 8
    wings = paper["representation"]["cases"]["simulated-wings"]
    few = {"scenes": wings["scenes"], "size": 16, "folds": 2, "variants": wings["variants"]}
    paper["representation"]["cases"]["simulated-wings"] = few
    paper.update(tables={"denoising": paper["tables"]["denoising"]}, figures={}, claims=[])
    config.write_text(yaml.safe_dump(paper, sort_keys=False))


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("readme") / "clone")
    (study,) = files_of(README, "Your own data set", "yaml")
    (folder / "my-study.yaml").write_text(study)
    for path in yaml.safe_load(study)["scenes"]["my-field"]["files"]:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).touch()
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A folder in which the demo has been run, and what users have: scenes of theirs."""
    folder = copy_project(tmp_path_factory.mktemp("readme") / "demo")
    make_small(folder / "config/config.yaml")
    run("snakemake --configfile config/config.yaml --resources gpu=0 --cores 2", folder)
    for verb in (
        "convert results/scenes/simulated-landscape.h5 scene.tif --key simulated-000",
        "convert scene.tif scene.hdr",
        "convert scene.tif strip.bil",
        "convert scene.tif cube.mat",
        "degrade scene.tif coarse_hsi.tif fine_msi.tif --psf gaussian:sigma=1,size=5 --srf 4 --ratio 4",
    ):
        run(f"hsipipe {verb}", folder)
    return folder


def in_place_of(command: Command):
    """What is run for a command, and in which folder."""
    for pattern, text, folder in STAND_INS:
        if found := re.fullmatch(pattern, command.text):
            return found.expand(text), folder
    return command.text, "demo"


@pytest.fixture(scope="module")
def plans(clone):
    """What runs in a clone, begun: dry runs need nobody's results, and nobody needs theirs."""
    commands = [in_place_of(command) for command in commands_of(README)]
    with ThreadPoolExecutor(1) as beside:
        yield [beside.submit(run, text, clone) for text, folder in commands if folder == "clone"]


def test_every_command_runs(plans, demo):
    commands = [in_place_of(command) for command in commands_of(README)]
    assert len(commands) > 30
    for text, folder in commands:
        if folder == "demo":
            run(text, demo)
    for plan in plans:
        plan.result()
    assert [name for name in MADE if not (demo / name).exists()] == []
    assert read_image(demo / "fine_hsi.tif").cube.shape == read_image(demo / "scene.tif").cube.shape
    assert len((demo / "embeddings.csv").read_text().splitlines()) == 2 * 12 + 1
    trained = next(iter((demo / "results/denoising/simulated-hyspecnet").glob("vit-lora-*/seed0/model.pt")))
    assert trained.stat().st_size > 1000


@pytest.mark.parametrize("pattern", [pattern for pattern, *_ in STAND_INS])
def test_stand_ins_stand_for_something(pattern):
    assert any(re.fullmatch(pattern, command.text) for command in commands_of(README))


def test_models_in_the_readme_are_made_by_the_demo():
    paper = load_paper(read_config(ROOT / "config/config.yaml"))
    named = set(re.findall(r"results/(\w+)/([\w-]+)/([\w-]+)/seed(\d)/model\.pt", README.read_text()))
    assert len(named) > 2
    made = {(run.task, run.case, run.variant, str(run.seed)) for run in [*paper.runs(), *paper.encoder_runs()]}
    assert named <= made
