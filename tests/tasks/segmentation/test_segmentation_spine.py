"""A small segmentation case through prepare, fit, predict and score, as the workflow goes."""

import json

import numpy as np
import pytest

from hsipipe.cases.bands import select_case_bands
from hsipipe.cases.pixels import TEST, TRAIN, VAL
from hsipipe.cases.split import split_scenes
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.metrics.reconstruction import score_spectra
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.settings import settings_from
from hsipipe.tasks import load_task
from hsipipe.tasks.predictions import open_predictions, read_kept
from hsipipe.tasks.segmentation.autoencoder import load_autoencoder
from hsipipe.tasks.segmentation.case import CaseFile, as_image, fill_bands
from hsipipe.tasks.segmentation.classifier import load_classifier
from hsipipe.tasks.segmentation.settings import USED_BY, CaseSettings

BANDS, ROWS, COLS = 24, 30, 36
NM = np.linspace(420, 900, BANDS)
CODES = (2, 7, 9)  # as files have them: with gaps


def landscape(seed, *, dead=None, labelled=True):
    """Three materials in stripes of twelve columns, each pixel a little brighter or darker."""
    generator = np.random.default_rng(seed)
    shapes = np.stack([1 + 0.5 * np.sin(NM / 80), 1 + 0.5 * np.cos(NM / 60), np.linspace(0.4, 1.6, BANDS)])
    number = np.repeat(np.arange(3), 12)[None].repeat(ROWS, 0)
    brightness = 1000 * generator.uniform(0.9, 1.1, (ROWS, COLS))
    cube = shapes[number].transpose(2, 0, 1) * brightness + 5 * generator.standard_normal((BANDS, ROWS, COLS))
    valid = np.ones((ROWS, COLS), bool)
    valid[:2, :3] = False
    good = np.ones(BANDS, bool)
    if dead is not None:
        cube[dead], good[dead] = np.nan, False
    labels = np.array(CODES)[number] if labelled else None
    if labelled:
        labels[:, 5] = 0
    return Item(
        cube.astype(np.float32),
        name=f"i{seed}",
        valid=valid,
        good_bands=good,
        wavelength_nm=NM,
        labels=labels,
        class_names=["one", "two"],
    )


def settings_of(**given):
    return settings_from(CaseSettings, {"scenes": ["s"], **given}, "x.yaml")


def step(settings, name):
    from dataclasses import asdict

    values = asdict(settings)
    return {key: values[key] for key in USED_BY[name]}


def prepared(folder, settings, items):
    scenes = [folder / "s.h5"]
    write_scene(scenes[0], items, name="s")
    with Scene(scenes[0]) as scene:
        units = split_scenes([scene], settings.split)
        bands = select_case_bands([scene], units, {"strategy": "all"})
    case = folder / "case.h5"
    load_task("segmentation", "prepare")(scenes, units, bands, step(settings, "prepare"), name="c", output=case)
    return case, scenes, units


