"""The convolutional classifier of deephyp: convolutions along the bands, dense layers, logits.

L. Windrim, R. Ramakrishnan, A. Melkumyan and R. J. Murphy, Hyperspectral CNN classification with limited training
samples, British Machine Vision Conference, 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.autoencoder import activation_function, positive_sizes
from hsipipe.tasks.segmentation.shared.classification_loss import classification_loss
from hsipipe.tasks.segmentation.shared.initialisers import initialise_weights
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage
from hsipipe.tasks.segmentation.shared.light_training import held_out_share, train
from hsipipe.tasks.segmentation.shared.normalisers import Normaliser, fit_normaliser
from hsipipe.tasks.segmentation.shared.same_padding import convolve, output_length
from hsipipe.tasks.segmentation.shared.training_pixels import check_bands, gather, predict_maps
from hsipipe.training.learning_rates import LearningRate

loss = classification_loss


class SpectralNetwork(nn.Module):
    """Convolutions, dense layers and a linear layer of the classes; `layers` is how many of them together.

    Args:
        bands, classes: lengths of the spectra and of the logits.
        filters, filter_sizes, strides: of each convolution; may be empty.
        padding: VALID or SAME, as TensorFlow means them.
        dense_sizes: neurons of each dense layer before the last; may be empty.
        activation: relu, sigmoid, tanh or linear, after each layer but the last.
        initialiser, initial_std: see `initialise_weights`; biases start like weights.

    Raises:
        UserError: lists of different lengths, or filters that do not fit into the spectra.
    """

    def __init__(
        self,
        *,
        bands: int,
        classes: int,
        filters: Sequence[int] = (10, 10, 10),
        filter_sizes: Sequence[int] = (20, 10, 10),
        strides: Sequence[int] = (1, 1, 1),
        padding: str = "VALID",
        dense_sizes: Sequence[int] = (20, 20),
        activation: str = "relu",
        initialiser: str = "truncated_normal",
        initial_std: float = 0.1,
    ) -> None:
        super().__init__()
        if not len(filters) == len(filter_sizes) == len(strides):
            found = f"{len(filters)}, {len(filter_sizes)} and {len(strides)}"
            raise UserError("filters, filter_sizes and strides need an entry per convolution", found=found)
        self.bands, self.classes, self.padding = bands, classes, padding
        channels = (1, *(positive_sizes(filters, key="filters") if filters else ()))
        widths = positive_sizes(filter_sizes, key="filter_sizes") if filters else ()
        self.strides = positive_sizes(strides, key="strides") if filters else ()
        self.activation = activation_function(activation)
        length = bands
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for index, (width, stride) in enumerate(zip(widths, self.strides, strict=True)):
            length = output_length(length, width=width, stride=stride, padding=padding)
            self.weights.append(torch.empty(channels[index + 1], channels[index], width))
            self.biases.append(torch.empty(channels[index + 1]))
        sizes = [channels[-1] * length, *(positive_sizes(dense_sizes, key="dense_sizes") if dense_sizes else ())]
        self.dense = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], classes)
        pairs = [*zip(self.weights, self.biases, strict=True)]
        pairs += [(layer.weight, layer.bias) for layer in (*self.dense, self.last)]
        with torch.no_grad():
            for weight, bias in pairs:
                initialise_weights(weight, bias, name=initialiser, std=initial_std)

    @property
    def layers(self) -> int:
        """The number of convolutions and dense layers, with the last."""
        return len(self.weights) + len(self.dense) + 1

    def forward(self, spectra: Tensor) -> Tensor:
        """Logits (N, classes) of normalised spectra (N, bands)."""
        return self.features(spectra, self.layers)

    def features(self, spectra: Tensor, layer: int) -> Tensor:
        """What a layer gives, after its activation: (N, filters, length) of a convolution, (N, neurons) of a dense one.

        Args:
            spectra: (N, bands), normalised.
            layer: from 1, the first convolution, to `layers`, the logits.

        Raises:
            UserError: a layer that there is not.
        """
        if not 1 <= layer <= self.layers:
            raise UserError(f"layers go from 1 to {self.layers}", key="layer", found=layer)
        values = spectra[:, None]
        for index, (weight, bias, stride) in enumerate(zip(self.weights, self.biases, self.strides, strict=True), 1):
            values = self.activation(convolve(values, weight, bias, stride=stride, padding=self.padding))
            if index == layer:
                return values
        values = values.flatten(1)
        for index, dense in enumerate(self.dense, len(self.weights) + 1):
            values = self.activation(dense(values))
            if index == layer:
                return values
        return self.last(values)


def build(*, bands: int, classes: int, **settings: Any) -> SpectralNetwork:
    """The network: see `SpectralNetwork`."""
    return SpectralNetwork(bands=bands, classes=classes, **settings)


@dataclass
class Classifier:
    """Attributes: network, in evaluation mode; normaliser of its spectra; settings that it was built with; found: what
    is known of its training."""

    network: SpectralNetwork
    normaliser: Normaliser
    settings: dict[str, Any]
    found: dict[str, Any] = field(default_factory=dict)

    def predict(self, cube: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Probabilities (K, rows, cols) float32 of a cube (bands, rows, cols) in the scene's units; 0 where not valid.

        Raises:
            UserError: another number of bands.
        """
        check_bands(cube, self.network.bands)
        return predict_maps(cube, valid, self.network.classes, lambda spectra: self._run(spectra, None))

    def features(self, cube: np.ndarray, layer: int, valid: np.ndarray | None = None) -> np.ndarray:
        """What a layer gives, (features, rows, cols) float32: filter after filter of a convolution, its positions in
        order. Layers go from 1 to the logits' `network.layers`; 0 where not valid.

        Raises:
            UserError: another number of bands, or a layer that there is not.
        """
        check_bands(cube, self.network.bands)
        known = np.ones(cube.shape[1:], bool) if valid is None else valid
        size = self.network.features(torch.zeros(1, self.network.bands), layer)[0].numel()
        return predict_maps(cube, known, size, lambda spectra: self._run(spectra, layer))

    @torch.no_grad()
    def _run(self, spectra: np.ndarray, layer: int | None) -> np.ndarray:
        pieces = []
        for piece in torch.from_numpy(self.normaliser.apply(spectra)[0]).float().split(4096):
            if layer is None:
                pieces.append(self.network(piece).softmax(1))
            else:
                pieces.append(self.network.features(piece, layer).flatten(1))
        return torch.cat(pieces).numpy()

    def to_state(self) -> dict[str, Any]:
        """Tensors and plain values, for `from_state`."""
        return {
            "weights": self.network.state_dict(),
            "bands": self.network.bands,
            "classes": self.network.classes,
            "settings": dict(self.settings),
            "normaliser": self.normaliser.to_dict(),
            "found": dict(self.found),
        }


