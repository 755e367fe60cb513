"""A small study as the workflow leaves it, made by the functions that its scripts call."""

import dataclasses
import shutil

import h5py
import numpy as np
import pytest
import yaml

from hsipipe.config.sections import ClaimSettings
from hsipipe.files import sha256_of, write_json, write_text
from hsipipe.keys import code_key
from hsipipe.provenance.code import keep_code
from hsipipe.provenance.steps import recorded
from hsipipe.report.claims import check_claims
from hsipipe.report.tables import write_cost_table, write_table
from hsipipe.scenes.scene import Item, write_scene
from hsipipe.scores import Score, collect_scores, write_scores
from hsipipe.settings import settings_from

CONFIG = {
    "paper": "p",
    "seeds": [0, 1],
    "scenes": {"field": {"simulate": {"items": 2}}},
    "denoising": {
        "cases": {"c": {"scenes": ["field"], "noise": "hyspecnet"}},
        "variants": {"noisy": {"method": "noisy"}, "net": {"method": "qrnn3d", "channels": 2}},
    },
    "claims": [{"claim": "Net is better", "task": "denoising", "case": "c", "better": "net", "than": ["noisy"]}],
    "tables": {
        "t": {
            "task": "denoising",
            "cases": ["c"],
            "metrics": ["mpsnr", "peer_psnr"],
            "costs": ["seconds_per_item"],
            "published": {"source": "Table 1", "columns": {"paper": {"net": 25.5}}},
        }
    },
}
VALUES = {("noisy", 0): (10.0, 12.0), ("net", 0): (20.0, 21.0), ("net", 1): (23.0, 25.0)}
CASE = "results/denoising/c"
PAPER = "results/papers/p"


def step(name, inputs, outputs, wildcards=None, **params):
    """A recorded step; inputs and outputs by name in the rule."""
    given = {"key": f"code-of-{name}", **params}
    read = [(kind, path) for kind, paths in inputs.items() for path in ([paths] if isinstance(paths, str) else paths)]
    return recorded(
        name,
        inputs=read,
        outputs=list(outputs.items()),
        params=given,
        wildcards=wildcards or {},
        threads=1,
    )


def make_scene(level=0.0):
    with step("simulate_scene", {}, {"scene": "results/scenes/field.h5"}, settings={"items": 2}):
        cube = np.full((4, 6, 5), level, np.float32)
        source = {"path": "simulated", "sha256": "5" * 64}
        items = [Item(cube + number, name=f"i{number}", source=source) for number in range(2)]
        write_scene("results/scenes/field.h5", items, name="field", simulated=True)


def make_case():
    scene, split = "results/scenes/field.h5", f"{CASE}/split.csv"
    with step("split_case", {"scenes": scene}, {"split": split}, settings={"split": {"by": "item"}}):
        write_text(split, "scene,item,part\nfield,i0,train\nfield,i1,test\n")
    with step("select_bands", {"scenes": scene, "split": split}, {"bands": f"{CASE}/bands.csv"}):
        write_text(f"{CASE}/bands.csv", "index,wavelength_nm\n0,500\n1,600\n")
    inputs = {"scenes": scene, "split": split, "bands": f"{CASE}/bands.csv"}
    with (
        step("degrade_case", inputs, {"case": f"{CASE}/case.h5"}, settings={"noise": "hyspecnet", "seed": 0}),
        h5py.File(f"{CASE}/case.h5", "w") as file,
    ):
        file.attrs.update({"format": "hsipipe-case-1", "case": "c", "content": "digest-of-the-case"})


RUN_FILES = {"scores": "scores.csv", "kept": "kept.h5", "record": "run.json"}


