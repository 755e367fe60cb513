"""A denoising case from scene to scores, in one process."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hsipipe.bands.selection import fit_bands
from hsipipe.cases.bands import common_bands, select_case_bands, training_spectra
from hsipipe.cases.split import SplitSettings, split_scenes
from hsipipe.errors import UserError
from hsipipe.methods import find_method, methods_of
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.tasks import load_task
from hsipipe.tasks.denoising import prepare
from hsipipe.tasks.denoising.apply import make_denoiser
from hsipipe.tasks.denoising.case import CaseFile, read_truth

SETTINGS = {"noise": "hyspecnet", "seed": 0, "figure_unit": 0}


@pytest.fixture
def scene_path(tmp_path):
    generator = np.random.default_rng(0)
    items = []
    for number in range(4):
        cube = (generator.random((3, 20, 16)).repeat(4, axis=0) * 5000).astype(np.int16)
        valid = np.ones((20, 16), bool)
        valid[:2, :3] = False
        cube[:, ~valid] = 30000
        good = np.arange(12) != 5
        items.append(
            Item(cube, name=f"i{number}", valid=valid, good_bands=good, wavelength_nm=np.linspace(400, 1000, 12))
        )
    write_scene(tmp_path / "s.h5", items, name="s")
    return tmp_path / "s.h5"


@pytest.fixture
def prepared(tmp_path, scene_path):
    with Scene(scene_path) as scene:
        units = split_scenes([scene], SplitSettings(fractions=(0.5, 0.25, 0.25)))
        selection = select_case_bands([scene], units, {"strategy": "all"})
    load_task("denoising", "prepare")([scene_path], units, selection, SETTINGS, name="c", output=tmp_path / "case.h5")
    return tmp_path / "case.h5", units


def test_truth_is_scaled_by_its_own_valid_range(scene_path):
    with Scene(scene_path) as scene:
        unit = split_scenes([scene], SplitSettings(by="test"))[0]
        truth = read_truth(scene, unit, [0, 5, 7])
    assert truth.cube[:, truth.valid].min() == 0
    assert truth.cube[0][truth.valid].max() == pytest.approx(1)
    assert truth.high.max() <= 5000, "invalid pixels do not count"
    assert not truth.cube[1].any(), "a band without a measurement is zero"
    assert truth.cube[0, 0, 0] == pytest.approx(truth.cube[0][truth.valid].mean(), abs=1e-5)


def test_case_holds_validation_and_test_with_the_noise_asked_for(prepared, scene_path):
    path, units = prepared
    with CaseFile(path, [scene_path]) as case:
        assert len(case.names("val")) == len(case.names("test")) == 1
        name = case.names("test")[0]
        noisy, truth = case.noisy(name), case.truth(name)
        assert noisy.shape == truth.cube.shape == (11, 20, 16)
        assert noisy.min() == 0
        assert noisy.max() == 1
        assert len(case.wavelength_nm) == 11
    assert {unit.part for unit in units} == {"train", "val", "test"}


def test_few_of_many_validation_units_are_kept_spread_over_all(monkeypatch):
    monkeypatch.setattr(prepare, "VALIDATION_UNITS", 4)
    for count, chosen in ((0, []), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (12, [0, 3, 6, 9]), (13, [0, 4, 8, 12])):
        parts = [*["train"] * 5, *["val"] * count, *["test"] * 9]
        numbers = {part: iter(range(20)) for part in ("train", "val", "test")}
        units = [SimpleNamespace(name=f"{part}{next(numbers[part])}", part=part) for part in parts]
        expected = [*(f"val{number}" for number in chosen), *(f"test{number}" for number in range(9))]
        assert [unit.name for unit in prepare.used_units(units)] == expected


def test_noise_does_not_depend_on_the_other_units(prepared, scene_path, tmp_path):
    path, units = prepared
    test = [unit for unit in units if unit.part == "test"]
    with Scene(scene_path) as scene:
        selection = select_case_bands([scene], units, {"strategy": "all"})
    load_task("denoising", "prepare")([scene_path], test, selection, SETTINGS, name="c", output=tmp_path / "b.h5")
    with CaseFile(path, [scene_path]) as first, CaseFile(tmp_path / "b.h5", [scene_path]) as second:
        name = test[0].name
        assert np.array_equal(first.noisy(name), second.noisy(name))
        assert first.content != second.content, "another training part is another case"


def test_predict_and_score(prepared, scene_path, tmp_path):
    path, _ = prepared
    method = find_method("denoising", "svd")
    outputs = {key: tmp_path / key for key in ("output", "kept", "record")}
    load_task("denoising", "predict")(
        path, [scene_path], method, method.complete({"rank": 3}), case_settings=SETTINGS, seed=0, **outputs
    )
    scores = {score.metric: score for score in load_task("denoising", "score")(path, [scene_path], outputs["output"])}
    assert {"mpsnr", "psnr", "ssim", "sam", "sam_original", "mse", "rmse", "ergas"} <= set(scores)
    assert scores["psnr"].value == pytest.approx(-10 * np.log10(scores["mse"].value), abs=1e-3)
    record = json.loads(outputs["record"].read_text())
    assert record["settings"]["rank"] == 3
    assert record["peak_memory_mb"] > 50


def test_every_untrained_method_runs_on_a_case(prepared, scene_path):
    path, _ = prepared
    with CaseFile(path, [scene_path]) as case:
        name = case.names("test")[0]
        noisy, truth = case.noisy(name), case.truth(name)
        for method in methods_of("denoising").values():
            if method.is_fitted:
                continue
            result = make_denoiser(method, method.complete({}))(noisy, case.wavelength_nm, truth.cube)
            assert result.shape == noisy.shape, method.name
            assert np.isfinite(result).all(), method.name
            assert result.dtype == np.float32, method.name


def test_a_trained_method_needs_its_model():
    method = find_method("denoising", "qrnn3d")
    with pytest.raises(UserError, match="trained model"):
        make_denoiser(method, method.complete({}))


def test_destriping_before_a_method_changes_what_it_sees(prepared, scene_path):
    path, _ = prepared
    with CaseFile(path, [scene_path]) as case:
        noisy = case.noisy(case.names("test")[0])
        plain, striped = (find_method("denoising", name) for name in ("svd", "destripe+svd"))
        first = make_denoiser(plain, plain.complete({"rank": 2}))(noisy, None, None)
        second = make_denoiser(striped, striped.complete({"rank": 2}))(noisy, None, None)
    assert first.shape == second.shape
    assert striped.title.startswith("destriping")


def test_bands_are_fitted_on_the_training_part_only(scene_path):
    with Scene(scene_path) as scene:
        units = split_scenes([scene], SplitSettings(fractions=(0.5, 0.25, 0.25)))
        spectra = training_spectra([scene], units)
        train = [unit for unit in units if unit.part == "train"]
        assert len(spectra) == sum(scene.read(unit.item).valid.sum() for unit in train)
        good, _ = common_bands([scene])
        direct = fit_bands({"strategy": "variance", "count": 4}, wavelength_nm=None, good_bands=good, spectra=spectra)
        chosen = select_case_bands([scene], units, {"strategy": "variance", "count": 4})
    assert np.array_equal(direct.indices, chosen.indices)


def test_a_strategy_that_needs_data_needs_a_training_part(scene_path):
    with Scene(scene_path) as scene:
        units = split_scenes([scene], SplitSettings(by="test"))
        with pytest.raises(UserError, match="fitted on the training part"):
            select_case_bands([scene], units, {"strategy": "pca", "count": 4})


def test_a_band_that_one_item_lacks_counts_in_no_score_of_it(tmp_path):
    generator = np.random.default_rng(1)
    items = []
    for number in range(3):
        good = np.ones(6, bool)
        good[2] = number != 0
        cube = generator.random((6, 12, 12)).astype(np.float32)
        cube[2, :, :] = cube[2] if number else np.nan
        items.append(Item(cube, name=f"i{number}", good_bands=good))
    write_scene(tmp_path / "s.h5", items, name="s")
    with Scene(tmp_path / "s.h5") as scene:
        assert scene.good_bands.all(), "two of three items have the band"
        units = split_scenes([scene], SplitSettings(by="test"))
        selection = select_case_bands([scene], units, {"strategy": "all"})
    settings = {"noise": "gaussian:sigma=0.1", "seed": 0, "figure_unit": 0}
    load_task("denoising", "prepare")(
        [tmp_path / "s.h5"], units, selection, settings, name="c", output=tmp_path / "c.h5"
    )
    with CaseFile(tmp_path / "c.h5", [tmp_path / "s.h5"]) as case:
        first = case.truth(next(name for name in case.units if "i0" in name))
        assert not first.good[2]
        assert not first.cube[2].any()
    method = find_method("denoising", "constant")
    paths = {key: tmp_path / key for key in ("output", "kept", "record")}
    load_task("denoising", "predict")(
        tmp_path / "c.h5", [tmp_path / "s.h5"], method, {}, case_settings=settings, seed=0, **paths
    )
    scores = load_task("denoising", "score")(tmp_path / "c.h5", [tmp_path / "s.h5"], paths["output"])
    values = [score.value for score in scores if score.metric == "mpsnr"]
    # Uniform values have variance 1/12; the band of zeros, which a constant hits, would add some 5 dB to the first.
    assert values == pytest.approx([10.8, 10.8, 10.8], abs=1)


def test_a_prediction_that_is_not_finite_is_an_error(prepared, scene_path, tmp_path, monkeypatch):
    path, _ = prepared
    method = find_method("denoising", "noisy")
    monkeypatch.setattr(method.load(), "denoise", lambda noisy, **_: noisy * np.nan)
    paths = {key: tmp_path / key for key in ("output", "kept", "record")}
    with pytest.raises(ValueError, match="not finite"):
        load_task("denoising", "predict")(path, [scene_path], method, {}, case_settings=SETTINGS, seed=0, **paths)
    assert not any(target.exists() for target in paths.values())
