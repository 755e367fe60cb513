import json

import pandas as pd
import pytest

from hsipipe.report.tables import write_cost_table, write_table

ROWS = [
    # variant, seed, item, value
    ("noisy", 0, "i", 10.0),
    ("net", 0, "i", 20.0),
    ("net", 1, "i", 22.0),
    ("ceiling", 0, "i", 40.0),
]


@pytest.fixture
def table(tmp_path):
    frame = pd.DataFrame(
        [("denoising", "c", "s", item, variant, seed, "mpsnr", value, "dB") for variant, seed, item, value in ROWS],
        columns=["task", "case", "scene", "item", "variant", "seed", "metric", "value", "unit"],
    )
    frame.to_csv(tmp_path / "scores.csv", index=False)
    settings = {
        "title": "T",
        "task": "denoising",
        "cases": ["c"],
        "metrics": ["mpsnr"],
        "costs": [],
        "note": "",
        "published": {"source": "Table 1", "columns": {"paper": {"net": 25.5, "peer": 24.5}}, "others": ["peer"]},
        "rows": {
            "noisy": {"title": "", "kind": "direct"},
            "net": {"title": "", "kind": "trained"},
            "ceiling": {"title": "", "kind": "oracle"},
            "absent": {"title": "", "kind": "direct"},
        },
        "simulated": {"c": True},
    }
    paths = {name: tmp_path / f"t.{name}" for name in ("csv", "markdown", "tex", "html")}
    write_table(tmp_path / "scores.csv", settings, **paths)
    return paths


def test_markdown_shows_spread_best_published_and_simulated(table):
    text = table["markdown"].read_text()
    assert "| net | trained | **21.00 ± 1.41** | 25.5 |" in text
    assert "| noisy | direct | 10.00 | – |" in text
    assert "| ceiling | oracle | 40.00 | – |" in text
    assert "| absent | direct | – | – |" in text
    assert "| peer | published | – | 24.5 |" in text
    assert "simulated" in text
    assert "Table 1" in text


def test_csv_holds_the_numbers(table):
    frame = pd.read_csv(table["csv"]).set_index("variant")
    assert frame.loc["net", "mean"] == 21
    assert frame.loc["net", "seeds"] == 2
    assert frame.loc["net", "published: paper"] == 25.5
    assert frame.loc["peer", "kind"] == "published"
    assert frame.loc["peer", "published: paper"] == 24.5


def test_latex_escapes(table):
    text = table["tex"].read_text()
    assert r"\textbf{21.00 $\pm$ 1.41}" in text
    assert "±" not in text
    assert text.count(r"\\") == 6


def test_html_is_whole(table):
    text = table["html"].read_text()
    assert text.startswith("<!doctype html>")
    assert '<td class="best number">21.00 ± 1.41</td>' in text


def test_costs(tmp_path):
    path = tmp_path / "results" / "denoising" / "c" / "net" / "seed3" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"seconds_per_item": 1.5, "device": "cpu"}))
    write_cost_table([path], tmp_path / "cost.csv")
    row = pd.read_csv(tmp_path / "cost.csv").iloc[0]
    assert (row["case"], row["variant"], row["seed"], row["seconds_per_item"]) == ("c", "net", 3, 1.5)


def test_a_table_of_costs_shows_means_over_seeds_beside_published_numbers(tmp_path):
    paths = []
    for seed, seconds in ((0, 1.0), (1, 2.0)):
        path = tmp_path / "results" / "denoising" / "c" / "net" / f"seed{seed}" / "run.json"
        path.parent.mkdir(parents=True)
        memory = {"parameters": 31_787_338, "weights_bytes": 3 * 2**20}
        path.write_text(json.dumps({"seconds_per_item": seconds, "device": "cpu", "memory": memory}))
        paths.append(path)
    columns = ["task", "case", "scene", "item", "variant", "seed", "metric", "value", "unit"]
    pd.DataFrame([("denoising", "c", "s", "i", "net", 0, "mpsnr", 20.0, "dB")], columns=columns).to_csv(
        tmp_path / "scores.csv", index=False
    )
    settings = {
        "title": "T",
        "task": "denoising",
        "cases": ["c"],
        "metrics": [],
        "costs": ["parameters", "weights_mb", "seconds_per_item", "optimizer_mb"],
        "note": "",
        "published": {"source": "Table 2", "columns": {"paper parameters": {"net": 31_787_338}}},
        "rows": {"net": {"title": "", "kind": "trained"}},
        "simulated": {"c": False},
    }
    outputs = {name: tmp_path / f"t.{name}" for name in ("csv", "markdown", "tex", "html")}
    write_table(tmp_path / "scores.csv", settings, paths, **outputs)
    assert "| net | trained | 31,787,338 | 3.0 | 1.500 | – | 31,787,338 |" in outputs["markdown"].read_text()
    frame = pd.read_csv(outputs["csv"]).set_index("metric")
    assert frame.loc["seconds_per_item", "mean"] == 1.5
    assert "optimizer_mb" not in frame.index
