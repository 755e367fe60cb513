"""The examples that `hsipipe VERB --help` shows do what they say, in a study like the demo's but smaller."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hsipipe.bands.selection import read_bands_csv
from hsipipe.cli import main, make_parser
from hsipipe.scenes.scene import Item, Scene
from hsipipe.scenes.writers import write_image

pytestmark = pytest.mark.workflow
ROOT = Path(__file__).parents[2]
PARSER = make_parser()
VERBS = PARSER.verbs
# Named as in config/config.yaml, since that is what the examples name.
DEMO = """
paper: demo
seeds: [0]
scenes:
  simulated-landscape: {simulate: {rows: 64, cols: 64, items: 3, seed: 0}}
  simulated-specimens: {specimens: {species: 2, individuals: 12, sides: 1, size: 16, bands: 12}}
denoising:
  cases:
    simulated-hyspecnet:
      scenes: [simulated-landscape]
      split: {by: item, fractions: [0.34, 0.33, 0.33]}
      crop: [24, 24]
      bands: {strategy: uniform, count: 24}
      noise: hyspecnet
  variants:
    hyres: {method: hyres}
    qrnn3d: {method: qrnn3d, channels: 2, depth: 1, patch: 8, epochs: 1, steps_per_epoch: 2, batch_size: 1}
segmentation:
  cases:
    simulated-land:
      scenes: [simulated-landscape]
      items: 1
      bands: {strategy: uniform, count: 24}
      pixels: {by: random, fraction: 0.2, rare: leave-out}
  variants:
    pca: {method: pca, latent: 3}
    kmeans: {method: kmeans, encoder: pca, clusters: 3}
    svm: {method: svm}
representation:
  cases:
    simulated-wings: {scenes: [simulated-specimens], size: 16, folds: 2}
  variants:
    simclr: {method: simclr, epochs: 1, steps_per_epoch: 1, batch_size: 8}
tables:
  denoising: {task: denoising, cases: [simulated-hyspecnet], metrics: [mpsnr]}
  wings: {task: representation, cases: [simulated-wings], metrics: [probe]}
"""
EARLIER = {"verify": ["bundle"], "score": ["fuse", "segment"]}  # verbs whose examples make what these take


def snakemake(*arguments):
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--resources", "gpu=0"]
    around = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=around)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study folder with all results; and a user's files scene.tif, labels.tif, cube.mat, and what is made of them."""
    place = tmp_path_factory.mktemp("examples") / "study"
    before = Path.cwd()
    assert main(["init", str(place)]) == 0
    os.chdir(place)
    try:
        Path("config/config.yaml").write_text(DEMO)
        snakemake("--quiet", "rules")
        bands = read_bands_csv("results/segmentation/simulated-land/bands.csv")
        with Scene("results/scenes/simulated-landscape.h5") as scene:
            item = scene.read(scene.items[2]).with_bands(bands.indices)
        source = {"dtype": "float32", "transform": (30.0, 0.0, 5000.0, 0.0, -30.0, 9000.0)}
        write_image("scene.tif", Item(item.cube, wavelength_nm=item.wavelength_nm, source=source))
        write_image("cube.mat", Item(item.cube, source={"dtype": "float32"}))
        labels = item.abundances.argmax(axis=0)[None].astype(np.uint8) + 1
        write_image("labels.tif", Item(labels, source={**source, "dtype": "uint8"}))
        for line in VERBS["degrade"].examples:
            assert main([*shlex.split(line)[1:], "--quiet"]) == 0
    finally:
        os.chdir(before)
    return place


def run(line, capsys, *more):
    """Run an example; what it printed. What a shell would write to a file is not written."""
    words = shlex.split(line)
    if words[0] == "snakemake":
        snakemake(*words[1:])
        return ""
    assert words[0] == "hsipipe"
    if ">" in words:
        words = words[: words.index(">")]
    capsys.readouterr()
    assert main([*words[1:], *more]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", [name for name in VERBS if name != "init"])
def test_examples_work(folder, monkeypatch, capsys, verb):
    monkeypatch.chdir(folder)
    for earlier in EARLIER.get(verb, ()):
        for line in VERBS[earlier].examples:
            run(line, capsys)
    for number, line in enumerate(VERBS[verb].examples):
        words = shlex.split(line)
        json_wanted = words[1] == verb and "--json" in _options(verb) and number == 0 and "--json" not in words
        told = run(line, capsys, *(["--json"] if json_wanted else []))
        if json_wanted or "--json" in words:
            assert isinstance(json.loads(told), (dict, list))
    for picture in ("before-after.png", "scene.png", "infrared.png", "clusters.png", "bands.png"):
        if any(picture in line for line in VERBS[verb].examples):
            assert Path(picture).stat().st_size > 5000


def test_a_study_folder_is_made_where_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (line,) = VERBS["init"].examples
    told = json.loads(run(line, capsys, "--json"))
    assert sorted(told["files"]) == sorted(
        str(path.relative_to("my-study")) for path in Path("my-study").rglob("*") if path.is_file()
    )
    assert yaml.safe_load(Path("my-study/config/config.yaml").read_text())["paper"] == "demo"
    assert main(["init", "my-study"]) == 2
    assert "my-study/Snakefile: is there already" in capsys.readouterr().err


def _options(verb):
    (verbs,) = [action for action in PARSER._actions if hasattr(action, "choices") and action.choices]
    return [option for action in verbs.choices[verb]._actions for option in action.option_strings]
