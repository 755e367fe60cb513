import inspect
import io

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from hsipipe.errors import UserError
from hsipipe.methods import methods_of, training_entries
from hsipipe.tasks.segmentation.shared.discriminant import fit_discriminant, ledoit_wolf_shrinkage
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage
from hsipipe.tasks.segmentation.shared.spatial_folds import kept_for_training, spatial_folds
from hsipipe.tasks.segmentation.shared.support_vectors import fit_support_vectors
from hsipipe.tasks.segmentation.shared.training_pixels import TrainingPixels, gather
from hsipipe.tasks.segmentation.shared.trees import grow_forest

METHODS = {
    "lda": {},
    "svm": {},
    "random_forest": {"components": 4, "trees": 30},
    "smoothed_lda_svm": {},
    "cnn_classifier": {"filter_sizes": [5, 3, 3], "epochs": 80, "schedule": "cosine", "learning_rate": 0.003},
    "spatial_spectral": {"components": 6, "channels": 8, "epochs": 25, "window": 5},
}
NETWORKS = ("cnn_classifier", "spatial_spectral")


def scene(seed, rows=32, cols=40, bands=20, classes=3):
    """Fields of pixels of `classes` noisy spectra: (image, true classes)."""
    generator = np.random.default_rng(seed)
    position = np.linspace(0, 1, bands)
    spectra = np.stack([1 + 0.5 * np.sin((2 + kind) * position + kind) for kind in range(classes)])
    row, col = np.mgrid[:rows, :cols]
    truth = (row // 8 + col // 10) % classes
    cube = 2000 * (spectra[truth].transpose(2, 0, 1) + 0.12 * generator.standard_normal((bands, rows, cols)))
    chosen = generator.random(truth.shape) < 0.15
    labels = np.where(chosen, truth, -1)
    valid = np.ones(truth.shape, bool)
    valid[3:6, 7:9] = False
    cube[:, ~valid] = np.nan
    return LabelledImage(cube.astype(np.float32), labels, valid), truth


def module_of(name):
    return methods_of("segmentation")[name].load()


def fitted(name, image, **settings):
    return module_of(name).fit([image], seed=1, **{**METHODS[name], **settings})


@pytest.fixture(scope="module")
def example():
    return scene(0)


@pytest.mark.parametrize("name", METHODS)
def test_classifiers_learn_and_give_probabilities(name, example):
    image, truth = example
    classifier = fitted(name, image)
    found = classifier.predict(image.cube, image.valid)
    assert found.shape == (3, 32, 40)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.sum(0)[image.valid] == pytest.approx(1, abs=1e-4)
    assert (found[:, ~image.valid] == 0).all()
    tested = image.valid & (image.labels < 0)
    assert (found.argmax(0) == truth)[tested].mean() > 0.93
    # another image, of another size
    other, known = scene(5, rows=17, cols=23)
    assert (classifier.predict(other.cube, other.valid).argmax(0) == known)[other.valid].mean() > 0.85


@pytest.mark.parametrize("name", METHODS)
def test_state_is_plain_and_restores_the_classifier(name, example):
    image, _ = example
    module = module_of(name)
    classifier = fitted(name, image, **({"epochs": 2} if name in NETWORKS else {}))
    state = classifier.to_state()
    buffer = io.BytesIO()
    plain = {key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for key, value in state.items()}
    torch.save(plain, buffer)
    buffer.seek(0)
    restored = module.from_state(torch.load(buffer, weights_only=True))
    same = classifier.predict(image.cube, image.valid) == restored.predict(image.cube, image.valid)
    assert same.all()


@pytest.mark.parametrize("name", METHODS)
def test_equal_seeds_give_equal_classifiers(name, example):
    image, _ = example
    settings = {"epochs": 2} if name in NETWORKS else {}
    first, second = (fitted(name, image, **settings).predict(image.cube, image.valid) for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("name", METHODS)
def test_labels_and_invalid_pixels_are_not_looked_at_in_prediction(name, example):
    image, _ = example
    classifier = fitted(name, image, **({"epochs": 2} if name in NETWORKS else {}))
    spoilt = image.cube.copy()
    spoilt[:, ~image.valid] = -32768
    assert (classifier.predict(spoilt, image.valid) == classifier.predict(image.cube, image.valid)).all()


@pytest.mark.parametrize("name", METHODS)
def test_mistakes_are_told(name, example):
    image, _ = example
    module = module_of(name)
    settings = METHODS[name]
    with pytest.raises(UserError, match="at least two classes"):
        module.fit([LabelledImage(image.cube, np.minimum(image.labels, 0), image.valid)], seed=0, **settings)
    labels = np.where(image.labels == 1, -1, image.labels)
    with pytest.raises(UserError, match=r"without a training pixel \(found class number 1"):
        module.fit([LabelledImage(image.cube, labels, image.valid)], seed=0, **settings)
    with pytest.raises(UserError, match="size of the image"):
        module.fit([LabelledImage(image.cube, image.labels[1:], image.valid)], seed=0, **settings)
    with pytest.raises(UserError, match="not finite"):
        module.fit([LabelledImage(image.cube, image.labels.clip(0), image.valid | True)], seed=0, **settings)
    classifier = fitted(name, image, **({"epochs": 1} if name in NETWORKS else {}))
    with pytest.raises(UserError, match="trained with 20 bands"):
        classifier.predict(image.cube[:7], image.valid)


@pytest.mark.parametrize("name", METHODS)
def test_two_classes_of_unequal_size_and_a_class_of_one_pixel(name):
    image, truth = scene(3, classes=2)
    labels = image.labels.copy()
    places = np.argwhere(labels == 1)
    labels[tuple(places[1:].T)] = -1
    settings = {"epochs": 3} if name in NETWORKS else {}
    found = fitted(name, LabelledImage(image.cube, labels, image.valid), **settings).predict(image.cube, image.valid)
    assert np.isfinite(found).all()
    two = fitted(name, image).predict(image.cube, image.valid)
    assert (two.argmax(0) == truth)[image.valid].mean() > 0.9


def test_several_images_train_together():
    images = [scene(number, rows=16, cols=20)[0] for number in range(3)]
    empty = LabelledImage(images[0].cube, np.full((16, 20), -1), images[0].valid)
    for name in METHODS:
        classifier = module_of(name).fit([*images, empty], seed=0, **METHODS[name])
        assert classifier.predict(images[0].cube, images[0].valid).shape == (3, 16, 20)


@pytest.fixture(scope="module")
def table(example):
    return gather([example[0]], lambda cube, _: cube)


def test_training_pixels_are_those_with_class_and_data(example, table):
    image, _ = example
    chosen = (image.labels >= 0) & image.valid
    assert (table.features == image.cube[:, chosen].T).all()
    assert (table.classes == image.labels[chosen]).all()
    assert table.count == 3


@pytest.mark.parametrize("shrinkage", [None, 0.3])
def test_discriminant_is_scikit_learns(table, shrinkage):
    values = StandardScaler().fit_transform(table.features)
    amount = "auto" if shrinkage is None else shrinkage
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=amount).fit(values, table.classes)
    own = fit_discriminant(table, shrinkage=shrinkage)
    assert own.probabilities(table.features) == pytest.approx(reference.predict_proba(values), abs=1e-6)


def test_shrinkage_is_scikit_learns():
    from sklearn.covariance import ledoit_wolf

    values = np.random.default_rng(0).standard_normal((40, 15)) * np.arange(1, 16)
    values -= values.mean(0)
    found = ledoit_wolf_shrinkage(values, values.T @ values / 40)
    assert found == pytest.approx(ledoit_wolf(values, assume_centered=True)[1], rel=1e-9)
    assert ledoit_wolf_shrinkage(np.eye(4) * 0, np.zeros((4, 4))) == 0


def test_features_without_spread_do_no_harm(table):
    doubled = np.concatenate([table.features, table.features, np.full((len(table.features), 1), 7.0)], 1)
    own = fit_discriminant(TrainingPixels(doubled, table.classes, 3), shrinkage=0.0)
    assert np.isfinite(own.probabilities(doubled)).all()
    assert (own.probabilities(doubled).argmax(1) == table.classes).mean() > 0.9


@pytest.mark.parametrize("classes", [2, 3])
def test_support_vectors_decide_as_scikit_learn(table, classes):
    chosen = table.classes < classes
    features, numbers = table.features[chosen], table.classes[chosen]
    own = fit_support_vectors(TrainingPixels(features, numbers, classes), penalty=10, width=1)
    values = StandardScaler().fit_transform(features)
    reference = SVC(C=10, gamma=1 / 20, break_ties=classes > 2, decision_function_shape="ovr").fit(values, numbers)
    decisions = own.decisions(table.features)
    expected = StandardScaler().fit(features).transform(table.features)
    if classes > 2:
        assert decisions == pytest.approx(reference.decision_function(expected), abs=1e-7)
    assert (decisions.argmax(1) == reference.predict(expected)).all()
    assert own.probabilities(table.features).sum(1) == pytest.approx(1)


def test_forest_votes_as_scikit_learn(table):
    own = grow_forest(table, trees=20, leaf=2, seed=7)
    reference = RandomForestClassifier(20, min_samples_leaf=2, random_state=7).fit(table.features, table.classes)
    points = np.random.default_rng(2).permuted(table.features, axis=0)
    assert own.probabilities(points) == pytest.approx(reference.predict_proba(points), abs=1e-12)


def test_folds_are_blocks_and_spread_the_classes(example):
    image, _ = example
    (folds,) = spatial_folds([image], folds=4)
    chosen = (image.labels >= 0) & image.valid
    assert ((folds >= 0) == chosen).all()
    side = round(np.sqrt(32 * 40) / 6)
    for row in range(0, 32, side):
        for col in range(0, 40, side):
            block = folds[row : row + side, col : col + side]
            assert len(np.unique(block[block >= 0])) <= 1
    for kind in range(3):
        counts = np.bincount(folds[image.labels == kind][folds[image.labels == kind] >= 0], minlength=4)
        assert counts.min() > 0.5 * counts.mean()


def test_pixels_near_a_held_out_fold_do_not_train(example):
    image, _ = example
    maps = spatial_folds([image], folds=4)
    kept = np.zeros(image.labels.shape, bool)
    kept[maps[0] >= 0] = kept_for_training(maps, 2, buffer=3)
    first, second = np.argwhere(kept), np.argwhere(maps[0] == 2)
    assert np.abs(first[:, None] - second[None]).max(-1).min() > 3


def test_many_images_are_folded_whole():
    images = [scene(number, rows=16, cols=20)[0] for number in range(10)]
    maps = spatial_folds(images, folds=5)
    names = [np.unique(own[own >= 0]) for own in maps]
    assert all(len(name) == 1 for name in names)
    assert sorted(int(name[0]) for name in names) == sorted([*range(5)] * 2)


@pytest.mark.parametrize("name", METHODS)
def test_defaults_are_those_of_the_file(name):
    method, module = methods_of("segmentation")[name], module_of(name)
    given = {key: item.default for key, item in inspect.signature(module.fit).parameters.items()}
    if name in NETWORKS:
        network = module.SpectralNetwork if name == "cnn_classifier" else module.NeighbourhoodNetwork
        given |= {key: item.default for key, item in inspect.signature(network).parameters.items()}
    own = {key: entry["default"] for key, entry in method.settings.items() if key not in training_entries()}
    assert own.keys() <= given.keys()
    for key, default in own.items():
        assert given[key] == (tuple(default) if isinstance(default, list) else default), key
    for key in ("epochs", "batch_size", "learning_rate", "weight_decay", "optimizer") if name in NETWORKS else ():
        assert given[key] == method.settings[key]["default"], key


def test_smoothing_is_chosen_by_what_the_image_bears():
    fields, _ = scene(0)
    assert fitted("smoothed_lda_svm", fields).strength > 0
    # pixel by pixel another class: whatever is smoothed is lost
    generator = np.random.default_rng(4)
    truth = generator.integers(0, 2, (32, 40))
    cube = 1000 + 100 * truth + generator.normal(0, 20, (8, 32, 40))
    labels = np.where(generator.random((32, 40)) < 0.3, truth, -1)
    mixed = LabelledImage(cube.astype(np.float32), labels, np.ones((32, 40), bool))
    classifier = fitted("smoothed_lda_svm", mixed)
    assert (classifier.predict(cube, mixed.valid).argmax(0) == truth).mean() > 0.95
    assert set(classifier.found) == {"penalty", "width", "held_out_accuracy", "strength"}
