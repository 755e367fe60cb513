"""Numbers and files are walked back to what made them; what is not as it was recorded is told."""

import json
from pathlib import Path

import pytest

from hsipipe.cli import main
from hsipipe.errors import UserError
from hsipipe.provenance.explain import explain

CASE = "results/denoising/c"
TABLE = "results/papers/p/tables/t.csv"
pytestmark = pytest.mark.usefixtures("study")


def nodes(tree):
    yield tree
    for child in tree.children:
        yield from nodes(child)


def node_of(explanation, title):
    return next(node for node in nodes(explanation.tree) if node.title == title)


def test_a_number_is_recomputed_and_walked_back_to_scenes():
    found = explain(TABLE, variant="net", metric="mpsnr")
    assert found.problems == []
    # Runs score 20.5 and 24: their mean and the standard deviation of a sample.
    assert found.tree.title == "mpsnr of net on c: 22.25 ± 2.47487 dB"
    assert "agrees" in found.tree.facts["recomputed"]
    assert [child.title for child in found.tree.children[:2]] == ["seed 0: 20.5 dB", "seed 1: 24 dB"]
    titles = {node.title for node in nodes(found.tree)}
    assert {f"{CASE}/net/seed1/model.pt", f"{CASE}/split.csv", f"{CASE}/bands.csv", "results/scenes/field.h5"} <= titles
    record = node_of(found, f"{CASE}/net/seed0/run.json")
    assert record.facts["device"] == "cpu"
    assert record.facts["versions"]["numpy"] == "2"
    scene = node_of(found, "results/scenes/field.h5")
    assert scene.facts["settings"] == {"items": 2}
    assert scene.facts["sources"] == [{"path": "simulated", "sha256": "5" * 64}] * 2
    model = node_of(found, f"{CASE}/net/seed0/model.pt")
    assert model.facts["code"].startswith("code-of-train_method, hsipipe ")
    assert model.state == "as recorded"


def test_what_is_read_by_two_steps_is_told_once():
    found = explain(TABLE, variant="net", metric="mpsnr")
    scenes = [node for node in nodes(found.tree) if node.title == "results/scenes/field.h5"]
    assert len(scenes) > 2
    assert sum(bool(node.facts) for node in scenes) == 1


@pytest.mark.parametrize("suffix", [".md", ".html", ".tex"])
def test_all_forms_of_a_table_lead_to_the_same_number(suffix):
    found = explain(Path(TABLE).with_suffix(suffix), variant="noisy", metric="mpsnr")
    assert found.tree.title == "mpsnr of noisy on c: 11 dB"
    assert found.problems == []


def test_a_metric_over_many_units_and_a_cost_are_recomputed():
    assert explain(TABLE, variant="net", metric="peer_psnr").problems == []
    cost = explain(TABLE, variant="net", metric="seconds_per_item")
    assert cost.tree.title == "seconds_per_item of net on c: 1"
    assert [child.title for child in cost.tree.children[:2]] == ["seed 0: 0.5", "seed 1: 1.5"]
    assert cost.problems == []


def test_a_published_number_has_its_source():
    found = explain(TABLE, variant="net", metric="published: paper")
    assert found.tree.title == "published: paper of net: 25.5"
    assert found.tree.facts["published"] == "Table 1"


def test_a_number_that_does_not_follow_from_the_scores_is_told():
    table = Path(TABLE)
    table.write_text(table.read_text().replace("22.25", "23.25"))
    found = explain(TABLE, variant="net", metric="mpsnr")
    assert "DOES NOT AGREE" in found.tree.facts["recomputed"]
    assert [problem.partition(":")[0] for problem in found.problems] == [TABLE, TABLE]  # the number, and the file
    assert any("23.25 ± 2.47487 is printed, the runs give 22.25 ± 2.47487" in problem for problem in found.problems)
    assert "23.25" in "".join(explain(TABLE).problems)


def test_joined_scores_that_are_not_those_of_the_run_are_told():
    scores = Path(f"{CASE}/net/seed0/scores.csv")
    scores.write_text(scores.read_text().replace("mpsnr,20,", "mpsnr,30,"))
    problems = explain(TABLE, variant="net", metric="mpsnr").problems
    assert any("mpsnr is 25.5, the joined scores have 20.5" in problem for problem in problems)
    assert f"{scores}: was changed after it was made" in problems


@pytest.mark.parametrize(
    "path", [f"{CASE}/case.h5", "results/scenes/field.h5", f"{CASE}/net/seed0/model.pt", f"{CASE}/split.csv"]
)
def test_a_changed_file_on_the_way_is_told(path):
    with open(path, "ab") as file:
        file.write(b" ")
    found = explain(TABLE, variant="net", metric="mpsnr")
    assert f"{path}: was changed after it was made" in found.problems
    assert node_of(found, path).state.startswith("CHANGED")


