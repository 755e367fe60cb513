import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from hsipipe.cli import main
from hsipipe.scenes.readers import open_image, read_image
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.scenes.writers import write_image


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


def scene_of_three(path, **options):
    items = [
        Item(landscape(bands=6, rows=16 + number, seed=number).transpose(2, 0, 1), name=name, source={"path": name})
        for number, name in enumerate(("one", "two", "three"))
    ]
    write_scene(path, items, name="three", **options)
    return items


def run_json(capsys, *arguments):
    capsys.readouterr()
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


def test_a_clean_image_is_returned_and_said_to_be_clean(clean, tmp_path, capsys):
    assert main(["denoise", str(clean), str(tmp_path / "out.npy")]) == 0
    assert np.allclose(np.load(tmp_path / "out.npy"), np.load(clean), atol=1e-6)
    assert "next to no noise" in capsys.readouterr().err


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
        (
            ["denoise", "clean.npy", "out.npy", "--model", "m.pt", "--set", "rank=3"],
            "trained model has its method",
        ),
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
        (["denoise", "clean.npy", "out.npy", "--device", "cuda"], "no GPU"),
        (["denoise", "clean.npy", "out.npy", "--device", "foo"], "--device"),
        (["denoise", "clean.npy", "out.npy", "--tile", "0"], "at least 16"),
        (["denoise", "clean.npy", "out.npy", "--set", "rank=[1"], "rank"),
        (["denoise", "clean.npy", "small.npy/out.npy"], "small.npy: is a file, not a folder"),
        (["degrade", "clean.npy", "small.npy/out.npy", "--noise", "hyspecnet"], "small.npy: is a file"),
        (["degrade", "clean.npy", "clean.npy", "--noise", "hyspecnet"], "own input"),
        (["convert", "clean.npy", "small.npy/x/out.tif"], "small.npy: is a file"),
        (["bands", "clean.npy", "--strategy", "variance", "--count", "3", "--figure", "x.foo"], "'.foo'"),
        (["bands", "clean.npy", "--strategy", "variance", "--count", "3", "--output", "small.npy/x.csv"], "is a file"),
        (["denoise", "clean.npy", "small.npy", "small.npy"], "must be a folder"),
        (["denoise", "folder/clean.npy", "clean.npy", "out/"], "both folder/clean.npy and clean.npy"),
        (["denoise", "folder/clean.npy", "clean.npy", "."], "would overwrite the input clean.npy"),
        (["denoise", "e.bil", "e.hdr", "out"], "out/e.hdr: would be written from both e.bil and e.hdr"),
        (["denoise", "e.bil", "e.hdr"], "would overwrite its own input"),
        (["denoise", "clean.npy", "e.raw"], "header beside it that describes another file"),
        (["denoise", "flat.npy", "out.npy"], "--table"),
        (["score", "denoising", "--truth", "flat.npy", "--prediction", "flat.npy"], "--table"),
        (["denoise", "picture.tif", "out.tif"], "picture.tif"),
        (["denoise", "scene.h5", "out.tif"], "found 3: one, two, three); say --key ITEM"),
        (["denoise", "scene.h5", "out.h5", "--key", "twoo"], "did you mean 'two'"),
        (["degrade", "scene.h5", "out.tif", "--noise", "hyspecnet"], "say --key ITEM"),
        (["convert", "scene.h5", "out.tif"], "say --key ITEM"),
        (["info", "scene.h5"], "say --key ITEM"),
        (["denoyse"], "unknown verb 'denoyse'; did you mean 'denoise'?"),
        (["info", "clean.npy", "--jsn"], "unknown option --jsn; did you mean --json?"),
        (["score", "denoisin", "--truth", "clean.npy", "--prediction", "clean.npy"], "did you mean 'denoising'"),
        (["denoise", "clean.npy", "small.npy", "out/", "--method", "svd", "--figure", "a.png"], "--figure: is of one"),
        (["denoise", "clean.npy", "out.npy", "--figure", "a.gif"], "a.gif: unknown figure format '.gif'"),
        (["plot", "clean.npy", "a.gif"], "unknown figure format"),
        (["plot", "clean.npy", "a.png", "--colours", "true"], "clean.npy: --colours: tells no wavelengths"),
        (["plot", "clean.npy", "a.png", "--bands", "1,2"], "one or three bands (found [1, 2]); from 0 to 19"),
        (["plot", "clean.npy", "a.png", "--bands", "red"], "--bands: must be whole numbers"),
        (["plot", "clean.npy", "a.png", "--pixel", "3"], "must be a row and a column (found 3)"),
        (["plot", "clean.npy", "a.png", "--pixel", "40,0"], "outside the image (found (40, 0)); it has 40 x 36"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(clean, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", landscape(rows=10))
    np.save("constant.npy", np.ones((5, 6, 7), np.float32))
    np.save("flat.npy", np.ones((50, 6), np.float32))
    np.save("four.npy", np.ones((2, 5, 6, 7), np.float32))
    np.save("nan.npy", np.full((5, 6, 7), np.nan, np.float32))
    Path("folder").mkdir()
    np.save("folder/clean.npy", landscape(rows=10))
    Path("picture.tif").write_bytes(b"II*\0" + bytes(range(40)))
    scene_of_three("scene.h5")
    write_image("e.bil", Item(landscape(bands=6).transpose(2, 0, 1)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("HSIPIPE_FAKE_GPUS", raising=False)
    monkeypatch.setattr("hsipipe.devices.claim._held", None)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    if arguments[:1] == ["train"]:
        arguments = [*arguments, "--config", "paper.yaml"]
        (tmp_path / "paper.yaml").write_text(
            "paper: p\ndenoising:\n cases: {a: {scenes: [samson], noise: hyspecnet}}\n variants: {svd: {method: svd}}\n"
        )
        before["paper.yaml"] = (tmp_path / "paper.yaml").stat().st_mtime_ns
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error:")
    assert message in lines[0]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert clean.exists()


def test_a_bug_of_ours_exits_1(monkeypatch, clean, capsys):
    monkeypatch.setattr("hsipipe.cli.output.json.dumps", lambda *_, **__: 1 / 0)
    assert main(["info", str(clean), "--json"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_denoise_and_degrade_go_through_all_items_of_a_scene(tmp_path, capsys):
    items = scene_of_three(tmp_path / "in.h5", simulated=True)
    assert (
        main(["denoise", str(tmp_path / "in.h5"), str(tmp_path / "out.h5"), "--method", "svd", "--set", "rank=6"]) == 0
    )
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told] == [
        f"WARNING {name} has 6 bands only" for name in ("one", "two", "three")
    ]
    assert main(["degrade", str(tmp_path / "in.h5"), str(tmp_path / "noisy.h5"), "--noise", "gaussian:sigma=0.1"]) == 0
    assert capsys.readouterr().err == ""
    with Scene(tmp_path / "out.h5") as out, Scene(tmp_path / "noisy.h5") as noisy:
        assert out.items == noisy.items == ["one", "two", "three"]
        assert out.simulated
        assert noisy.simulated
        for item in items:
            np.testing.assert_allclose(out.read(item.name).cube, item.cube, atol=1e-4)
            error = noisy.read(item.name).cube - item.cube
            assert 0.02 < error.std() < 0.11


def test_one_item_of_a_simulated_scene_stays_simulated(tmp_path, capsys):
    scene_of_three(tmp_path / "in.h5", simulated=True)
    arguments = ["denoise", tmp_path / "in.h5", tmp_path / "out.h5", "--method", "svd", "--key", "two"]
    assert main([str(argument) for argument in arguments]) == 0
    with Scene(tmp_path / "out.h5") as scene:
        assert scene.items == ["two"]
        assert scene.simulated
    assert run_json(capsys, "info", tmp_path / "out.h5", "--json")["simulated"] is True
    main(["info", str(tmp_path / "out.h5")])
    assert "simulated  True" in capsys.readouterr().out
    scene_of_three(tmp_path / "real.h5")
    assert run_json(capsys, "info", tmp_path / "real.h5", "--key", "one", "--json")["simulated"] is False


def test_a_trailing_slash_or_an_existing_folder_means_a_folder(clean, tmp_path):
    (tmp_path / "there.v2").mkdir()
    for folder in ("new.d/", "there.v2"):
        assert main(["denoise", str(clean), f"{tmp_path}/{folder}", "--method", "svd"]) == 0
        assert [path.name for path in (tmp_path / folder).iterdir()] == ["clean.npy"]


def test_names_that_cannot_be_written_get_an_extension_that_can(tmp_path):
    cube = landscape(bands=6, rows=16)
    np.savez(tmp_path / "a.npz", data=cube)
    item = Item(cube.transpose(2, 0, 1), name="x")
    write_image(tmp_path / "b.bil", item)
    (tmp_path / "b.bil.gz").write_bytes(gzip.compress((tmp_path / "b.bil").read_bytes()))
    (tmp_path / "b.bil").unlink()
    write_image(tmp_path / "c.bsq", item)
    (tmp_path / "c.bsq").rename(tmp_path / "c_1.2")
    (tmp_path / "c.hdr").rename(tmp_path / "c_1.2.hdr")
    write_image(tmp_path / "d.tif", item)
    (tmp_path / "d.tif").rename(tmp_path / "d")
    inputs = [str(tmp_path / name) for name in ("a.npz", "b.bil.gz", "c_1.2", "d")]
    assert main(["denoise", *inputs, str(tmp_path / "out"), "--method", "svd", "--set", "rank=6"]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.npy", "b.bil", "b.hdr", "c_1.2.bsq", "c_1.2.hdr", "d.tif"]
    for name in ("a.npy", "b.bil", "c_1.2.hdr", "d.tif"):
        np.testing.assert_allclose(read_image(tmp_path / "out" / name).cube, item.cube, atol=1e-4)


def test_each_file_gets_noise_of_its_own(clean, tmp_path):
    np.save(tmp_path / "same.npy", np.load(clean))
    for name in ("clean", "same"):
        output = str(tmp_path / f"noisy-{name}.npy")
        assert main(["degrade", str(tmp_path / f"{name}.npy"), output, "--noise", "gaussian:sigma=0.1"]) == 0
    first, second = (np.load(tmp_path / f"noisy-{name}.npy") - np.load(clean) for name in ("clean", "same"))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("suffix", ["tif", "hdr", "h5", "npy"])
def test_normalised_values_have_neither_scale_nor_nodata(tmp_path, suffix):
    cube = (landscape(bands=6).transpose(2, 0, 1) * 8000 + 500).astype(np.int16)
    cube[:, :4, :5] = -9999
    cube[3] = -9999
    valid = np.ones((40, 36), bool)
    valid[:4, :5] = False
    good = np.arange(6) != 3
    source = {"scale": 1e-4, "nodata": -9999.0, "dtype": "int16"}
    write_image(tmp_path / "in.tif", Item(cube, name="in", valid=valid, good_bands=good, source=source))
    output = tmp_path / f"out.{suffix}"
    noise = ["--noise", "gaussian:sigma=0.01+clip", "--normalised"]
    assert main(["degrade", str(tmp_path / "in.tif"), str(output), *noise]) == 0
    image = open_image(output)
    assert image.scale is None
    assert image.nodata is None or np.isnan(image.nodata)
    item = image.read()
    np.testing.assert_array_equal(item.valid, valid)
    np.testing.assert_array_equal(item.good_bands, good)
    assert np.isnan(item.cube[3]).all()
    assert np.isnan(item.cube[:, ~valid]).all()
    values = item.cube[good][:, valid]
    assert values.min() >= 0
    assert values.max() <= 1
    assert values.std() > 0.1


def test_outputs_are_checked_before_anything_is_read(clean, tmp_path, monkeypatch, capsys):
    def fail(*_arguments, **_options):
        raise AssertionError("was read")

    for module in ("hsipipe.scenes.transform", "hsipipe.scenes.convert"):
        monkeypatch.setattr(f"{module}.read_image", fail)
    wrong = str(tmp_path / "out.xyz")
    for arguments in (["denoise"], ["degrade", "--noise", "hyspecnet"], ["convert"]):
        assert main([arguments[0], str(clean), wrong, *arguments[1:]]) == 2
        assert "unknown output format" in capsys.readouterr().err


def test_a_table_goes_through_every_verb(tmp_path, capsys):
    np.save(tmp_path / "t.npy", landscape(bands=6).reshape(-1, 6))
    table, noisy, back = (str(tmp_path / name) for name in ("t.npy", "n.npy", "b.npy"))
    assert main(["degrade", table, noisy, "--table", "--noise", "gaussian:sigma=0.1"]) == 0
    assert main(["denoise", noisy, back, "--table", "--method", "svd"]) == 0
    assert np.load(back).shape == (1440, 6)
    scores = run_json(capsys, "score", "denoising", "--truth", table, "--prediction", noisy, "--table", "--json")
    assert scores["psnr"] == pytest.approx(20, abs=0.5)
    told = run_json(capsys, "bands", table, "--table", "--strategy", "variance", "--count", 2, "--json")
    assert len(told["indices"]) == 2


def test_score_takes_a_key_of_each_file(tmp_path, capsys):
    truth = landscape(bands=6)
    np.savez(tmp_path / "t.npz", clean=truth, other=truth[::-1] + 1)
    np.savez(tmp_path / "p.npz", guess=truth + np.float32(0.01), other=truth)
    told = run_json(
        capsys,
        *("score", "denoising", "--truth", f"{tmp_path}/t.npz:clean", "--prediction", f"{tmp_path}/p.npz:guess"),
        "--json",
    )
    span = np.ptp(truth, axis=(0, 1))
    assert told["mse"] == pytest.approx(np.mean((0.01 / span) ** 2), rel=1e-3)


@pytest.mark.parametrize("hole", [np.nan, np.inf, 0.0])
def test_score_refuses_pixels_without_a_prediction(clean, tmp_path, capsys, hole):
    prediction = np.load(clean)
    prediction[3, 4:7] = hole
    np.save(tmp_path / "p.npy", prediction)
    assert main(["score", "denoising", "--truth", str(clean), "--prediction", str(tmp_path / "p.npy")]) == 2
    assert "at 3 of the truth's 1,440 valid pixels" in capsys.readouterr().err


def test_score_refuses_a_band_without_a_prediction(clean, tmp_path, capsys):
    cube = np.load(clean).transpose(2, 0, 1).copy()
    cube[5] = -1
    write_image(tmp_path / "p.tif", Item(cube, name="p", source={"nodata": -1.0}, good_bands=np.arange(20) != 5))
    assert main(["score", "denoising", "--truth", str(clean), "--prediction", str(tmp_path / "p.tif")]) == 2
    assert "at 1,440 of the truth's" in capsys.readouterr().err


def test_json_holds_no_nan(clean, monkeypatch, capsys):
    scores = [("psnr", np.inf, "dB"), ("sam", np.nan, "deg"), ("mse", 0.0, "")]
    monkeypatch.setattr("hsipipe.tasks.denoising.score.score_cube", lambda *_, **__: scores)
    told = run_json(capsys, "score", "denoising", "--truth", clean, "--prediction", clean, "--json")
    assert told == {"psnr": None, "sam": None, "mse": 0.0}


def test_quiet_means_quiet(clean, tmp_path, capsys):
    np.save(tmp_path / "second.npy", landscape(seed=1))
    arguments = ["denoise", str(clean), str(tmp_path / "second.npy"), str(tmp_path / "out"), "--method", "svd"]
    for extra in ([], ["--quiet"]):  # standard error is no terminal here
        assert main([*arguments, *extra]) == 0
        assert capsys.readouterr().err == ""
