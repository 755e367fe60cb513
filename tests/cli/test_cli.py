import json

import numpy as np
import pytest
import rasterio

from hsipipe.cli import main


def landscape(bands=20, rows=40, cols=36, seed=0):
    """A smooth cube of rank three in [0, 1]: (rows, cols, bands)."""
    generator = np.random.default_rng(seed)
    row, col = np.mgrid[:rows, :cols]
    maps = [np.sin(row / 9 + phase) * np.cos(col / 7 - phase) for phase in generator.uniform(0, 3, 3)]
    spectra = generator.random((3, bands))
    cube = np.einsum("krc,kb->rcb", np.stack(maps), spectra)
    return ((cube - cube.min()) / np.ptp(cube)).astype(np.float32)


@pytest.fixture
def clean(tmp_path):
    np.save(tmp_path / "clean.npy", landscape())
    return tmp_path / "clean.npy"


def run_json(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_info_tells_what_is_promised(clean, capsys):
    told = run_json(capsys, "info", clean, "--json")
    for key in ("rows", "cols", "bands", "dtype", "layout", "wavelength_nm", "nodata", "bad_bands", "labels"):
        assert key in told
    assert (told["rows"], told["cols"], told["bands"]) == (40, 36, 20)


def test_degrade_denoise_score(clean, tmp_path, capsys):
    noisy, result = tmp_path / "noisy.npy", tmp_path / "result.npy"
    assert main(["degrade", str(clean), str(noisy), "--noise", "gaussian:sigma=0.1", "--seed", "1"]) == 0
    before = run_json(capsys, "score", "denoising", "--truth", clean, "--prediction", noisy, "--json")
    # Each band spans [0, 1] after scaling, so the noise is 0.1: 20 dB.
    assert before["psnr"] == pytest.approx(20, abs=0.2)
    assert main(["denoise", str(noisy), str(result), "--method", "svd", "--quiet"]) == 0
    after = run_json(capsys, "score", "denoising", "--truth", clean, "--prediction", result, "--json")
    assert after["mpsnr"] > before["mpsnr"] + 5
    assert np.load(result).shape == np.load(clean).shape
    assert np.load(result).dtype == np.float32


def test_degrade_repeats(clean, tmp_path):
    for name in ("a", "b"):
        assert main(["degrade", str(clean), str(tmp_path / f"{name}.npy"), "--noise", "hyspecnet"]) == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_denoising_a_geotiff_keeps_everything_else(tmp_path):
    cube = (landscape(bands=8).transpose(2, 0, 1) * 8000 + 500).astype(np.int16)
    cube[:, :4, :5] = -9999
    cube[3] = -9999
    transform = rasterio.Affine(30, 0, 366015, 0, -30, 5809965)
    profile = {"count": 8, "height": 40, "width": 36, "dtype": "int16", "nodata": -9999, "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "in.tif", "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(cube)
        for band in range(8):
            file.update_tags(band + 1, wavelength=str(500 + 10 * band), wavelength_units="Nanometers")
    assert main(["denoise", str(tmp_path / "in.tif"), str(tmp_path / "out.tif"), "--method", "svd"]) == 0
    with rasterio.open(tmp_path / "out.tif") as file:
        out = file.read()
        assert file.crs.to_epsg() == 32633
        assert file.transform == transform
        assert file.nodata == -9999
        assert file.dtypes[0] == "int16"
        assert float(file.tags(2)["wavelength"]) == 510
    assert (out[:, :4, :5] == -9999).all()
    assert (out[3] == -9999).all()
    assert out[[0, 7], 10, 10].min() > 0


def test_denoise_several_into_a_folder_and_by_tiles(clean, tmp_path):
    np.save(tmp_path / "second.npy", landscape(seed=1))
    arguments = ["denoise", str(clean), str(tmp_path / "second.npy"), str(tmp_path / "out"), "--method", "svd"]
    assert main([*arguments, "--tile", "24"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clean.npy", "second.npy"]


def test_settings_of_a_method_are_taken(clean, tmp_path):
    for rank in (1, 4):  # the scaling of each band adds an offset, the fourth component
        output = tmp_path / f"{rank}.npy"
        assert main(["denoise", str(clean), str(output), "--method", "svd", "--set", f"rank={rank}"]) == 0
    flat = {rank: np.load(tmp_path / f"{rank}.npy").reshape(-1, 20) for rank in (1, 4)}
    assert np.abs(flat[4] - np.load(clean).reshape(-1, 20)).max() < 1e-3
    assert np.abs(flat[1] - np.load(clean).reshape(-1, 20)).max() > 0.05


def test_methods_lists_name_task_kind_title_parameters(capsys):
    methods = run_json(capsys, "methods", "--json")
    names = {method["name"] for method in methods}
    assert {"noisy", "constant", "svd", "hyres", "forpdn", "wsrrr", "otvca", "fasthyde", "qrnn3d", "oracle"} <= names
    assert all({"name", "task", "kind", "title", "parameters"} <= set(method) for method in methods)


def test_bands(tmp_path, capsys):
    np.save(tmp_path / "c.npy", landscape(bands=30))
    told = run_json(capsys, "bands", tmp_path / "c.npy", "--strategy", "variance", "--count", 5, "--json")
    assert len(set(told["indices"])) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["denoise", "missing.tif", "out.tif"], "missing.tif"),
        (["denoise", "clean.npy", "out.npy", "--method", "hyers"], "did you mean 'hyres'"),
        (["denoise", "clean.npy", "out.npy", "--method", "svd", "--set", "rnk=3"], "did you mean 'rank'"),
        (["denoise", "clean.npy", "out.npy", "--method", "oracle"], "needs the truth"),
        (["denoise", "clean.npy", "out.npy", "--method", "qrnn3d"], "trained model"),
        (["denoise", "clean.npy", "out.npy", "--model", "clean.npy"], "clean.npy"),
        (["denoise", "clean.npy", "clean.npy", "--method", "svd"], "own input"),
        (["denoise", "clean.npy", "clean.npy", "out.npy"], "must be a folder"),
        (["degrade", "clean.npy", "out.npy", "--noise", "hyspecnt"], "did you mean 'hyspecnet'"),
        (["bands", "clean.npy", "--strategy", "unifrm"], "did you mean 'uniform'"),
        (["bands", "clean.npy", "--strategy", "uniform", "--count", "3"], "wavelength"),
        (["score", "denoising", "--truth", "clean.npy", "--prediction", "small.npy"], "same size"),
        (["methods", "--task", "denoise"], "did you mean 'denoising'"),
        (["info", "constant.npy"], "constant.npy"),
        (["info", "flat.npy"], "flat.npy"),
        (["info", "four.npy"], "four.npy"),
        (["info", "nan.npy"], "nan.npy"),
        (["convert", "clean.npy", "out.xyz"], "out.xyz"),
        (["train", "denoising", "no-such-case", "qrnn3d"], "unknown denoising case"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(clean, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", landscape(rows=10))
    np.save("constant.npy", np.ones((5, 6, 7), np.float32))
    np.save("flat.npy", np.ones((50, 6), np.float32))
    np.save("four.npy", np.ones((2, 5, 6, 7), np.float32))
    np.save("nan.npy", np.full((5, 6, 7), np.nan, np.float32))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    if arguments[0] == "train":
        arguments = [*arguments, "--config", "paper.yaml"]
        (tmp_path / "paper.yaml").write_text("paper: p\ndenoising: {cases: {}, variants: {}}\n")
        before["paper.yaml"] = (tmp_path / "paper.yaml").stat().st_mtime_ns
    assert main(arguments) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert clean.exists()


def test_a_bug_of_ours_exits_1(monkeypatch, clean, capsys):
    monkeypatch.setattr("hsipipe.cli.scenes.json.dumps", lambda *_: 1 / 0)
    assert main(["info", str(clean), "--json"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