def test_a_missing_file_is_told():
    Path(f"{CASE}/net/seed0/model.pt").unlink()
    found = explain(TABLE, variant="net", metric="mpsnr")
    assert found.problems == [f"{CASE}/net/seed0/model.pt: is missing"]


def test_a_file_made_again_after_it_was_read_is_told(remake_scene):
    remake_scene(level=7.0)
    problems = explain(TABLE, variant="net", metric="mpsnr").problems
    assert set(problems) == {"results/scenes/field.h5: was made again after it was read"}


@pytest.mark.parametrize(
    "result",
    [
        f"{CASE}/net/seed1",
        f"{CASE}/net/seed1/run.json",
        f"{CASE}/net/seed1/model.pt",
        f"{CASE}/net/seed1/scores.csv",
        f"{CASE}/case.h5",
        "results/scenes/field.h5",
        "results/papers/p/scores.csv",
        TABLE,
    ],
)
def test_any_result_can_be_explained(result):
    found = explain(result)
    assert found.problems == []
    assert any(node.title == "results/scenes/field.h5" for node in nodes(found.tree))


@pytest.mark.parametrize("scores", ["results/papers/p/scores.csv", f"{CASE}/net/seed1/scores.csv"])
def test_a_number_of_scores(scores):
    found = explain(scores, variant="net", metric="mpsnr")
    assert found.problems == []
    assert found.tree.children[1 if "papers" in scores else 0].title == "seed 1: 24 dB"


def test_results_without_records_are_told_as_such():
    for record in Path("results").rglob(".steps/*.json"):
        record.unlink()
    found = explain(TABLE, variant="net", metric="mpsnr")
    assert found.tree.title.startswith("mpsnr of net on c: 22.25")
    assert f"{CASE}/net/seed0/scores.csv: has no record of how it was made" in found.problems
    assert node_of(found, f"{CASE}/net/seed0/scores.csv").state == "no record of how it was made"
    with pytest.raises(UserError, match=r"has no record of how it was made; remove it and run its paper again"):
        explain(TABLE)


def test_a_result_on_the_way_that_lost_its_record_is_told():
    next(Path(f"{CASE}/net/seed0/.steps").glob("train_method-*")).unlink()
    found = explain(TABLE, variant="net", metric="mpsnr")
    assert found.problems == [f"{CASE}/net/seed0/model.pt: has no record of how it was made"]


def test_files_of_a_download_are_compared_with_its_list(study, download):
    found = explain(download)
    assert found.problems == []
    assert node_of(found, "downloads/city/a.mat").state == "as recorded"
    (study / "downloads/city/a.mat").write_text("other")
    assert explain(download).problems == ["downloads/city/a.mat: was changed after it was fetched"]
    (study / "downloads/city/a.mat").unlink()
    assert explain(download).problems == ["downloads/city/a.mat: is missing"]


def test_from_another_folder(study, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert explain(f"study/{TABLE}:net:mpsnr").tree.title.startswith("mpsnr of net on c: 22.25")
    monkeypatch.chdir(study / "results/papers/p/tables")
    assert explain("t.csv:noisy:mpsnr").problems == []


def test_the_verb_prints_a_tree_or_json(capsys):
    assert main(["explain", TABLE, "--variant", "net", "--metric", "mpsnr", "--case", "c"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("mpsnr of net on c: 22.25 ± 2.47487 dB\n")
    assert "└── " in text
    Path(f"{CASE}/case.h5").write_bytes(b"x")
    assert main(["explain", f"{TABLE}:net:mpsnr", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["tree"]["title"].startswith("mpsnr of net")
    assert any("case.h5" in problem for problem in told["problems"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([f"{TABLE}:nett:mpsnr"], "did you mean 'net'"),
        ([f"{TABLE}:net:mpsrn"], "did you mean 'mpsnr'"),
        ([TABLE, "--variant", "net", "--metric", "mpsnr", "--case", "d"], "unknown case 'd'"),
        ([TABLE, "--metric", "mpsnr"], "needs its row"),
        ([TABLE, "--variant", "net"], "choose by --metric: mpsnr, peer_psnr, seconds_per_item"),
        ([f"{CASE}/case.h5", "--variant", "net", "--metric", "mpsnr"], "has no numbers"),
        (["results/none.csv"], "does not exist"),
        ([TABLE.replace("t.csv", "tt.csv")], "tables/t.csv?"),
        ([CASE], "is no folder of a run"),
        (["/dev/null"], "lies in no folder `results`"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, message):
    assert main(["explain", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error:")
    assert message in line


def test_a_damaged_record_is_an_error():
    record = Path(f"{CASE}/.steps/split_case-split.json")
    record.write_text(record.read_text()[:50])
    with pytest.raises(UserError, match=r"is not the whole record of a step.*delete it"):
        explain(f"{CASE}/split.csv")
