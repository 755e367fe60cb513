"""A small convolutional network over the neighbourhood of a pixel, for few training pixels.

The bands are mixed into few components, which start as whitened principal components; two 3 x 3 convolutions see the
neighbourhood, and the pixel's own components go round them to the last layer, so that small objects are not lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.classification_loss import classification_loss
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage
from hsipipe.tasks.segmentation.shared.light_training import held_out_share, train
from hsipipe.tasks.segmentation.shared.principal_components import principal_components
from hsipipe.tasks.segmentation.shared.training_pixels import check_bands, check_images, standardisation
from hsipipe.training.learning_rates import LearningRate

SLAB = 64  # rows of an image that are classified at once
loss = classification_loss


class NeighbourhoodNetwork(nn.Module):
    """Windows (N, bands, window, window) to logits (N, classes); larger images to a logit map.

    Args:
        bands, classes: of the input and the output.
        window: side of the neighbourhood, odd, at least 5.
        components: that the bands are mixed into.
        channels: width of the convolutions.
        dropout: share of the features left out in training.

    Raises:
        UserError: a window that is even or below 5.
    """

    def __init__(
        self,
        *,
        bands: int,
        classes: int,
        window: int = 7,
        components: int = 24,
        channels: int = 48,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if window < 5 or window % 2 == 0:
            raise UserError("must be odd and at least 5", key="window", found=window)
        self.bands, self.classes, self.window = bands, classes, window
        self.mix = nn.Conv2d(bands, components, 1)
        self.surroundings = nn.Sequential(
            nn.Conv2d(components, channels, 3, bias=False),
            nn.BatchNorm2d(channels),
            nn.GELU(),
            nn.Dropout2d(dropout),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.BatchNorm2d(channels),
            nn.GELU(),
        )
        self.dropout = nn.Dropout2d(dropout)
        self.last = nn.Conv2d(components + channels, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of standardised windows or images (N, bands, rows, cols).

        Returns:
            (N, classes) of windows; else (N, classes, rows - window + 1, cols - window + 1), pixel for pixel what the
            windows would give.
        """
        mixed = self.mix(images)
        around = functional.avg_pool2d(self.surroundings(mixed), self.window - 4, stride=1)
        reach = self.window // 2
        centre = mixed[:, :, reach : mixed.shape[2] - reach, reach : mixed.shape[3] - reach]
        logits = self.last(self.dropout(torch.cat([centre, around], 1)))
        return logits.flatten(1) if images.shape[2:] == (self.window, self.window) else logits


def build(*, bands: int, classes: int, **settings: Any) -> NeighbourhoodNetwork:
    """The network: see `NeighbourhoodNetwork`."""
    return NeighbourhoodNetwork(bands=bands, classes=classes, **settings)


def initialise(network: NeighbourhoodNetwork, spectra: Tensor) -> None:
    """Let the mixing of the bands start as whitened principal components of spectra (N, bands).

    Where there are fewer spectra or bands than components, the rest start as they are.
    """
    count = min(network.mix.out_channels, *spectra.shape)
    mean, axes, deviations = principal_components(spectra, count)
    # Beyond this the whitening would turn rounding into features.
    rows = (axes / deviations.clamp_min(1e-3 * float(deviations[0]) + 1e-12)).T
    with torch.no_grad():
        network.mix.weight[:count, :, 0, 0] = rows.float()
        network.mix.bias[:count] = -(rows @ mean).float()  # type: ignore[index]