def run(folder, made, settings, variant, name, given=None, *, model=None, seed=0):
    case, scenes, units = made
    method = find_method("segmentation", name)
    complete = method.complete(given or {})
    here = folder / variant
    here.mkdir(parents=True, exist_ok=True)
    if method.is_fitted:
        model = here / "model.pt"
        load_task("segmentation", "fit")(
            case, scenes, units, method, complete,
            case_settings={}, seed=seed, key="k", state=here / "state", output=model,
            curves=here / "curves.png", samples=here / "samples.png",
        )  # fmt: skip
    paths = {key: here / key for key in ("output", "kept", "record")}
    load_task("segmentation", "predict")(
        case, scenes, method, complete, case_settings=step(settings, "predict"), seed=seed, model=model, **paths
    )
    scores = load_task("segmentation", "score")(case, scenes, paths["output"], case_settings={})
    return {**paths, "model": model, "scores": scores, "values": {score.metric: score.value for score in scores}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    settings = settings_of(clusters=3)
    return folder, settings, prepared(folder, settings, [landscape(0)])


def test_each_image_is_divided_within_and_what_is_missing_is_used_by_none(made):
    _, _, (case, scenes, _) = made
    with CaseFile(case, scenes) as opened:
        (name,) = opened.names("test")
        image, spectra, pixels = opened.image(name), opened.spectra_roles(name), opened.pixel_roles(name)
    assert set(np.unique(spectra[image.valid])) == {TRAIN, VAL, TEST}
    assert not spectra[~image.valid].any()
    assert not pixels[image.labels == 0].any()
    assert {int(code) for code in np.unique(image.labels[pixels == TRAIN])} == set(CODES)
    assert not image.cube[:, ~image.valid].any()


def test_a_band_that_one_image_lacks_is_in_none_of_its_scores(tmp_path):
    settings = settings_of(spectra={"by": "random", "fraction": 0.5}, figure_unit=1)
    made = prepared(tmp_path, settings, [landscape(seed, dead=4 if seed == 1 else None) for seed in range(3)])
    with CaseFile(*made[:2]) as opened:
        images = [opened.image(name) for name in opened.names("test")]
    assert [int(image.good.sum()) for image in images] == [BANDS, BANDS - 1, BANDS]
    assert np.isfinite(images[1].cube).all()
    done = run(tmp_path, made, settings, "pca", "pca", {"latent": 6})
    assert read_kept(done["kept"])["item"] == images[1].name
    errors = [score.value for score in done["scores"] if score.metric == "reconstruction_mse"]
    assert max(errors) < 1.5 * min(errors)


def test_a_missing_band_is_interpolated_over_wavelength():
    cube = np.array([10.0, 0.0, 40.0, 0.0])[:, None, None].repeat(2, 2).astype(np.float32)
    good = np.array([True, False, True, False])
    filled = fill_bands(cube, good, np.array([400.0, 410.0, 430.0, 500.0]))
    np.testing.assert_allclose(filled[:, 0, 0], [10, 20, 40, 40])
    # the order of the sensor need not be that of the wavelengths
    turned = fill_bands(cube[[2, 1, 0]], good[[2, 1, 0]], np.array([430.0, 410.0, 400.0]))
    np.testing.assert_allclose(turned[:, 0, 0], [40, 20, 10])


def test_principal_components_are_fitted_to_training_spectra_and_scored_on_test_spectra(made, tmp_path):
    _, settings, prepared_case = made
    done = run(tmp_path, prepared_case, settings, "pca", "pca", {"latent": 3})
    case, scenes, _ = prepared_case
    with CaseFile(case, scenes) as opened:
        (name,) = opened.names("test")
        image, roles = opened.image(name), opened.spectra_roles(name)
    train = image.cube[:, (roles == TRAIN) & image.valid].T.astype(np.float64)
    mean = train.mean(0)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2][:3]
    test = image.cube[:, (roles == TEST) & image.valid].T
    expected = (test - mean) @ axes.T @ axes + mean
    wanted = {metric: value for metric, value, _ in score_spectra(test, expected)}
    assert done["values"]["sam"] == pytest.approx(wanted["sam"], rel=1e-3)
    assert done["values"]["reconstruction_mse"] == pytest.approx(wanted["reconstruction_mse"], rel=1e-3)
    record = json.loads(done["record"].read_text())
    assert record["history"] == []
    assert record["memory"] == {"parameters": BANDS * 4, "trainable": 0}
    with open_predictions(done["output"]) as predictions:
        assert predictions.content == "reconstruction"
    assert read_kept(done["kept"])["latents"].shape == (3, ROWS, COLS)


