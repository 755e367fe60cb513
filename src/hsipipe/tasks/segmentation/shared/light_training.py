"""A small training loop for classifiers of labelled pixels: seconds of training, nothing on disk."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from hsipipe.errors import UserError, unknown
from hsipipe.tasks.segmentation.shared.balancing import class_weights
from hsipipe.tasks.segmentation.shared.classification_loss import classification_loss
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage
from hsipipe.tasks.segmentation.shared.spatial_folds import spatial_folds
from hsipipe.training.learning_rates import LearningRate


@dataclass
class Course:
    """Attributes: losses: mean training loss of each epoch; validation: (loss, share right) of each, if there is any;
    best: the epoch, from 1, whose weights were kept; the last one without validation."""

    losses: list[float] = field(default_factory=list)
    validation: list[tuple[float, float]] = field(default_factory=list)
    best: int = 0


def train(
    network: nn.Module,
    samples: Tensor,
    classes: Tensor,
    *,
    count: int,
    rate: LearningRate,
    epochs: int,
    batch_size: int,
    seed: int,
    device: str = "cpu",
    weight_decay: float = 0.0,
    optimizer: str = "adam",
    balancing: str = "none",
    label_smoothing: float = 0.0,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
) -> Course:
    """Train a network in place.

    Each epoch sees every sample once, in an order that depends on the seed and the epoch only. With validation samples
    the weights of the epoch with the lowest mean validation loss are kept.

    Args:
        network: (N, ...) to logits (N, K).
        samples: (N, ...) float32, on any device.
        classes: (N,) from 0 on.
        count: K.
        rate: the learning rate of each step.
        epochs, batch_size: at least 1.
        seed: of the order of the samples, the augmentation and the dropout.
        device: where to train.
        weight_decay: an L2 penalty with adam and sgd, decoupled with adamw.
        optimizer: adam, adamw or sgd.
        balancing: how classes are weighted, see `class_weights`; deephyp's by the counts of each batch, others by all.
        label_smoothing: see `classification_loss`.
        augment: (batch, generator) to a changed batch, at every step.
        validation: samples and their classes.

    Raises:
        UserError: an unknown optimiser or balancing, or a loss that is not finite.
    """
    kinds: dict[str, type[torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": torch.optim.SGD,
    }
    if optimizer not in kinds:
        raise unknown("optimiser", optimizer, kinds)
    network.to(device)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    steps = kinds[optimizer](parameters, lr=rate.start, weight_decay=weight_decay)  # type: ignore[call-arg]
    fixed = torch.from_numpy(class_weights(classes.cpu().numpy(), count, kind=balancing)).float().to(device)
    course, step = Course(), 0
    best_loss, best_state = np.inf, None
    # Dropout draws from torch's own generators: seeded here, and given back as they were.
    with torch.random.fork_rng():
        torch.manual_seed(seed % (1 << 63))
        for epoch in range(1, epochs + 1):
            network.train()
            generator = torch.Generator().manual_seed(seed * 1_000_003 % (1 << 62) + epoch)
            total = 0.0
            for index in torch.randperm(len(samples), generator=generator).split(batch_size):
                batch, targets = samples[index].to(device), classes[index].to(device)
                if augment is not None:
                    batch = augment(batch, generator)
                weights = fixed
                if balancing == "deephyp":
                    own = class_weights(targets.cpu().numpy(), count, kind=balancing)
                    weights = torch.from_numpy(own).float().to(device)
                for group in steps.param_groups:
                    group["lr"] = rate.at(step)
                loss = classification_loss(network(batch), targets, weights, label_smoothing=label_smoothing)
                steps.zero_grad(set_to_none=True)
                loss.backward()
                steps.step()
                total += float(loss.detach()) * len(index)
                step += 1
            course.losses.append(total / len(samples))
            if not np.isfinite(total):
                raise UserError(
                    "the training diverged", found=f"a loss of {total} in epoch {epoch}", remedy="lower the rate"
                )
            course.best = epoch
            if validation is not None:
                course.validation.append(evaluate(network, *validation, batch_size=batch_size, device=device))
                if course.validation[-1][0] < best_loss:
                    best_loss, best_state = course.validation[-1][0], (epoch, copy.deepcopy(network.state_dict()))
    if best_state is not None:
        course.best = best_state[0]
        network.load_state_dict(best_state[1])
    network.eval()
    return course


@torch.no_grad()
def evaluate(
    network: nn.Module, samples: Tensor, classes: Tensor, *, batch_size: int, device: str
) -> tuple[float, float]:
    """The mean loss, unweighted, and the share that is right, of samples with a class."""
    network.eval()
    loss, right = 0.0, 0
    for start in range(0, len(samples), batch_size):
        targets = classes[start : start + batch_size].to(device)
        logits = network(samples[start : start + batch_size].to(device))
        loss += float(classification_loss(logits, targets)) * len(targets)
        right += int((logits.argmax(1) == targets).sum())
    return loss / len(samples), right / len(samples)


def held_out_share(images: Sequence[LabelledImage], share: float, *, seed: int) -> np.ndarray:
    """Which training pixels validate instead: whole folds of twenty, as many as come nearest to a share.

    Returns:
        (N,) bool, image after image, row by row; nothing for share 0.

    Raises:
        UserError: a share so large that a class would be left without training pixel.
    """
    maps = spatial_folds(images, folds=20, seed=seed)
    folds = np.concatenate([own[own >= 0] for own in maps])
    held = folds < round(share * 20)
    classes = np.concatenate([image.labels[own >= 0] for image, own in zip(images, maps, strict=True)])
    missing = np.setdiff1d(classes, classes[~held])
    if len(missing):
        raise UserError(
            f"class number {', '.join(map(str, missing))} would have no training pixel",
            key="validation_share",
            found=share,
            remedy="take a smaller share",
        )
    return held
