import csv
import json

import numpy as np
import pytest

from hsipipe.cli import main
from hsipipe.metrics.fusion import FUSION_METRICS
from hsipipe.metrics.spectral import sam_degrees
from hsipipe.metrics.spectramorph import SPECTRAMORPH_METRICS, score_as_published
from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers import write_image


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A truth of integers up to 8000 and a prediction that is 80 too high: (rows, cols, bands)."""
    monkeypatch.chdir(tmp_path)
    truth = np.random.default_rng(0).integers(500, 8000, (30, 28, 6)).astype(np.int16)
    truth[4, 4, 2] = 8000
    np.save("truth.npy", truth)
    np.save("prediction.npy", (truth + 80).astype(np.float32))
    return truth


def score(capsys, *arguments, task="fusion"):
    assert main(["score", task, "--truth", "truth.npy", "--prediction", "prediction.npy", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_factor_scales_both_cubes(files, capsys):
    told = score(capsys)
    assert list(told) == list(FUSION_METRICS)
    # 80 of 8000 everywhere: 40 dB.
    assert told["rmse"] == pytest.approx(0.01, rel=1e-5)
    assert [told["psnr"], told["mpsnr"], told["inner_psnr"]] == pytest.approx([40] * 3, abs=1e-4)
    truth = files.transpose(2, 0, 1).astype(np.float64)
    assert told["sam"] == pytest.approx(sam_degrees(truth, truth + 80), rel=1e-5)
    relative = (80 / truth.mean((1, 2))) ** 2
    assert told["ergas"] == pytest.approx(25 * np.sqrt(relative.mean()), rel=1e-5)
    assert score(capsys, "--ratio", "8")["ergas"] == pytest.approx(told["ergas"] / 2)


def test_the_border_is_the_ratio_unless_told(files, capsys):
    prediction = files.astype(np.float32)
    prediction[:5] += 80
    np.save("prediction.npy", prediction)
    for arguments, exact in (([], False), (["--ratio", "5"], True), (["--border", "5"], True)):
        assert (score(capsys, *arguments)["inner_psnr"] > 120) == exact
    assert score(capsys, "--border", "14")["inner_psnr"] is None


@pytest.mark.usefixtures("files")
def test_the_ratio_that_is_assumed_is_told(capsys):
    assert main(["score", "fusion", "--truth", "truth.npy", "--prediction", "prediction.npy"]) == 0
    output = capsys.readouterr()
    assert "ERGAS is for ratio 4; say --ratio" in output.err
    assert "  psnr  40 dB\n" in output.out
    assert main(["score", "fusion", "--truth", "truth.npy", "--prediction", "prediction.npy", "--ratio", "4"]) == 0
    assert capsys.readouterr() == (output.out, "")


def test_the_papers_scores_are_added(files, capsys):
    told = score(capsys, "--peer")
    assert list(told) == [*FUSION_METRICS, *SPECTRAMORPH_METRICS]
    truth = (files.transpose(2, 0, 1) / np.float32(8000)).astype(np.float32)
    prediction = ((files.transpose(2, 0, 1) + np.float32(80)) / np.float32(8000)).astype(np.float32)
    for name, value, _ in score_as_published(truth, prediction, ratio=4):
        assert told[name] == pytest.approx(value, rel=1e-5), name


def test_bad_bands_and_invalid_pixels_do_not_count(files, capsys):
    cube = files.transpose(2, 0, 1).copy()
    cube[3] = -999
    cube[:, :3, :3] = -999
    valid = np.ones((30, 28), bool)
    valid[:3, :3] = False
    item = Item(cube, name="t", valid=valid, good_bands=np.arange(6) != 3, source={"nodata": -999.0, "dtype": "int16"})
    write_image("truth.tif", item)
    prediction = files.transpose(2, 0, 1).astype(np.float32) + 80
    prediction[3], prediction[:, :3, :3] = 3e4, 2e4
    write_image("prediction.tif", Item(prediction, name="p"))
    arguments = ["score", "fusion", "--truth", "truth.tif", "--prediction", "prediction.tif"]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["psnr"] == pytest.approx(40, abs=1e-4)
    assert main([*arguments, "--peer"]) == 2
    assert "--peer: the paper's scores cannot leave pixels out (found 9 pixels without data)" in capsys.readouterr().err


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("task", ["fusion", "denoising"])
def test_scores_are_written_as_a_tidy_table(capsys, task):
    told = score(capsys, "--csv", "new/scores.csv", task=task)
    with open("new/scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"]: float(row["value"]) for row in rows} == pytest.approx(told, rel=1e-8)
    assert {(row["task"], row["scene"], row["variant"]) for row in rows} == {(task, "truth", "prediction")}
    assert {row["unit"] for row in rows} == {"", "dB", "°"}


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        ("denoising", ["--ratio", "4"], "--ratio: is for fusion only"),
        ("denoising", ["--peer"], "--peer: is for fusion only"),
        ("denoising", ["--border", "0"], "--border: is for fusion only"),
        ("fusion", ["--ratio", "0"], "--ratio: must be at least 1 (found 0)"),
        ("fusion", ["--border", "-1"], "--border: must be at least 0 (found -1)"),
        ("fusion", ["--csv", "truth.npy"], "truth.npy: would overwrite its own input"),
        ("fusion", ["--csv", "."], "is a folder"),
        ("fusion", ["--prediction", "negative.npy", "--truth", "negative.npy"], "no positive value to scale by"),
        ("fusion", ["--prediction", "cut.npy"], "cut.npy: has (6, 30, 27) (bands, rows, cols)"),
        ("fusion", ["--prediction", "hole.npy"], "at 1 of the truth's 840 valid pixels"),
        ("fushion", [], "invalid choice"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(files, capsys, task, arguments, message):
    np.save("negative.npy", -files)
    np.save("cut.npy", files[:, 1:])
    hole = files.astype(np.float32)
    hole[2, 3, 4] = np.nan
    np.save("hole.npy", hole)
    given = ["--truth", "truth.npy", "--prediction", "prediction.npy", *arguments]
    assert main(["score", task, *given]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("INFO")]
    assert len(lines) == 1
    assert message in lines[0]
    np.testing.assert_array_equal(np.load("truth.npy"), files)