def test_a_network_is_trained_kept_at_epochs_and_started_from_again(made, tmp_path):
    _, settings, prepared_case = made
    given = {"latent": 2, "encoder_sizes": [8], "epochs": 2, "steps_per_epoch": 5, "batch_size": 32, "save_epochs": [1]}
    done = run(tmp_path, prepared_case, settings, "mlp", "mlp", given)
    epoch = tmp_path / "mlp" / "epochs" / "epoch-0001.pt"
    first, last = (load_autoencoder(path).network.state_dict() for path in (epoch, done["model"]))
    assert any(not np.array_equal(first[name], last[name]) for name in first)
    history = json.loads(done["record"].read_text())["history"]
    assert [row["epoch"] for row in history] == [1, 2]
    assert all(np.isfinite([row["train_loss"], row["loss"]]).all() for row in history)
    case, scenes, units = prepared_case
    method = find_method("segmentation", "mlp")
    files = {key: tmp_path / f"again-{key}" for key in ("state", "output", "curves", "samples")}
    files |= {key: files[key].with_suffix(".png") for key in ("curves", "samples")}
    slow = method.complete({**given, "learning_rate": 1e-12, "epochs": 1, "save_epochs": []})
    load_task("segmentation", "fit")(
        case, scenes, units, method, slow, case_settings={}, seed=5, key="k", start=epoch, **files
    )
    again = load_autoencoder(files["output"]).network.state_dict()
    for name, value in first.items():
        np.testing.assert_allclose(again[name], value, atol=1e-6)
    with pytest.raises(UserError, match="not of a network like this one"):
        load_task("segmentation", "fit")(
            case, scenes, units, method, method.complete({**given, "latent": 3}),
            case_settings={}, seed=5, key="k", start=epoch, **files,
        )  # fmt: skip


def test_clusters_of_latents_and_of_spectra_find_the_materials(made, tmp_path):
    _, settings, prepared_case = made
    pca = run(tmp_path, prepared_case, settings, "pca", "pca", {"latent": 3, "normaliser": "l2"})
    for variant, model in (("latents", pca["model"]), ("spectra", None)):
        done = run(tmp_path, prepared_case, settings, variant, "kmeans", {"scaling": "none"}, model=model)
        assert done["values"]["hungarian_oa"] == 1, variant
        assert done["values"]["clusters"] == 3
        kept = read_kept(done["kept"])
        assert kept["member_spectra"].shape == kept["medoid_spectra"].shape == (3, BANDS)
        if model is not None:
            # the l2 norm of each spectrum goes with it: decoded spectra are in the scene's units
            np.testing.assert_allclose(kept["decoded_spectra"], kept["member_spectra"], rtol=0.05)


def test_a_classifier_learns_training_pixels_alone_and_gives_the_codes_of_the_file(made, tmp_path):
    _, settings, prepared_case = made
    done = run(tmp_path, prepared_case, settings, "lda", "lda")
    assert done["values"]["oa"] == 100
    per_class = [score for score in done["scores"] if score.metric == "recall"]
    assert [score.item.split(": ")[1] for score in per_class] == ["2 two", "7 class 7", "9 class 9"]
    assert done["values"]["touching"] == 0
    with open_predictions(done["output"]) as predictions:
        labels = predictions.read(predictions.names[0])[0]
    assert set(np.unique(labels)) == {0, *CODES}
    assert not labels[:2, :3].any()
    with pytest.raises(UserError, match="is no autoencoder"):
        load_autoencoder(done["model"])
    with pytest.raises(UserError, match="was trained for 24 bands"):
        load_classifier(done["model"]).predict(
            np.zeros((9, 4, 4), np.float32), np.ones((4, 4), bool), wavelength_nm=None
        )


def test_whole_units_train_or_test_where_the_split_says_so(tmp_path):
    settings = settings_of(split={"by": "parts", "parts": {"train": ["i0"], "test": ["i1", "i2"]}})
    assert settings.spectra is None
    made = prepared(tmp_path, settings, [landscape(seed) for seed in range(3)])
    with CaseFile(*made[:2]) as opened:
        assert [name.split("/")[1][:2] for name in opened.names("test")] == ["i1", "i2"]
        assert [name.split("/")[1][:2] for name in opened.names("train")] == ["i0"]
    done = run(tmp_path, made, settings, "lda", "lda")
    assert done["values"]["oa"] == 100
    assert {score.item for score in done["scores"] if score.metric == "oa"} == {"s"}  # pooled over the units


