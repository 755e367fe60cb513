"""The verbs segment, encode, decode, reconstruct, classify, and score segmentation; and the functions they call."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image as Picture

from hsipipe.cli import main, segmentation
from hsipipe.methods import find_method
from hsipipe.scenes.readers import read_image, read_labels
from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers import write_image
from hsipipe.tasks.segmentation.autoencoder import load_autoencoder, save_autoencoder
from hsipipe.tasks.segmentation.case import as_image
from hsipipe.tasks.segmentation.classifier import TrainedClassifier, load_classifier, save_classifier
from hsipipe.tasks.segmentation.files.classify_files import classify_spectra
from hsipipe.tasks.segmentation.files.encoders import fit_encoder
from hsipipe.tasks.segmentation.files.latents import encode_spectra, reconstruct_spectra
from hsipipe.tasks.segmentation.files.saved_clusters import load_clusters
from hsipipe.tasks.segmentation.files.scores import score_maps
from hsipipe.tasks.segmentation.files.segment_files import SegmentOptions, segment_spectra
from hsipipe.tasks.segmentation.files.tables import read_table
from hsipipe.tasks.segmentation.shared.label_codes import LabelCodes
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage

NM = np.linspace(450, 900, 24)
UTM = 'LOCAL_CS["a grid",UNIT["metre",1]]'
PLACE = (30.0, 0.0, 366015.0, 0.0, -30.0, 5809965.0)


def striped(rows=24, cols=20, bands=24, seed=0):
    """A cube (bands, rows, cols) of three materials in stripes, a little noise, and which is where (1 to 3)."""
    generator = np.random.default_rng(seed)
    materials = np.random.default_rng(7).uniform(100, 1000, (3, bands))
    truth = np.repeat(np.arange(rows) * 3 // rows, cols).reshape(rows, cols) + 1
    return (materials[truth - 1].transpose(2, 0, 1) + generator.normal(0, 3, (bands, rows, cols))).astype("f4"), truth


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """In the working folder: scene.tif with a hole of two pixels, truth.npy, scene.csv (a table), model.pt (pca)."""
    monkeypatch.chdir(tmp_path)
    cube, truth = striped()
    valid = np.ones(truth.shape, bool)
    valid[3, 4:6] = False
    source = {"dtype": "float32", "nodata": -1.0, "crs": UTM, "transform": PLACE}
    item = Item(cube, valid=valid, wavelength_nm=NM, source=source)
    write_image("scene.tif", item)
    np.save("truth.npy", np.where(valid, truth, 0).astype(np.uint8))
    np.save("table.npy", cube[:, valid].T)
    save_autoencoder("model.pt", fit_encoder(as_image(item), latent=3), key="")
    return item, np.where(valid, truth, 0)


@pytest.fixture
def classifier(scene):
    """classifier.pt: nearest-mean of single pixels (shrunk LDA), of classes 2, 5 and 9, of which 2 has a name."""
    item, truth = scene
    labels = np.array([0, 2, 5, 9])[truth]
    codes = LabelCodes.of([labels])
    method = find_method("segmentation", "lda")
    settings = method.complete({"windows": [1]})
    fitted = method.load().fit([LabelledImage(item.cube, codes.encode(labels), item.valid)], **settings)
    trained = TrainedClassifier(method, fitted, codes, ["one", "wheat"], 24, NM)
    save_classifier("classifier.pt", trained, settings=settings, key="", history=[])
    return labels


def clustered_right(truth, labels):
    """Whether clusters are the materials, whatever their numbers."""
    return score_maps(truth, labels, clusters=True)[0][0][:2] == ("nmi", pytest.approx(1))


def run(*arguments):
    assert main([str(argument) for argument in arguments]) == 0


def fails(capsys, *arguments):
    """The one line of a mistake."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.usefixtures("scene")
def test_segment_writes_a_georeferenced_map_that_scores_full_marks(capsys):
    run("segment", "scene.tif", "map.tif", "--clusters", 3, "--json", "--quiet")
    told = json.loads(capsys.readouterr().out)
    assert (told["clusters"], told["pixels"], told["method"], told["encoder"]) == (3, 478, "kmeans", "pca")
    assert sum(told["sizes"]) == 478
    with rasterio.open("map.tif") as dataset:
        assert tuple(dataset.transform)[:6] == PLACE
        assert dataset.nodata == 0
        assert dataset.tags(1)["CLASS_3"] == "cluster 3"
        labels = dataset.read(1)
    assert (labels[3, 4:6] == 0).all()
    run("score", "segmentation", "--truth", "truth.npy", "--prediction", "map.tif", "--clusters", "--json")
    scores = json.loads(capsys.readouterr().out)
    assert (scores["nmi"], scores["hungarian_oa"], scores["clusters"]) == pytest.approx((1, 1, 3))