def from_state(state: Mapping[str, Any]) -> Classifier:
    """The classifier that `to_state` described."""
    network = build(bands=int(state["bands"]), classes=int(state["classes"]), **state["settings"])
    # a model file gives its arrays back as NumPy arrays
    network.load_state_dict({name: torch.as_tensor(value) for name, value in state["weights"].items()})
    return Classifier(
        network.eval(), Normaliser.from_dict(state["normaliser"]), dict(state["settings"]), dict(state["found"])
    )


def fit(
    images: Sequence[LabelledImage],
    *,
    seed: int = 0,
    device: str = "cpu",
    normaliser: str = "deephyp",
    balancing: str = "deephyp",
    validation_share: float = 0.0,
    schedule: str = "constant",
    decay_rate: float = 0.5,
    decay_every: int = 1000,
    rate_bounds: Sequence[int] = (),
    rate_values: Sequence[float] = (),
    epochs: int = 1000,
    batch_size: int = 50,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    optimizer: str = "adam",
    **settings: Any,
) -> Classifier:
    """Train on the training pixels of some images.

    Args:
        images: cubes in the scene's units with their training pixels.
        seed: of the weights, the order of the pixels and the part that validates.
        device: where to train.
        normaliser, balancing, validation_share: see method.yaml.
        schedule, decay_rate, decay_every, rate_bounds, rate_values: see `LearningRate`; in steps.
        epochs, batch_size, learning_rate, weight_decay, optimizer: of the training; see `train`.
        settings: of the network, see `SpectralNetwork`.

    Raises:
        UserError: fewer than two classes, a class without pixels, bands that differ, or wrong settings.
    """
    pixels = gather(images, lambda cube, _: cube)
    held = held_out_share(images, validation_share, seed=seed)
    inside = pixels.features[~held]
    scale = fit_normaliser(normaliser, inside)
    samples = torch.from_numpy(scale.apply(pixels.features)[0]).float()
    classes = torch.from_numpy(pixels.classes)
    with torch.random.fork_rng():
        torch.manual_seed(seed % (1 << 63))
        network = build(bands=samples.shape[1], classes=pixels.count, **settings)
    course = train(
        network,
        samples[~held],
        classes[~held],
        count=pixels.count,
        rate=LearningRate(
            schedule,
            learning_rate,
            epochs * -(-len(inside) // batch_size),
            decay=decay_rate,
            decay_steps=decay_every,
            bounds=rate_bounds,
            values=rate_values,
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        device=device,
        weight_decay=weight_decay,
        optimizer=optimizer,
        balancing=balancing,
        validation=(samples[held], classes[held]) if held.any() else None,
    )
    return Classifier(network.cpu(), scale, settings, {"losses": course.losses, "best_epoch": course.best})
