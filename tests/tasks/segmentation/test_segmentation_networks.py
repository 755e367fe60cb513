import numpy as np
import pytest
import torch
from torch.nn import functional

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.methods.cnn_classifier import model as cnn
from hsipipe.tasks.segmentation.methods.spatial_spectral import model as spatial
from hsipipe.tasks.segmentation.shared.classification_loss import classification_loss
from hsipipe.tasks.segmentation.shared.light_training import train
from hsipipe.training.learning_rates import RATES, LearningRate


def test_deephyps_network_has_its_layers():
    network = cnn.build(bands=103, classes=9)
    # VALID: 103 - 19 - 9 - 9 = 66 positions of 10 filters
    shapes = [tuple(network.features(torch.zeros(2, 103), layer).shape) for layer in range(1, network.layers + 1)]
    assert shapes == [(2, 10, 84), (2, 10, 75), (2, 10, 66), (2, 20), (2, 20), (2, 9)]
    count = (20 * 10 + 10) + 2 * (10 * 10 * 10 + 10) + (660 * 20 + 20) + (20 * 20 + 20) + (20 * 9 + 9)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert all((network.features(torch.randn(5, 103), layer) >= 0).all() for layer in range(1, 6))


def test_deephyps_network_by_torchs_layers():
    network = cnn.build(bands=30, classes=4, strides=[2, 1, 1], filter_sizes=[5, 3, 3], activation="sigmoid")
    spectra = torch.randn(3, 30)
    values = spectra[:, None]
    for weight, bias, stride in zip(network.weights, network.biases, (2, 1, 1), strict=True):
        values = functional.conv1d(values, weight, bias, stride=stride).sigmoid()
    values = values.flatten(1)
    for layer in network.dense:
        values = layer(values).sigmoid()
    assert torch.allclose(network(spectra), network.last(values), atol=1e-6)


@pytest.mark.parametrize("sizes", [[], [7], [9, 8, 7]])
def test_any_number_of_dense_layers(sizes):
    network = cnn.build(bands=40, classes=3, dense_sizes=sizes, padding="SAME", strides=[2, 2, 2])
    assert network.layers == 3 + len(sizes) + 1
    assert network(torch.randn(2, 40)).shape == (2, 3)


def test_networks_without_convolutions_are_perceptrons():
    network = cnn.build(bands=12, classes=3, filters=[], filter_sizes=[], strides=[])
    assert network.features(torch.randn(2, 12), 1).shape == (2, 20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": [10]}, "an entry per convolution"),
        ({"filter_sizes": [20, 10, 200]}, "does not fit"),
        ({"activation": "softplus"}, "unknown activation"),
        ({"initialiser": "kaiming"}, "unknown initialiser"),
        ({"dense_sizes": [0]}, "whole numbers"),
    ],
)
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        cnn.build(bands=103, classes=9, **settings)
    with pytest.raises(UserError, match="layers go from 1 to 6"):
        cnn.build(bands=103, classes=9).features(torch.zeros(1, 103), 7)


def test_features_of_an_image_are_those_of_its_spectra():
    generator = np.random.default_rng(0)
    cube = generator.random((20, 6, 7)).astype(np.float32)
    labels = generator.integers(-1, 3, (6, 7))
    image = cnn.LabelledImage(cube, labels, np.ones((6, 7), bool))
    classifier = cnn.fit([image], seed=0, epochs=1, filter_sizes=[5, 3, 3])
    spectra = torch.from_numpy(classifier.normaliser.apply(cube.reshape(20, -1).T.astype(float))[0]).float()
    for layer in (1, 4, 6):
        expected = classifier.network.features(spectra, layer).flatten(1).T.reshape(-1, 6, 7).detach().numpy()
        assert classifier.features(cube, layer) == pytest.approx(expected, abs=1e-5)


def test_loss_is_weighted_and_averaged_over_samples_that_count():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, 5.0], [1.0, 1.0]])
    classes = torch.tensor([0, 1, 1, -1])
    each = functional.cross_entropy(logits[:3], classes[:3], reduction="none")
    assert classification_loss(logits, classes) == pytest.approx(float(each.mean()))
    weights = torch.tensor([3.0, 0.5])
    expected = (3 * each[0] + 0.5 * each[1] + 0.5 * each[2]) / 3
    assert classification_loss(logits, classes, weights) == pytest.approx(float(expected))
    # a class of weight 0 is not counted in the mean
    assert classification_loss(logits, classes, torch.tensor([1.0, 0.0])) == pytest.approx(float(each[0]))
    assert classification_loss(logits, torch.full((4,), -1)) == 0


def test_windows_and_images_give_the_same_logits():
    network = spatial.build(bands=5, classes=3, window=7, components=4, channels=6).eval()
    spatial.initialise(network, torch.randn(50, 5))
    image = torch.randn(1, 5, 12, 13)
    whole = network(image)
    assert whole.shape == (1, 3, 6, 7)
    for row in range(6):
        for col in range(7):
            window = network(image[:, :, row : row + 7, col : col + 7])
            assert window.shape == (1, 3)
            assert torch.allclose(window[0], whole[0, :, row, col], atol=1e-5)


