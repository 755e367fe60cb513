import copy
import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hsipipe.config.definitions import check_definitions, definitions, load_papers
from hsipipe.config.load import load_paper, read_config
from hsipipe.config.sections import PublishedSettings, SimulateSettings
from hsipipe.errors import UserError
from hsipipe.scenes.simulate import simulate_scene

ROOT = Path(__file__).parent.parent.parent
STUDY = yaml.safe_load("""
paper: study
seeds: [0, 1]
scenes:
  field: {simulate: {rows: 24, cols: 24, items: 4}}
  own: {files: [own.hdr], labels: own.tif}
denoising:
  cases:
    first:
      scenes: [field]
      noise: hyspecnet
      split: {by: item, fractions: [0.5, 0.25, 0.25]}
      bands: {strategy: uniform, count: 12}
    second: {scenes: [own], noise: gaussian-50, split: {by: test}, models_from: first, variants: [noisy, network]}
  variants:
    noisy: {method: noisy}
    svd: {method: svd, rank: 3}
    network: {method: qrnn3d, epochs: 2}
tables:
  all:
    task: denoising
    cases: [first, second]
    metrics: [mpsnr]
    published: {source: here, columns: {psnr: {svd: 30}}}
figures:
  bars: {task: denoising, kind: bars, case: first}
claims:
  - {claim: it is better, task: denoising, case: first, better: svd, than: [noisy]}
""")
FIRST = "denoising.cases.first"
NETWORK = "denoising.variants.network"


def changed(*changes):
    """The study with values at dotted keys replaced."""
    study = copy.deepcopy(STUDY)
    for key, value in changes:
        place = study
        *parents, last = (int(part) if part.isdigit() else part for part in key.split("."))
        for parent in parents:
            place = place[parent]
        place[last] = value
    return study


def test_a_variant_says_what_its_jobs_need():
    given = {"train": {"gpu": 4, "runtime": 60}, "run": {"vram_mb": 2000}}
    network = load_paper(changed((f"{NETWORK}.resources", given))).variants["denoising"]["network"]
    assert "resources" not in network.settings
    assert network.resources["train"] == {**network.method.resources["train"], "gpu": 4, "runtime": 60}
    assert network.resources["run"] == {**network.method.resources["run"], "vram_mb": 2000}


