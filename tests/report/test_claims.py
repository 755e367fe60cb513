import pandas as pd
import pytest

from hsipipe.report.claims import check_claims, judge
from hsipipe.report.scores import mean_scores


def tidy(**means):
    rows = [
        ("denoising", "c", "s", f"i{item}", variant, 0, "mpsnr", value + item - 0.5, "dB")
        for variant, value in means.items()
        for item in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["task", "case", "scene", "item", "variant", "seed", "metric", "value", "unit"])


def claim(**over):
    base = {"claim": "a beats b", "task": "denoising", "case": "c", "metric": "mpsnr", "better": "a", "than": ["b"]}
    bounds = {"deviations": 0.0, "standard_errors": 0.0, "at_least": None, "at_most": None}
    return {**base, **bounds, "margin": 0.0, "cost": None, "factor": 1.0, "needs": None, **over}


@pytest.mark.parametrize(
    ("over", "verdict"),
    [
        ({}, "reproduced"),
        ({"margin": 3}, "not reproduced"),
        ({"better": "b", "than": ["a"]}, "not reproduced"),
        ({"better": "b", "than": ["a"], "margin": -3}, "reproduced"),
        ({"than": ["b", "missing"]}, "not tested"),
        ({"better": "missing"}, "not tested"),
        ({"better": None}, "not tested"),
        ({"needs": "paper"}, "not tested (demo data)"),
        ({"than": [], "at_least": 30}, "reproduced"),
        ({"than": [], "at_least": 30.1}, "not reproduced"),
        ({"than": [], "at_most": 30}, "reproduced"),
        ({"at_most": 29}, "not reproduced"),
    ],
)
def test_verdicts(over, verdict):
    assert judge(claim(**over), mean_scores(tidy(a=30.0, b=28.0)), {}, size="demo")[0] == verdict


def test_lower_is_better_for_angles():
    frame = tidy(a=3.0, b=9.0).assign(metric="sam")
    assert judge(claim(metric="sam"), mean_scores(frame), {}, size="demo")[0] == "reproduced"


def test_evidence_tells_the_numbers():
    evidence = judge(claim(), mean_scores(tidy(a=30.0, b=28.0)), {}, size="demo")[1]
    assert "30.00" in evidence
    assert "28.00" in evidence


def test_files(tmp_path):
    tidy(a=30.0, b=28.0).to_csv(tmp_path / "scores.csv", index=False)
    check_claims(
        tmp_path / "scores.csv",
        [],
        [claim()],
        paper="p",
        size="demo",
        csv=tmp_path / "c.csv",
        markdown=tmp_path / "c.md",
        html=tmp_path / "c.html",
    )
    frame = pd.read_csv(tmp_path / "c.csv")
    assert list(frame.columns) == ["paper", "task", "claim", "verdict", "evidence"]
    assert frame.verdict[0] == "reproduced"
    assert 'class="reproduced"' in (tmp_path / "c.html").read_text()


@pytest.mark.parametrize(
    ("over", "verdict"),
    [
        ({}, "reproduced"),
        ({"factor": 2.0}, "not reproduced"),
        ({"better": "b", "than": ["a"]}, "not reproduced"),
        ({"than": ["c"]}, "not tested"),
    ],
)
def test_claims_over_costs(over, verdict):
    costs = {("c", "a"): {"training_mb": 100.0}, ("c", "b"): {"training_mb": 150.0}, ("c", "c"): {"training_mb": None}}
    judged = judge(claim(cost="training_mb", **over), mean_scores(tidy(a=1.0)), costs, size="demo")
    assert judged[0] == verdict
    assert "training step in all, float32 [MiB]" in judged[1]


@pytest.mark.parametrize(
    ("over", "verdict"),
    [
        ({"deviations": 0}, "reproduced"),
        ({"deviations": 1.9}, "reproduced"),
        ({"deviations": 2.1}, "not reproduced"),
        ({"standard_errors": 2.8}, "reproduced"),
        ({"standard_errors": 2.9}, "not reproduced"),
    ],
)
def test_better_by_so_much_of_the_spread_over_seeds(over, verdict):
    # means 30 and 28; the larger standard deviation over the two seeds is 1, its standard error 1 / sqrt(2)
    spread = {0: {"a": 30.1, "b": 28 - 0.5**0.5}, 1: {"a": 29.9, "b": 28 + 0.5**0.5}}
    frame = pd.concat([tidy(**means).assign(seed=seed) for seed, means in spread.items()])
    assert judge(claim(**over), mean_scores(frame), {}, size="demo")[0] == verdict


@pytest.mark.parametrize("key", ["deviations", "standard_errors"])
def test_one_seed_has_no_spread(key):
    verdict, evidence = judge(claim(**{key: 1}), mean_scores(tidy(a=30.0, b=28.0)), {}, size="demo")
    assert verdict == "not tested"
    assert "one seed" in evidence