def test_an_image_without_labels_is_reconstructed_and_clustered_and_classifiers_say_what_is_missing(tmp_path):
    settings = settings_of()
    made = prepared(tmp_path, settings, [landscape(1, labelled=False)])
    pca = run(tmp_path, made, settings, "pca", "pca", {"latent": 4})
    assert pca["values"]["sam"] < 1
    done = run(tmp_path, made, settings, "clusters", "kmeans", {"clusters": 2}, model=pca["model"])
    assert done["values"] == {"clusters": 2}
    with pytest.raises(UserError, match="no labelled training pixel"):
        run(tmp_path, made, settings, "lda", "lda")


def test_maps_say_which_pixels_train(tmp_path):
    train, test = np.zeros((ROWS, COLS), np.int32), np.zeros((ROWS, COLS), np.int32)
    train[:10], test[20:] = 1, 1
    for name, values in (("train", train), ("test", test)):
        np.save(tmp_path / f"{name}.npy", values)
    maps = {"train_map": str(tmp_path / "train.npy"), "test_map": str(tmp_path / "test.npy")}
    settings = settings_of(pixels={"by": "maps"}, **maps)
    assert settings.files == list(maps.values())
    case, scenes, _ = prepared(tmp_path, settings, [landscape(0)])
    with CaseFile(case, scenes) as opened:
        (name,) = opened.names("test")
        roles, labels = opened.pixel_roles(name), opened.image(name).labels
    np.testing.assert_array_equal(roles == TRAIN, (train > 0) & (labels > 0))
    np.testing.assert_array_equal(roles == TEST, (test > 0) & (labels > 0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"split": {"by": "tile"}, "pixels": {}}, "pixels: divides single images"),
        ({"pixels": {"by": "maps"}}, "train_map: goes with"),
        ({"train_map": "x.npy"}, "train_map: goes with"),
        ({"spectra": {"by": "maps"}}, "spectra are not divided by maps"),
        ({"clusters": 0}, "clusters: must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_together(given, message):
    with pytest.raises(UserError, match=message):
        settings_of(**given)


def test_a_scene_of_abundances_has_the_labels_of_its_commonest_materials():
    item = landscape(0, labelled=False)
    item.abundances = np.stack([np.full((ROWS, COLS), 0.4), np.full((ROWS, COLS), 0.6)])
    item.abundances[:, 8, 8] = np.nan
    labels = as_image(item).labels
    assert labels[10, 10] == 2
    assert labels[8, 8] == 0
    assert labels[0, 0] == 0  # not valid


def test_applying_a_model_leaves_gradients_as_they_were(made, tmp_path):
    import torch

    _, settings, prepared_case = made
    done = run(tmp_path, prepared_case, settings, "pca", "pca", {"latent": 2, "normaliser": "l2"})
    trained = load_autoencoder(done["model"])
    latents, parameters = trained.encode(np.ones((3, BANDS), np.float32))
    trained.decode(latents, parameters)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("cnn_classifier", {"epochs": 2, "filter_sizes": [5, 3, 3]}),
        ("spatial_spectral", {"epochs": 2}),
        ("svm", {}),
        ("random_forest", {"trees": 10}),
        ("smoothed_lda_svm", {}),
    ],
)
def test_every_classifier_comes_back_from_its_file(made, tmp_path, name, given):
    _, settings, prepared_case = made
    done = run(tmp_path, prepared_case, settings, name, name, given)
    assert 0 <= done["values"]["oa"] <= 100
    record = json.loads(done["record"].read_text())
    assert record["training_pixels"] > 20
    assert len(record["history"]) == given.get("epochs", 0)