def test_the_study_that_the_others_change_is_right():
    paper = load_paper(STUDY, file="study.yaml")
    assert paper.seeds == [0, 1]
    assert paper.scenes["field"].simulate == SimulateSettings(rows=24, cols=24, items=4)
    assert paper.tables["all"].published == PublishedSettings("here", {"psnr": {"svd": 30.0}})
    assert len(paper.runs()) == 1 + 1 + 2 + 1 + 2
    assert paper.simulated_scenes() == ["field"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # the simulator
        ("scenes.field", {"simulate": {"row": 24}}, "did you mean 'rows'"),
        ("scenes.field.simulate.rows", 7, "scenes.field.simulate.rows: must be at least 8"),
        ("scenes.field.simulate.cols", 0, "must be at least 8"),
        ("scenes.field.simulate.items", 0, "must be at least 1"),
        ("scenes.field.simulate.psf_fwhm_pixels", -1, "must be at least 0"),
        ("scenes.field.simulate", 3, "must be keys with values"),
        # shapes
        ("seeds", ["a"], r"seeds\[0\]: must be a whole number"),
        ("seeds", 3, "seeds: must be a list"),
        ("denoising", [1], "denoising: must be keys with values"),
        ("denoising.cases", ["first"], "denoising.cases: must be names with values"),
        ("denoising.cases.first", ["field"], "cases.first: must be keys with values"),
        ("denoising.variants", ["svd"], "denoising.variants: must be names with values"),
        ("denoising.variants.svd", ["svd"], "variants.svd: must be a mapping with a `method`"),
        ("tables", [1], "tables: must be names with values"),
        ("tables.all", [1], "tables.all: must be keys with values"),
        ("tables.all.published", [1], "published: must be keys with values"),
        ("tables.all.published.columns", {"psnr": {"svd": "good"}}, "must be a number"),
        ("scenes", ["field"], "scenes: must be names with values"),
        ("sizes", ["demo"], "sizes: must be names with values"),
        ("sizes", {"demo": [1]}, "sizes.demo: must be names with values"),
        ("sizes", {"demo": {"denoisin": {}}}, "sizes.demo.*did you mean 'denoising'"),
        ("claims", {"a": 1}, "claims: must be a list"),
        ("paper", 7, "paper: must be a text"),
        # impossible values
        ("seeds", [], "seeds: must not be empty"),
        ("seeds", [1.7], "must be a whole number"),
        ("seeds", [1, 1], "names the same twice"),
        ("seeds", [-1], "must be at least 0"),
        ("scenes.field", {}, "either simulated or made of files"),
        ("scenes.field", None, "either simulated or made of files"),
        ("scenes.field", {"simulate": {}, "files": ["a.hdr"]}, "either simulated or made of files"),
        ("scenes.field", {"simulate": {}, "key": "data"}, "key: tells how files are read"),
        ("scenes.own.files", [], "files: must not be empty"),
        (f"{FIRST}.scenes", [], "scenes: must not be empty"),
        (f"{FIRST}.scenes", ["field", "field"], "names the same twice"),
        (f"{FIRST}.items", -1, "items: must be at least 1"),
        (f"{FIRST}.crop", [-5, 10], r"crop\[0\]: must be at least 1"),
        (f"{FIRST}.split", {"by": "parts"}, "`by: parts` and patterns"),
        (f"{FIRST}.split", {"parts": {"test": ["*"]}}, "`by: parts` and patterns"),
        (f"{FIRST}.split", {"by": "parts", "parts": {"tst": ["*"]}}, "did you mean 'test'"),
        (f"{FIRST}.split.fractions", [2, 0, 0], "must be at most 1"),
        (f"{FIRST}.split.fractions", [0.5, 0.1, 0.1], "sum to 1"),
        (f"{FIRST}.split", {"by": "block", "block": 16, "buffer": 8}, "first: split: buffer: must be below half"),
        (f"{FIRST}.models_from", "first", "must name another case"),
        ("denoising.cases.second.models_from", "frist", "did you mean 'first'"),
        ("denoising.cases.second.models_from", None, "network must be trained"),
        (f"{FIRST}.variants", [], "variants: must not be empty"),
        (f"{FIRST}.bands.count", -4, "bands.count: must be at least 1"),
        (f"{FIRST}.bands.count", "many", "bands.count: must be a whole number"),
        (f"{FIRST}.bands", {"strategy": "list", "bands": [3, -1]}, r"bands.bands\[1\]: must be at least 0"),
        ("denoising.variants.network.epochs", -1, "variants.network: epochs: must be at least 1"),
        ("denoising.variants.network", {"method": "qrnn3d", "step_epochs": [9, 3]}, "step_epochs: must rise"),
        ("denoising.variants.svd.rank", -3, "variants.svd: rank: must be at least 1"),
        # what jobs need
        (f"{NETWORK}.resources", {"trian": {"gpu": 2}}, "unknown step of `resources` 'trian'; did you mean 'train'"),
        (f"{NETWORK}.resources", {"train": {"gpus": 2}}, "resources.train` 'gpus'; did you mean 'gpu'"),
        (f"{NETWORK}.resources", {"train": {"gpu": -1}}, "resources.train.gpu: must be at least 0"),
        (f"{NETWORK}.resources", {"train": {"gpu": "two"}}, "must be a whole number"),
        (f"{NETWORK}.resources", {"train": {"gpu": 2, "vram_mb": 100}}, "a share is of one GPU"),
        (f"{NETWORK}.resources", {"run": {"gpu": 2}}, "a model is applied on one GPU"),
        (NETWORK, {"method": "qrnn3d", "batch_size": 15, "resources": {"train": {"gpu": 2}}}, "set batch_size to 16"),
        ("denoising.variants.svd.resources", {"train": {"gpu": 2}}, "'svd' is not divided and runs on one GPU"),
        ("denoising.variants", {}, "cases but no variants"),
        ("denoising.variants", None, "cases but no variants"),
        ("denoising.cases", {}, "a study needs a case"),
        ("tables.all.metrics", [], "a table needs columns"),
        ("tables.all.metrics", ["mpsnrr"], "did you mean 'mpsnr'"),
        ("tables.all.published.columns", {"psnr": {"sdv": 30}}, "did you mean 'svd'"),
        ("tables.all.published.others", ["svd"], "'svd' is a variant that is run here"),
        ("figures.bars.kind", "bar", "did you mean 'bars'"),
        # claims
        ("claims.0.task", "denoisin", r"claims\[0\]: unknown task 'denoisin'; did you mean 'denoising'"),
        ("claims.0.case", "frist", "unknown case 'frist'; did you mean 'first'"),
        ("claims.0.better", "sdv", "unknown variant 'sdv'; did you mean 'svd'"),
        ("claims.0.than", ["nosy"], "did you mean 'noisy'"),
        ("claims.0.than", [], "a comparison has two sides"),
        ("claims.0.case", "second", "'svd' runs on none of its cases"),
        ("claims.0.metric", "mpsn", "did you mean 'mpsnr'"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(key, value, message):
    with pytest.raises(UserError, match=message) as raised:
        load_paper(changed((key, value)), file="study.yaml")
    assert str(raised.value).startswith("study.yaml: ")
    assert "\n" not in str(raised.value)


def test_simulate_settings_are_those_of_the_simulator():
    """As the workflow hands them over: the defaults agree, and a small scene comes out."""
    plain = dataclasses.asdict(SimulateSettings())
    parameters = inspect.signature(simulate_scene).parameters
    assert plain == {name: parameters[name].default for name in plain}
    pytest.importorskip("prosail")
    item = next(simulate_scene(**dataclasses.asdict(SimulateSettings(rows=8, cols=9, snr_db=30, psf_fwhm_pixels=1.5))))
    assert item.cube.shape[1:] == (8, 9)


def test_reading_a_config_imports_nothing_heavy():
    code = (
        "import sys; from hsipipe.config.load import load_paper, read_config;"
        "load_paper(read_config(sys.argv[1]));"
        "print([name for name in ('torch', 'hsipipe.scenes.simulate', 'rasterio', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "config/config.yaml")], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_an_encoder_is_trained_where_it_is_needed_and_never_run():
    study = changed(
        ("denoising.variants.pretrained", {"method": "mae", "preset": "tiny"}),
        ("denoising.variants.net", {"method": "vit", "preset": "tiny", "encoder": "pretrained"}),
        ("denoising.variants.bare", {"method": "vit", "preset": "tiny", "encoder": "none"}),
    )
    paper = load_paper(study)
    assert "pretrained" not in {run.variant for run in paper.runs()}
    assert [(run.variant, run.seed) for run in paper.encoder_runs()] == [("pretrained", seed) for seed in paper.seeds]
    run = paper.encoder_runs()[0]
    start = paper.start_of("denoising", run.case, paper.variant("denoising", "net"), run.seed)
    assert start == f"results/denoising/{run.case}/pretrained/seed{run.seed}/model.pt"
    assert paper.start_of("denoising", run.case, paper.variant("denoising", "bare"), run.seed) is None


def test_an_encoder_must_exist_and_fit():
    net = ("denoising.variants.net", {"method": "vit", "preset": "tiny", "encoder": "absent"})
    with pytest.raises(UserError, match=r"names no variant of method 'mae'.*found absent"):
        load_paper(changed(net))
    mae = ("denoising.variants.absent", {"method": "mae", "preset": "small"})
    with pytest.raises(UserError, match="differs from its encoder 'absent' in preset"):
        load_paper(changed(net, mae))
    with pytest.raises(UserError, match="is an encoder"):
        load_paper(
            changed(
                ("denoising.variants.mae", {"method": "mae"}),
                ("claims.0.better", "mae"),
            )
        )


def test_a_claim_needs_a_size_that_exists():
    with pytest.raises(UserError, match=r"claims\[0\].needs: unknown size 'papr'; did you mean 'paper'"):
        load_paper(changed(("claims.0.needs", "papr"), ("sizes", {"demo": None, "paper": {}})))


def test_a_size_replaces_and_completes():
    study = changed(
        ("sizes", {"small": {}, "large": {"seeds": [5], "tables": {"all": {"metrics": ["sam"]}}}}), ("size", "large")
    )
    del study["tables"]["all"]["metrics"]
    paper = load_paper(study)
    assert (paper.size, paper.seeds, paper.tables["all"].metrics) == ("large", [5], ["sam"])
    with pytest.raises(UserError, match="a table needs columns"):
        load_paper({**study, "size": "small"})
    with pytest.raises(UserError, match="unknown size 'larg'; did you mean 'large'"):
        load_paper({**study, "size": "larg"})


def test_empty_sections_are_absent_ones():
    paper = load_paper(changed(("tables", None), ("figures", None), ("claims", None), ("sizes", None), ("seeds", None)))
    assert (paper.tables, paper.figures, paper.claims, paper.seeds) == ({}, {}, [], [0])


def test_one_scene_name_has_one_definition():
    here = load_paper(STUDY)
    assert "scenes/field" in definitions(here)
    other = load_paper(
        changed(
            ("paper", "other"),
            ("scenes.field.simulate.seed", 9),
            ("denoising.cases", {"third": {"scenes": ["field"], "noise": "hyspecnet", "variants": ["noisy"]}}),
            ("tables", None),
            ("figures", None),
            ("claims", None),
        )
    )
    with pytest.raises(UserError, match="scenes/field is defined otherwise in a"):
        check_definitions([("a", here), ("b", other)])
    check_definitions([("a", here), ("b", load_paper(changed(("scenes.field.simulate.seed", 0))))])


def test_own_scene_of_one_paper_and_a_catalogued_one_of_another_differ():
    own = load_paper(STUDY)
    study = changed(
        ("tables", None),
        ("figures", None),
        ("claims", None),
        ("denoising.cases", {"third": {"scenes": ["field"], "noise": "hyspecnet", "variants": ["noisy"]}}),
    )
    del study["scenes"]
    with pytest.raises(UserError, match="scenes/field"):
        check_definitions([("a", own), ("b", load_paper(study))])


def test_own_scenes_keep_off_the_names_of_the_catalogue():
    paper = load_paper(STUDY)
    paper.check_scenes(["elsewhere"])
    paper.check_scene("elsewhere", ["elsewhere"])
    for check in (lambda: paper.check_scene("field", ["field"]), lambda: paper.check_scenes(iter(["field", "x"]))):
        with pytest.raises(UserError, match=r"scenes.field: scene 'field' is of the catalogue"):
            check()
    with pytest.raises(UserError, match="did you mean 'field'"):
        paper.check_scene("feild", ["elsewhere"])


def test_the_papers_of_this_repository_are_right_and_share_their_names():
    papers = load_papers(ROOT / "config")
    assert len(papers) >= 3
    check_definitions(papers)


def test_a_config_may_be_json(tmp_path):
    given = {
        "paper": "p",
        "fusion": {
            "cases": {"c": {"scenes": ["pavia-centre"], "ratio": 4}},
            "variants": {"network": {"method": "spectramorph", "max_lr": 1e-2}},
        },
    }
    (tmp_path / "study.json").write_text(json.dumps(given, indent=2))
    paper = load_paper(read_config(tmp_path / "study.json"))
    assert paper.case("fusion", "c").ratio == 4
    assert paper.variant("fusion", "network").settings["max_lr"] == 0.01


def test_a_file_that_is_no_config(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_config(tmp_path / "none.yaml")
    for text, message in (("- a", "must be a mapping"), ("a: [", "is not valid YAML")):
        (tmp_path / "wrong.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            read_config(tmp_path / "wrong.yaml")