def test_the_defaults_that_the_help_names_are_those_of_python():
    options = SegmentOptions()
    assert (options.method, options.encoder) == (segmentation.DEFAULT_METHOD, segmentation.DEFAULT_ENCODER)


@pytest.mark.usefixtures("scene")
def test_without_a_number_it_is_chosen_and_told(capsys):
    cube, truth = striped(rows=60, cols=60)
    np.save("large.npy", cube.transpose(1, 2, 0))
    run("segment", "large.npy", "map.npy", "--latent", 3, "--quiet")
    assert "3,600 spectra in 3 clusters (chosen by BIC); kmeans on 3 latents of pca" in capsys.readouterr().out
    assert clustered_right(truth, np.load("map.npy"))
    run("segment", "large.npy", "again.npy", "--latent", 3, "--quiet")
    assert (np.load("map.npy") == np.load("again.npy")).all()


def test_spectra_of_clusters_are_those_of_their_members(scene):
    run("segment", "scene.tif", "map.npy", "--clusters", 3, "--spectra", "s.csv", "--figure", "f.png", "--quiet")
    with open("s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = [f"{kind}_{number}" for kind in ("member", "medoid", "decoded") for number in (1, 2, 3)]
    assert list(rows[0]) == ["wavelength_nm", *kinds]
    assert [float(row["wavelength_nm"]) for row in rows] == pytest.approx(NM)
    labels, cube = np.load("map.npy"), scene[0].cube
    for number in (1, 2, 3):
        mean = [float(row[f"member_{number}"]) for row in rows]
        assert mean == pytest.approx(cube[:, labels == number].mean(axis=1), rel=1e-5)
        # The mean of latents decodes to the mean of spectra, since principal components are linear.
        assert [float(row[f"decoded_{number}"]) for row in rows] == pytest.approx(mean, abs=1.0)
    assert Picture.open("f.png").size[0] > 600


def test_saved_clusters_label_another_image(scene, capsys):
    run("segment", "scene.tif", "map.npy", "--clusters", 3, "--save-clusters", "c.h5", "--quiet")
    saved = load_clusters("c.h5")
    assert (saved.labels == np.load("map.npy")).all()
    assert saved.count == 3
    cube, truth = striped(seed=5)
    upside_down = Item(cube[:, ::-1].copy(), wavelength_nm=NM, source={"dtype": "float32"})
    write_image("other.tif", upside_down)
    run("segment", "other.tif", "other.npy", "--clusters-from", "c.h5", "--quiet")
    code_of = {material: np.bincount(saved.labels[scene[1] == material]).argmax() for material in (1, 2, 3)}
    expected = np.vectorize(code_of.get)(truth[::-1])
    assert (np.load("other.npy") == expected).all()
    assert "--seed" in fails(capsys, "segment", "other.tif", "o.npy", "--clusters-from", "c.h5", "--seed", 1)


@pytest.mark.usefixtures("scene")
def test_bands_of_another_sensor_are_resampled_and_it_is_told(capsys):
    cube, _ = striped()
    other = Item(cube[:, :, :10], wavelength_nm=NM + 4, source={"dtype": "float32"})
    write_image("shifted.tif", other)
    run("segment", "shifted.tif", "map.npy", "--model", "model.pt", "--clusters", 3)
    assert "are resampled to them" in capsys.readouterr().err
    write_image("far.tif", replace(other, wavelength_nm=NM + 1000))
    line = fails(capsys, "segment", "far.tif", "map.npy", "--model", "model.pt")
    assert "trained on 450 to 900 nm" in line


def test_tables_have_lists_of_labels(scene, capsys):
    item, truth = scene
    table = np.load("table.npy")
    run("segment", "table.npy", "labels.csv", "--table", "--clusters", 3, "--quiet")
    with open("labels.csv") as file:
        assert file.readline() == "label\n"
    np.save("list.npy", truth[item.valid].astype(np.int16))
    capsys.readouterr()
    run("score", "segmentation", "--truth", "list.npy", "--prediction", "labels.csv", "--clusters", "--json")
    assert json.loads(capsys.readouterr().out)["ari"] == 1
    made = segment_spectra(table, options=SegmentOptions(clusters=3))
    with open("labels.csv") as file:
        assert made.labels[:, 0].tolist() == [int(line) for line in file.readlines()[1:]]
    assert made.report()["sizes"] == [160, 160, 158]
    assert "no neighbours" in fails(capsys, "segment", "table.npy", "o.npy", "--table", "--method", "superpixels")
    assert "no map" in fails(capsys, "segment", "table.npy", "o.tif", "--table")


@pytest.mark.usefixtures("scene")
def test_rows_of_a_table_may_stand_in_any_order():
    table = np.load("table.npy")
    order = np.random.default_rng(1).permutation(len(table))
    for method in ("kmeans", "gmm"):
        options = SegmentOptions(method=method, clusters=3)
        labels = segment_spectra(table, options=options).labels[:, 0]
        shuffled = segment_spectra(table[order], options=options).labels[:, 0]
        assert len(set(zip(labels[order], shuffled, strict=True))) == 3, method


def test_a_table_of_text_is_read_with_its_header(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,450.5 nm,460 nm,0.47,class\na,1,2,3,wheat\nb,4,,6,\nc,7,8,9,corn\n")
    item = read_table(path)
    assert item.cube.shape == (3, 3, 1)
    assert item.labels[:, 0].tolist() == [2, 0, 1]
    assert item.class_names == ["corn", "wheat"]
    assert item.valid[:, 0].tolist() == [True, False, True]
    path.write_text("400;410.5;421\n.3;.2;.5\n.1;.4;.2\n")
    assert read_table(path).wavelength_nm.tolist() == [400, 410.5, 421]
    path.write_text("3,2,5\n1,4,2\n")
    plain = read_table(path)
    assert plain.wavelength_nm is None
    assert plain.cube[:, :, 0].T.tolist() == [[3, 2, 5], [1, 4, 2]]
    path.write_text("band_1,band_2,band_3\n3,2,5\n1,4,2\n")
    assert read_table(path).wavelength_nm is None


@pytest.mark.usefixtures("scene")
def test_a_stack_of_pages_is_an_image():
    cube, truth = striped(bands=16)
    pages = [Picture.fromarray(band) for band in cube]
    pages[0].save("stack.tif", save_all=True, append_images=pages[1:])
    run("segment", "stack.tif", "map.npy", "--clusters", 3, "--quiet")
    assert clustered_right(truth, np.load("map.npy"))


@pytest.mark.usefixtures("scene")
def test_bands_and_spectra_without_a_measurement_are_left_out(capsys):
    cube, _ = striped()
    cube[:, 0, 0] = 0
    cube[5] = np.nan
    cube[3, 1, 1] = np.nan
    np.save("holes.npy", cube.transpose(1, 2, 0))
    run("segment", "holes.npy", "map.npy", "--clusters", 3)
    labels = np.load("map.npy")
    assert np.argwhere(labels == 0).tolist() == [[0, 0], [1, 1]]
    assert "2 of 480 spectra have no measurement" in capsys.readouterr().err


@pytest.mark.parametrize("normaliser", ["scale", "snv", "l2"])
def test_decoded_latents_are_what_reconstruct_writes(scene, normaliser):
    item = scene[0]
    save_autoencoder("m.pt", fit_encoder(as_image(item), latent=3, settings={"normaliser": normaliser}), key="")
    trained = load_autoencoder("m.pt")
    run("reconstruct", "scene.tif", "r.tif", "--model", "m.pt", "--quiet")
    made = read_image("r.tif")
    assert (made.valid == item.valid).all()
    assert made.source["transform"] == list(PLACE)
    assert made.wavelength_nm == pytest.approx(NM)
    difference = (made.cube - item.cube)[:, item.valid]
    assert 0 < np.sqrt((difference**2).mean()) < 4  # the noise is 3
    spectra = np.load("table.npy")
    assert pytest.approx(made.cube[:, item.valid]) == reconstruct_spectra(trained, spectra, wavelength_nm=NM).T
    latents, parameters = encode_spectra(trained, spectra, wavelength_nm=NM)
    for suffix in (".tif", ".h5", ".npy", ".mat"):
        run("encode", "scene.tif", f"z{suffix}", "--model", "m.pt", "--quiet")
        encoded = read_image(f"z{suffix}")
        assert pytest.approx(np.hstack([latents, parameters]), rel=1e-5) == encoded.cube[:, item.valid].T
        run("decode", f"z{suffix}", "d.tif", "--model", "m.pt", "--quiet")
        decoded = read_image("d.tif")
        assert (decoded.valid == item.valid).all()
        assert decoded.wavelength_nm == pytest.approx(NM)
        assert decoded.cube[:, item.valid] == pytest.approx(made.cube[:, item.valid], rel=1e-5)


@pytest.mark.usefixtures("scene")
def test_tables_are_encoded_to_tables():
    spectra = np.load("table.npy")
    run("encode", "table.npy", "z.csv", "--table", "--model", "model.pt", "--quiet")
    with open("z.csv") as file:
        assert file.readline() == "latent_1,latent_2,latent_3\n"
    run("decode", "z.csv", "d.npy", "--model", "model.pt", "--quiet")
    run("reconstruct", "table.npy", "r.csv", "--table", "--model", "model.pt", "--quiet")
    expected = reconstruct_spectra(load_autoencoder("model.pt"), spectra)
    assert np.load("d.npy") == pytest.approx(expected, rel=1e-5)
    assert pytest.approx(expected, rel=1e-5) == read_table("r.csv").cube[:, :, 0].T


@pytest.mark.usefixtures("scene")
def test_latents_at_other_wavelengths_come_back_to_them_from_a_scene_file():
    cube, _ = striped()
    write_image("shifted.h5", Item(cube, wavelength_nm=NM + 4, source={"dtype": "float32"}))
    run("encode", "shifted.h5", "z.h5", "--model", "model.pt", "--quiet")
    run("decode", "z.h5", "d.h5", "--model", "model.pt", "--quiet")
    run("reconstruct", "shifted.h5", "r.h5", "--model", "model.pt", "--quiet")
    decoded, made = read_image("d.h5"), read_image("r.h5")
    assert decoded.wavelength_nm == pytest.approx(NM + 4)
    assert decoded.cube == pytest.approx(made.cube, rel=1e-5)


@pytest.mark.usefixtures("scene")
def test_classify_gives_codes_names_and_confidence(classifier, capsys):
    run("classify", "scene.tif", "c.tif", "--model", "classifier.pt", "--confidence", "p.tif", "--quiet")
    assert "class 5" in capsys.readouterr().out
    assert (read_labels("c.tif") == classifier).all()
    with rasterio.open("c.tif") as dataset:
        assert dataset.tags(1) == {"CLASS_2": "wheat", "CLASS_5": "class 5", "CLASS_9": "class 9"}
        assert tuple(dataset.transform)[:6] == PLACE
    with rasterio.open("p.tif") as dataset:
        confidence = dataset.read(1)
    assert (np.isfinite(confidence) == (classifier > 0)).all()
    assert 0.5 < np.nanmin(confidence) <= np.nanmax(confidence) <= 1
    np.save("classes.npy", classifier)
    run("score", "segmentation", "--truth", "classes.npy", "--prediction", "c.tif", "--json", "--csv", "s.csv")
    scores = json.loads(capsys.readouterr().out)
    assert (scores["oa"], scores["aa"], scores["kappa"]) == (100, 100, 1)
    assert scores["classes"]["5"] == {"recall": 100, "precision": 100, "pixels": 160}
    with open("s.csv", newline="") as file:
        rows = {(row["item"], row["metric"]): row["value"] for row in csv.DictReader(file)}
    assert rows["class 9", "recall"] == "100"


@pytest.mark.usefixtures("scene")
def test_several_files_are_classified_into_a_folder(classifier):
    cube, _ = striped()
    write_image("second.h5", Item(cube, wavelength_nm=NM, source={"transform": PLACE}))
    np.save("third.npy", cube.transpose(1, 2, 0))
    where = ("--model", "classifier.pt", "--confidence", "sure", "--quiet")
    run("classify", "scene.tif", "second.h5", "third.npy", "maps/", *where)
    assert (read_labels("maps/scene.tif") == classifier).all()
    assert (read_labels("maps/second.tif") == np.load("maps/third.npy")).all()
    with rasterio.open("sure/second.tif") as dataset:
        assert dataset.shape == (24, 20)
        assert tuple(dataset.transform)[:6] == PLACE


@pytest.mark.usefixtures("scene")
def test_a_table_is_classified_spectrum_by_spectrum(classifier):
    trained = load_classifier("classifier.pt")
    table = np.load("table.npy")
    order = np.random.default_rng(0).permutation(len(table))
    made = classify_spectra(trained, table[order], wavelength_nm=NM)
    assert (made.codes[:, 0] == classifier[classifier > 0][order]).all()
    np.save("shuffled.npy", table[order])
    run("classify", "shuffled.npy", "codes.npy", "--table", "--model", "classifier.pt", "--quiet")
    assert (np.load("codes.npy") == made.codes[:, 0]).all()


def test_scores_by_hand():
    truth, found = np.array([[1, 1, 1, 2], [2, 0, 0, 2]]), np.array([[1, 1, 2, 2], [2, 2, 1, 0]])
    rows, more = score_maps(truth, found)
    scores = {name: value for name, value, _ in rows}
    # Right: 2 of 3 and 2 of 3; kappa: (4/6 - (3/6 * 2/6 + 3/6 * 3/6)) / (1 - 15/36).
    assert scores["oa"] == pytest.approx(200 / 3)
    assert scores["kappa"] == pytest.approx((24 / 36 - 15 / 36) / (21 / 36))
    assert more["confusion"] == {"classes": [1, 2], "counts": [[2, 1], [0, 2]], "missed": [0, 1]}
    assert more["classes"]["2"]["precision"] == pytest.approx(200 / 3)


def test_an_autoencoder_is_trained_on_the_scene_itself():
    cube, truth = striped(bands=20)
    options = SegmentOptions(
        encoder="residual", latent=2, clusters=3, encoder_settings={"epochs": 1, "steps_per_epoch": 5, "batch_size": 32}
    )
    made = segment_spectra(cube, options=options)
    assert made.report()["latent"] == 2
    assert clustered_right(truth, made.labels)
    again = segment_spectra(cube, options=options)
    assert (again.spectra["decoded"] == made.spectra["decoded"]).all()


@pytest.mark.usefixtures("scene", "classifier")
def test_mistakes_are_told_in_one_line(capsys):
    short, _ = striped(bands=12)
    np.save("short.npy", short.transpose(1, 2, 0))
    np.save("small.npy", np.ones((5, 6), np.uint8))
    np.save("zeros.npy", np.zeros((24, 20), np.uint8))
    score = ("score", "segmentation", "--truth")
    mistakes = {
        "5 x 6": (*score, "small.npy", "--prediction", "truth.npy"),
        "no label above 0": (*score, "zeros.npy", "--prediction", "truth.npy"),
        "no column `label`": (*score, "spectra.csv", "--prediction", "truth.npy"),
        "is for segmentation only": ("score", "fusion", "--clusters", "--truth", "x", "--prediction", "y"),
        "478 valid pixels cannot make 500": ("segment", "scene.tif", "o.npy", "--clusters", "500"),
        "is no autoencoder of spectra": ("segment", "scene.tif", "o.npy", "--model", "classifier.pt"),
        "is no classifier of pixels": ("classify", "scene.tif", "o.npy", "--model", "model.pt"),
        "trained for 24 bands": ("encode", "short.npy", "o.npy", "--model", "model.pt"),
        "did you mean 'gmm'": ("segment", "scene.tif", "o.npy", "--method", "gmmm"),
        "is no clustering": ("segment", "scene.tif", "o.npy", "--method", "svm"),
        "unknown autoencoder 'pce'": ("segment", "scene.tif", "o.npy", "--encoder", "pce"),
        "no encoder to set": ("segment", "scene.tif", "o.npy", "--encoder", "none", "--latent", "3"),
        "has its settings": ("segment", "scene.tif", "o.npy", "--model", "model.pt", "--latent", "3"),
        "o.jpg": ("segment", "scene.tif", "o.jpg"),
        "would overwrite an input": ("segment", "scene.tif", "scene.tif"),
        "would overwrite another output": (
            "classify",
            "scene.tif",
            "o.tif",
            "--model",
            "classifier.pt",
            "--confidence",
            "o.tif",
        ),
        "does not exist": ("segment", "none.tif", "o.npy"),
        "decodes 3 latents": ("decode", "scene.tif", "o.npy", "--model", "model.pt"),
        "at least 16": ("segment", "short.npy", "o.npy", "--encoder", "conv"),
        "must be a folder": ("classify", "scene.tif", "short.npy", "o.tif", "--model", "classifier.pt"),
        "format hsipipe-clusters-1": ("segment", "scene.tif", "o.npy", "--clusters-from", "model.h5"),
    }
    run("convert", "scene.tif", "model.h5", "--quiet")
    run("reconstruct", "table.npy", "spectra.csv", "--table", "--model", "model.pt", "--quiet")
    for words, arguments in mistakes.items():
        line = fails(capsys, *arguments)
        assert words in line, (words, line)
    assert not list(Path().glob("o.*"))