def test_mixing_starts_as_whitened_components():
    spectra = torch.randn(400, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64) + 3
    network = spatial.build(bands=6, classes=2, components=4)
    spatial.initialise(network, spectra)
    mixed = network.mix(spectra.float()[:, :, None, None])[:, :, 0, 0].detach().double()
    assert torch.allclose(mixed.mean(0), torch.zeros(4, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(mixed.T @ mixed / 400, torch.eye(4, dtype=torch.float64), atol=1e-3)


def test_augmentation_keeps_the_centre_and_the_set_of_values():
    windows = torch.randn(64, 3, 5, 5)
    turned = spatial.augmented(windows, torch.Generator().manual_seed(0), noise=0, brightness=0)
    assert torch.equal(turned[:, :, 2, 2], windows[:, :, 2, 2])
    assert torch.equal(turned.flatten(2).sort().values, windows.flatten(2).sort().values)
    assert not torch.equal(turned, windows)
    again = spatial.augmented(windows, torch.Generator().manual_seed(0), noise=0, brightness=0)
    assert torch.equal(turned, again)


@pytest.mark.parametrize("window", [3, 4, 8])
def test_windows_are_odd_and_not_too_small(window):
    with pytest.raises(UserError, match="odd and at least 5"):
        spatial.build(bands=5, classes=2, window=window)


def test_rates_by_hand():
    assert LearningRate("constant", 0.1, 10).at(7) == 0.1
    cosine = LearningRate("cosine", 0.1, 10)
    assert [cosine.at(0), cosine.at(5), cosine.at(10)] == pytest.approx([0.1, 0.05, 0.0])
    exponential = LearningRate("exponential", 0.8, 100, decay=0.5, decay_steps=10)
    assert [exponential.at(step) for step in (0, 9, 10, 25)] == [0.8, 0.8, 0.4, 0.2]
    piecewise = LearningRate("piecewise", 1.0, 100, bounds=[10, 20], values=[0.5, 0.1])
    assert [piecewise.at(step) for step in (0, 10, 11, 20, 21)] == [1.0, 1.0, 0.5, 0.5, 0.1]


def test_one_cycle_is_torchs():
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.3, total_steps=40)
    own = LearningRate("one-cycle", 0.3, 40)
    for step in range(40):
        assert own.at(step) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-6)
        optimiser.step()
        if step < 39:
            reference.step()


def test_wrong_rates_are_told():
    with pytest.raises(UserError, match="did you mean 'cosine'"):
        LearningRate("cosin", 0.1, 10)
    with pytest.raises(UserError, match="a value after each bound"):
        LearningRate("piecewise", 0.1, 10, bounds=[3])
    with pytest.raises(UserError, match="rise"):
        LearningRate("piecewise", 0.1, 10, bounds=[3, 2], values=[1, 2])
    assert all(LearningRate(kind, 0.1, 10, bounds=[3], values=[1]).at(0) > 0 for kind in RATES)


def run(network, *, epochs=30, **settings):
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(90, 4, generator=generator)
    classes = (samples[:, 0] > 0).long()
    rate = LearningRate("constant", 0.05, epochs * 3)
    return train(network, samples, classes, count=2, rate=rate, epochs=epochs, batch_size=30, seed=0, **settings)


def linear():
    torch.manual_seed(0)
    return torch.nn.Linear(4, 2)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_training_lowers_the_loss(optimizer):
    course = run(linear(), optimizer=optimizer)
    assert course.losses[-1] < 0.6 * course.losses[0]
    assert course.best == 30


def test_weight_decay_decays():
    free, decayed = linear(), linear()
    run(free)
    run(decayed, weight_decay=0.1)
    assert decayed.weight.norm() < 0.8 * free.weight.norm()


@pytest.mark.parametrize("balancing", ["inverse", "deephyp"])
def test_balancing_helps_the_rare_class(balancing):
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(300, 2, generator=generator)
    classes = torch.zeros(300, dtype=torch.long)
    classes[:15], samples[:15, 0] = 1, samples[:15, 0] + 1.2
    recalls = {}
    for kind in ("none", balancing):
        network = torch.nn.Linear(2, 2)
        torch.nn.init.zeros_(network.weight)
        torch.nn.init.zeros_(network.bias)
        rate = LearningRate("constant", 0.05, 100)
        train(network, samples, classes, count=2, rate=rate, epochs=40, batch_size=100, seed=0, balancing=kind)
        recalls[kind] = float((network(samples[:15]).argmax(1) == 1).float().mean())
    assert recalls[balancing] > recalls["none"] + 0.3


def test_the_best_epoch_on_validation_is_kept():
    network = linear()
    generator = torch.Generator().manual_seed(5)
    samples = torch.randn(40, 4, generator=generator)
    # the validation says the opposite: the longer the training, the worse
    course = run(network, validation=(samples, (samples[:, 0] <= 0).long()))
    losses = [loss for loss, _ in course.validation]
    assert course.best == int(np.argmin(losses)) + 1 == 1
    found = functional.cross_entropy(network(samples), (samples[:, 0] <= 0).long())
    assert float(found.detach()) == pytest.approx(losses[0], rel=1e-5)


def test_wrong_training_is_told():
    with pytest.raises(UserError, match="unknown optimiser"):
        run(linear(), optimizer="lion")
    with pytest.raises(UserError, match="diverged"):
        train(
            linear(), torch.full((4, 4), float("inf")), torch.tensor([0, 1, 0, 1]), count=2,
            rate=LearningRate("constant", 0.1, 1), epochs=1, batch_size=4, seed=0,
        )  # fmt: skip