def make_run(variant, seed):
    folder = f"{CASE}/{variant}/seed{seed}"
    case = {"case": f"{CASE}/case.h5", "scenes": "results/scenes/field.h5"}
    model = {}
    if variant == "net":
        model = {"model": f"{folder}/model.pt"}
        with step("train_method", case, model, {"variant": variant, "seed": str(seed)}, settings={"channels": 2}):
            write_text(model["model"], f"weights of seed {seed}")
    made = {name: f"{folder}/{file}" for name, file in RUN_FILES.items()}
    with step("run_method", {**case, **model}, made, {"seed": str(seed)}, method="qrnn3d"):
        write_text(made["kept"], f"kept {variant} {seed}")
        environment = {"hsipipe": "1", "libraries": {"numpy": "2"}}
        record = {"method": variant, "seed": seed, "device": "cpu", "seconds_per_item": 0.5 + seed}
        write_json(made["record"], {**record, "environment": environment})
        scores = []
        for number, value in enumerate(VALUES[variant, seed]):
            scores += [Score("field", f"i{number}", "mpsnr", value, "dB")]
            scores += [Score("field", f"i{number}", "mse", 0.01 / value, "1")]
        write_scores(made["scores"], scores, task="denoising", case="c", variant=variant, seed=seed)
    return folder


def make_paper(folders):
    scores = [f"{folder}/scores.csv" for folder in folders]
    joined = f"{PAPER}/scores.csv"
    with step("collect_scores", {"scores": scores}, {"scores": joined}):
        collect_scores(scores, joined)
    with step("keep_config", {}, {"config": f"{PAPER}/config.yaml"}):
        write_text(f"{PAPER}/config.yaml", yaml.safe_dump(CONFIG, sort_keys=False))
    outputs = {
        "csv": f"{PAPER}/tables/t.csv",
        "markdown": f"{PAPER}/tables/t.md",
        "tex": f"{PAPER}/tables/t.tex",
        "html": f"{PAPER}/tables/t.html",
    }
    rows = {name: {"title": name, "kind": "direct"} for name in ("noisy", "net")}
    table = {"title": "T", "note": "", **CONFIG["tables"]["t"], "rows": rows, "simulated": {"c": True}}
    records = [f"{folder}/run.json" for folder in folders]
    cost, key = f"{PAPER}/tables/t_cost.csv", code_key("hsipipe.report.tables")
    inputs = {"scores": joined, "records": records}
    with step("write_table", inputs, {**outputs, "cost": cost}, {"table": "t"}, table=table, key=key):
        write_table(joined, table, records, **outputs)
        write_cost_table(records, cost)
    claims = [dataclasses.asdict(settings_from(ClaimSettings, claim, "claims")) for claim in CONFIG["claims"]]
    judged = {
        "csv": f"{PAPER}/claims.csv",
        "markdown": f"{PAPER}/claims.md",
        "html": f"{PAPER}/claims.html",
    }
    about = {"paper": "p", "size": "demo", "claims": claims}
    with step("check_claims", {"scores": joined}, judged, key=code_key("hsipipe.report.claims"), **about):
        check_claims(joined, [], claims, paper="p", size="demo", **judged)
    keep_code()


@pytest.fixture(scope="session")
def made_study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_scene()
        make_case()
        make_paper([make_run(variant, seed) for variant, seed in VALUES])
    return folder


@pytest.fixture
def study(made_study, tmp_path, monkeypatch):
    """A copy of the study to work in, with the times of its files; the working folder."""
    shutil.copytree(made_study, tmp_path / "study")
    monkeypatch.chdir(tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture
def remake_scene():
    """Makes the scene of the study again."""
    return make_scene


@pytest.fixture
def download(study):
    """The list of the files of a download, of one file."""
    (study / "downloads/city").mkdir(parents=True)
    write_text("downloads/city/a.mat", "a scene")
    with step("download_scene", {}, {"manifest": "downloads/city.json"}, files=[{"file": "a.mat"}]):
        write_json("downloads/city.json", {"downloads/city/a.mat": sha256_of("downloads/city/a.mat")})
    return "downloads/city.json"