@dataclass
class Classifier:
    """Attributes: network, in evaluation mode; centre, scale (bands,): standardisation; settings it was built with;
    found: what is known of its training."""

    network: NeighbourhoodNetwork
    centre: np.ndarray
    scale: np.ndarray
    settings: dict[str, Any]
    found: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def predict(self, cube: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Probabilities (K, rows, cols) float32 of a cube (bands, rows, cols) in the scene's units; 0 where not valid.

        Raises:
            UserError: another number of bands.
        """
        check_bands(cube, self.network.bands)
        padded = torch.from_numpy(padded_standardised(cube, valid, self.centre, self.scale, self.network.window))
        maps = np.zeros((self.network.classes, *valid.shape), np.float32)
        for start in range(0, valid.shape[0], SLAB):
            rows = min(SLAB, valid.shape[0] - start)
            logits = self.network(padded[None, :, start : start + rows + self.network.window - 1])
            maps[:, start : start + rows] = logits.reshape(self.network.classes, rows, -1).softmax(0).numpy()
        return maps * valid

    def to_state(self) -> dict[str, Any]:
        """Tensors, arrays and plain values, for `from_state`."""
        return {
            "weights": self.network.state_dict(),
            "bands": self.network.bands,
            "classes": self.network.classes,
            "settings": dict(self.settings),
            "centre": self.centre,
            "scale": self.scale,
            "found": dict(self.found),
        }


def from_state(state: Mapping[str, Any]) -> Classifier:
    """The classifier that `to_state` described."""
    network = build(bands=int(state["bands"]), classes=int(state["classes"]), **state["settings"])
    # a model file gives its arrays back as NumPy arrays
    network.load_state_dict({name: torch.as_tensor(value) for name, value in state["weights"].items()})
    centre, scale = np.asarray(state["centre"]), np.asarray(state["scale"])
    return Classifier(network.eval(), centre, scale, dict(state["settings"]), dict(state["found"]))


def padded_standardised(
    cube: np.ndarray, valid: np.ndarray, centre: np.ndarray, scale: np.ndarray, window: int
) -> np.ndarray:
    """(bands, rows + window - 1, cols + window - 1) float32: standardised, 0 (the mean) beyond the edges and where not
    valid."""
    values = (np.where(valid, cube, centre[:, None, None]) - centre[:, None, None]) / scale[:, None, None]
    reach = window // 2
    return np.pad(values.astype(np.float32), ((0, 0), (reach, reach), (reach, reach)))


def fit(
    images: Sequence[LabelledImage],
    *,
    seed: int = 0,
    device: str = "cpu",
    noise: float = 0.1,
    brightness: float = 0.1,
    label_smoothing: float = 0.05,
    balancing: str = "none",
    validation_share: float = 0.0,
    schedule: str = "one-cycle",
    decay_rate: float = 0.5,
    decay_every: int = 1000,
    rate_bounds: Sequence[int] = (),
    rate_values: Sequence[float] = (),
    epochs: int = 60,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    optimizer: str = "adamw",
    **settings: Any,
) -> Classifier:
    """Train on the training pixels of some images.

    Args:
        images: cubes in the scene's units with their training pixels.
        seed: of the weights, the order of the pixels, the augmentation and the part that validates.
        device: where to train.
        noise, brightness, label_smoothing, balancing, validation_share: see method.yaml.
        schedule, decay_rate, decay_every, rate_bounds, rate_values: see `LearningRate`; in steps.
        epochs, batch_size, learning_rate, weight_decay, optimizer: of the training; see `train`.
        settings: of the network, see `NeighbourhoodNetwork`.

    Raises:
        UserError: fewer than two classes, a class without pixels, bands that differ, or wrong settings.
    """
    count = check_images(images)
    with torch.random.fork_rng():
        torch.manual_seed(seed % (1 << 63))
        network = build(bands=len(images[0].cube), classes=count, **settings)
    held = held_out_share(images, validation_share, seed=seed)
    masks = [(image.labels >= 0) & image.valid for image in images]
    spectra = np.concatenate([image.cube[:, mask].T for image, mask in zip(images, masks, strict=True)])
    classes = torch.from_numpy(
        np.concatenate([image.labels[mask] for image, mask in zip(images, masks, strict=True)]).astype(np.int64)
    )
    centre, scale = standardisation(spectra[~held].astype(np.float64))
    initialise(network, torch.from_numpy((spectra[~held] - centre) / scale))
    windows = torch.cat(
        [
            _windows(padded_standardised(image.cube, image.valid, centre, scale, network.window), mask, network.window)
            for image, mask in zip(images, masks, strict=True)
            if mask.any()
        ]
    )
    steps = epochs * -(-int((~held).sum()) // batch_size)
    course = train(
        network,
        windows[~held],
        classes[~held],
        count=count,
        rate=LearningRate(
            schedule,
            learning_rate,
            steps,
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
        label_smoothing=label_smoothing,
        augment=lambda batch, generator: augmented(batch, generator, noise=noise, brightness=brightness),
        validation=(windows[held], classes[held]) if held.any() else None,
    )
    found = {"losses": course.losses, "best_epoch": course.best}
    return Classifier(network.cpu(), centre, scale, settings, found)


def augmented(windows: Tensor, generator: torch.Generator, *, noise: float, brightness: float) -> Tensor:
    """Windows (N, bands, w, w) turned and reflected, each in its own way, brighter or darker, and noisier.

    Drawn on the CPU, so that the device does not decide what is drawn.
    """
    count = len(windows)
    turns = torch.randint(0, 8, (count,), generator=generator)
    result = torch.empty_like(windows)
    for turn in range(8):
        chosen = (turns == turn).to(windows.device)
        own = torch.rot90(windows[chosen], turn % 4, (2, 3))
        result[chosen] = own.flip(3) if turn >= 4 else own
    factor = 1 + brightness * torch.randn((count, 1, 1, 1), generator=generator)
    added = noise * torch.randn(windows.shape, generator=generator)
    return result * factor.to(windows) + added.to(windows)


def _windows(padded: np.ndarray, mask: np.ndarray, window: int) -> Tensor:
    """The neighbourhoods (N, bands, window, window) of the pixels of a mask, row by row."""
    rows, cols = np.nonzero(mask)
    # (bands, rows, cols, window, window), without a copy of the image.
    views = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(1, 2))
    return torch.from_numpy(np.ascontiguousarray(views[:, rows, cols].transpose(1, 0, 2, 3)))
