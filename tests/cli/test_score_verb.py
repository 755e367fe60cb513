import csv
import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hsipipe.cli import main
from hsipipe.degrade.pair import peer_normalise
from hsipipe.metrics.fusion import FUSION_METRICS
from hsipipe.metrics.spectral import sam_degrees
from hsipipe.metrics.spectramorph import SPECTRAMORPH_METRICS, score_as_published
from hsipipe.scenes.readers import read_image
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


def test_peer_scales_the_truth_by_percentiles_and_takes_the_prediction_as_it_is(files, capsys):
    scaled = peer_normalise(files.transpose(2, 0, 1).astype(np.float32))[0]
    np.save("prediction.npy", (scaled + np.float32(0.01)).transpose(1, 2, 0))
    told = score(capsys, "--peer")
    assert list(told) == [*FUSION_METRICS, *SPECTRAMORPH_METRICS]
    for name, value, _ in score_as_published(scaled, scaled + np.float32(0.01), ratio=4):
        assert told[name] == pytest.approx(value, rel=1e-5), name
    # 0.01 of 1 everywhere, in all scores.
    assert (told["rmse"], told["psnr"]) == pytest.approx((0.01, 40), rel=1e-4)


@pytest.mark.usefixtures("files")
def test_peer_tells_of_a_prediction_in_other_units(capsys):
    assert main(["score", "fusion", "--truth", "truth.npy", "--prediction", "prediction.npy", "--peer"]) == 0
    assert "are not in the [0, 1] of a pair made by `degrade --peer`" in capsys.readouterr().err


def test_with_peer_a_pixel_of_zeros_has_a_value(files, capsys):
    truth = files.copy()
    truth[3, 4] = 1  # below the 1st percentile in all bands
    np.save("truth.npy", truth)
    np.save("prediction.npy", peer_normalise(truth.astype(np.float32).transpose(2, 0, 1))[0].transpose(1, 2, 0))
    assert score(capsys, "--peer")["rmse"] == 0


SIZE = (33, 30)  # no multiples of 4
DEAD = [3, 9]


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """A smooth scene.tif of 12 bands, two of them dead: scaled to 0..8000."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(2)
    maps = gaussian_filter(generator.random((3, *SIZE)), (0, 3, 3))
    spectra = 0.2 + generator.random((12, 3))
    cube = np.tensordot(spectra, maps, axes=1)
    cube = (8000 * cube / cube.max()).astype(np.float32)
    cube[DEAD] = 0
    write_image("scene.tif", Item(cube, name="scene", wavelength_nm=np.linspace(420, 950, 12)))
    return cube


def round_trip(capsys, *how, degrade=(), prediction="fine.tif"):
    """The scores of the pair's fusion, and what `score` told besides."""
    assert main(["degrade", "scene.tif", "hsi.tif", "msi.tif", *degrade]) == 0
    assert main(["fuse", "hsi.tif", "msi.tif", prediction, "--method", "ridge", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["score", "fusion", "--truth", "scene.tif", "--prediction", prediction, "--json", *how]) == 0
    output = capsys.readouterr()
    return json.loads(output.out), output.err


PAIR = ["--psf", "gaussian:sigma=1,size=5", "--srf", "4", "--ratio", "4"]


@pytest.mark.parametrize("prediction", ["fine.tif", "fine.npy"])
def test_a_degraded_and_fused_scene_is_scored(scene, capsys, prediction):
    told, error = round_trip(capsys, "--ratio", "4", degrade=PAIR, prediction=prediction)
    assert "scene.tif: cropped from 33 x 30 to 32 x 28 pixels" in error
    assert f"{prediction}: has 10 of the truth's 12 bands, the truth's others are bad" in error
    truth = np.delete(scene, DEAD, axis=0)[:, :32, :28] / scene[:, :32, :28].max()
    found = read_image(prediction).cube / scene[:, :32, :28].max()
    assert told["rmse"] == pytest.approx(np.sqrt(np.mean((truth - found) ** 2)), rel=1e-4)
    assert told["psnr"] > 30


def test_valid_pixels_of_blocks_without_data_do_not_count(scene, capsys):
    valid = np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])) > 5  # the first block has 1 valid pixel, others more
    cube = np.where(valid, scene, -999).astype(np.float32)
    item = Item(cube, valid=valid, wavelength_nm=np.linspace(420, 950, 12), source={"nodata": -999.0})
    write_image("scene.tif", item)
    told, error = round_trip(capsys, "--ratio", "4", degrade=PAIR)
    assert "1 valid pixels of the truth are not scored" in error
    assert told["psnr"] > 20
    # A pixel that is lacking elsewhere is still an error.
    fine = read_image("fine.tif")
    fine.cube[:, 20, 20] = np.nan
    write_image("fine.tif", Item(fine.cube))
    assert main(["score", "fusion", "--truth", "scene.tif", "--prediction", "fine.tif"]) == 2
    assert "has no value (nodata, NaN, infinite or all zero) at 1 of" in capsys.readouterr().err


@pytest.mark.usefixtures("scene")
def test_a_pair_in_the_papers_units_is_scored_in_them(capsys):
    told, _ = round_trip(
        capsys, "--peer", degrade=["--peer", "--psf", "gaussian:sigma=1,size=5", "--snr-hsi", "inf", "--snr-msi", "inf"]
    )
    assert told["psnr"] > 20
    assert told["spectramorph_rmse"] == pytest.approx(told["rmse"], rel=1e-4)


def test_bands_are_found_by_their_wavelengths(scene, capsys):
    chosen = [0, 1, 2, 5, 11]
    wavelength_nm = np.linspace(420, 950, 12)[chosen]
    arguments = ["score", "fusion", "--truth", "scene.tif", "--prediction", "some.tif", "--json"]
    write_image("some.tif", Item(scene[chosen], wavelength_nm=wavelength_nm + 0.4))
    assert main(arguments) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["rmse"] == 0
    assert "5 good bands of the truth are not scored" in output.err
    write_image("some.tif", Item(scene[chosen], wavelength_nm=wavelength_nm + 0.6))
    assert main(arguments) == 2
    # As many as there are good bands, but of other wavelengths.
    write_image("some.tif", Item(scene[:10] + 1, wavelength_nm=np.linspace(500, 900, 10)))
    assert main(arguments) == 2
    assert "has (10, 33, 30) (bands, rows, cols), the truth has (12, 33, 30)" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(32, 30), (28, 28), (32, 27)])
def test_a_size_that_no_crop_to_blocks_has_is_refused(scene, capsys, size):
    write_image("cut.tif", Item(scene[:, : size[0], : size[1]]))
    assert main(["score", "fusion", "--truth", "scene.tif", "--prediction", "cut.tif"]) == 2
    assert "or name the --ratio" in capsys.readouterr().err


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
        ("fushion", [], "did you mean 'fusion'?"),
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
