"""Losses of two views of a batch: NT-Xent, its decoupled form (DCL) and VICReg; `LOSSES` names them.

Row i of `first` and row i of `second` are embeddings of two views of sample i; the other rows are other samples.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hsipipe.errors import UserError, unknown

# torch is imported by the functions that compute: settings read `LOSSES` and `check_batch` without it.
if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

# With fewer samples the 2 B - 2 negatives are so few that NT-Xent is small, and its gradient with it, whatever the
# embeddings are: the share of the positive in the denominator multiplies the gradient (Yeh et al. 2022, section 3).
SMALLEST_BATCH = 8
# An embedding that is shorter has no direction, and no gradient of one.
SMALLEST_NORM = 1e-8
# Added to the variances of VICReg before the root (Bardes et al. 2022, section 4.1).
VARIANCE_OFFSET = 1e-4


def nt_xent(first: Tensor, second: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Normalised temperature-scaled cross entropy: each view has to find the other view of its sample among all.

    The mean over the 2 B views of -log(exp(s_positive / t) / sum of exp(s / t) over the 2 B - 1 other views), s being
    cosines. Where all embeddings are equal it is log(2 B - 1). Computed in float32 at least, also under autocast.
    T. Chen, S. Kornblith, M. Norouzi and G. Hinton, A Simple Framework for Contrastive Learning of Visual
    Representations, ICML 2020, arXiv 2002.05709, equation 1.

    Args:
        first: (B, d), of any length: they are normalised here.
        second: (B, d).
        temperature: above 0; the paper of the original recipe has 0.05 to 0.2.

    Raises:
        UserError: a batch of 1 (the loss would be 0 whatever the embeddings), or a temperature that is not above 0.
        ValueError: shapes that do not fit together.
    """
    from torch.nn import functional

    logits, positive = _cosine_logits(first, second, temperature, "nt_xent")
    return functional.cross_entropy(logits, positive)


def dcl(first: Tensor, second: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Decoupled contrastive loss: NT-Xent without the positive in the denominator.

    The mean over the 2 B views of -s_positive / t + log(sum of exp(s / t) over the 2 B - 2 views of other samples).
    Unlike NT-Xent its gradient does not fade with small batches, and it has no lower bound of 0. Where all embeddings
    are equal it is log(2 B - 2). Computed in float32 at least, also under autocast.
    C.-H. Yeh, C.-Y. Hong, Y.-C. Hsu, T.-L. Liu, Y. Chen and Y. LeCun, Decoupled Contrastive Learning, ECCV 2022,
    arXiv 2110.06848, the loss L_DC of section 3.

    Args:
        first: (B, d), of any length: they are normalised here.
        second: (B, d).
        temperature: above 0.

    Raises:
        UserError: a batch of 1 (there is nothing to contrast with), or a temperature that is not above 0.
        ValueError: shapes that do not fit together.
    """
    logits, positive = _cosine_logits(first, second, temperature, "dcl")
    column = positive[:, None]
    negatives = logits.scatter(1, column, -math.inf).logsumexp(1)
    return (negatives - logits.gather(1, column)[:, 0]).mean()


def vicreg(
    first: Tensor,
    second: Tensor,
    *,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
) -> Tensor:
    """Variance-invariance-covariance regularisation: equal views, spread dimensions, and those uncorrelated.

    Weighted sum of: the mean squared difference of the two views; the mean over dimensions of what the standard
    deviation over the batch lacks to 1, summed over the two views; the squared covariances of different dimensions,
    summed, divided by d, and summed over the two views. No negatives. In float32 at least, also under autocast.
    A. Bardes, J. Ponce and Y. LeCun, VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
    Learning, ICLR 2022, arXiv 2105.04906, algorithm 1 with the weights of section 4.2.

    Deviation: the squared difference is averaged over dimensions too, as in algorithm 1; equation 5 sums over them.

    Args:
        first: (B, d), not normalised.
        second: (B, d).
        invariance_weight: lambda of the paper, at least 0.
        variance_weight: mu, at least 0.
        covariance_weight: nu, at least 0.

    Raises:
        UserError: a batch of 1, which has no variance, or a negative weight.
        ValueError: shapes that do not fit together.
    """
    import torch

    _check_pair(first, second, "vicreg")
    weights = {"invariance": invariance_weight, "variance": variance_weight, "covariance": covariance_weight}
    for name, weight in weights.items():
        if not weight >= 0:
            raise UserError("must be at least 0", key=f"{name}_weight", found=weight)
    count, dimensions = first.shape
    with torch.autocast(first.device.type, enabled=False):
        first, second = at_least_float32(first), at_least_float32(second)
        invariance = (first - second).square().mean()
        variance = covariance = first.new_zeros(())
        for view in (first, second):
            centred = view - view.mean(0)
            products = centred.T @ centred / (count - 1)
            spread = (products.diagonal() + VARIANCE_OFFSET).sqrt()
            variance = variance + (1 - spread).relu().mean()
            covariance = covariance + (products - products.diagonal().diag()).square().sum() / dimensions
        return invariance_weight * invariance + variance_weight * variance + covariance_weight * covariance


@dataclass(frozen=True)
class Entry:
    """A loss with what documentation and checks say of it.

    Attributes:
        function: (first (B, d), second (B, d), settings by name) to a scalar.
        meaning: what it asks of embeddings, in one line.
        settings: name of each setting to (default, meaning).
        refused_below: the smallest batch that is allowed.
        warned_below: the smallest batch without a warning.
    """

    function: Callable[..., Tensor]
    meaning: str
    settings: Mapping[str, tuple[float, str]]
    refused_below: int = 2
    warned_below: int = 2


TEMPERATURE = {"temperature": (0.1, "divides the cosines; low ones weigh the hardest negatives most")}
LOSSES: dict[str, Entry] = {
    "nt_xent": Entry(
        nt_xent, "each view finds its other view among all views of the batch", TEMPERATURE, SMALLEST_BATCH
    ),
    "dcl": Entry(
        dcl,
        "NT-Xent without the positive in the denominator: learns from small batches too",
        TEMPERATURE,
        warned_below=SMALLEST_BATCH,
    ),
    "vicreg": Entry(
        vicreg,
        "equal views, spread and uncorrelated dimensions; no negatives",
        {
            "invariance_weight": (25.0, "weight of the squared difference of the views"),
            "variance_weight": (25.0, "weight of the hinge on the standard deviation of each dimension"),
            "covariance_weight": (1.0, "weight of the squared covariances between dimensions"),
        },
    ),
}


def check_batch(name: str, batch_size: int, *, micro_batches: int = 1, accumulate: int = 1) -> None:
    """Refuse a batch that a loss learns nothing from, and warn of one that it learns little from. Imports no torch.

    Args:
        name: a key of `LOSSES`.
        batch_size: samples (pairs of views) in one forward pass.
        micro_batches: how many of them gradient caching joins before the loss sees them; 1 is without.
        accumulate: batches whose gradients are added up, for the message: the loss does not see them together.

    Raises:
        UserError: too few samples, or a name that is not in `LOSSES`.
    """
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    entry, samples = LOSSES[name], batch_size * micro_batches
    if samples < min(2, entry.refused_below):
        why = "there is no other sample, so that " + {
            "nt_xent": "the loss is identically 0 and nothing is learned",
            "dcl": "its sum over negatives is empty",
        }.get(name, "a batch has no variance")
    elif samples < entry.refused_below:
        why = (
            f"its negatives are the views of the other samples, here {2 * samples - 2}; with so few the loss and its "
            "gradient fade, and with 1 sample the loss is identically 0"
        )
    else:
        if samples < entry.warned_below:
            log.warning("%s with a batch of %d has %d negatives only", name, samples, 2 * samples - 2)
        return
    if accumulate > 1:
        why += f"; accumulating {accumulate} batches adds no negatives, for the loss sees one at a time"
    others = [other for other in LOSSES if other != name and LOSSES[other].refused_below <= samples]
    instead = f", or take the loss {' or '.join(others)}" if others else ""
    raise UserError(
        f"{name} needs a batch of at least {entry.refused_below}: {why}",
        key="batch_size",
        found=samples,
        remedy=f"give a larger batch, join micro-batches by gradient caching{instead}",
    )


def make_loss(name: str, **settings: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of `LOSSES` with its settings, as (first (B, d), second (B, d)) to a scalar.

    Each call checks the batch that the loss sees (under gradient caching: the joined one), and warns once per size.

    Raises:
        UserError: an unknown loss or setting; when called, what the loss or `check_batch` refuses.
    """
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    entry = LOSSES[name]
    for key in settings:
        if key not in entry.settings:
            raise unknown(f"setting of the loss {name}", key, entry.settings)
    checked: set[int] = set()

    def loss(first: Tensor, second: Tensor) -> Tensor:
        if len(first) not in checked:
            check_batch(name, len(first))
            checked.add(len(first))
        return entry.function(first, second, **settings)

    return loss


def unit_vectors(vectors: Tensor, dim: int = -1) -> Tensor:
    """Vectors along `dim` at length 1; those of no length stay zero, and get no gradient."""
    length = vectors.norm(dim=dim, keepdim=True)
    return vectors / length.masked_fill(length <= SMALLEST_NORM, math.inf)


def at_least_float32(values: Tensor) -> Tensor:
    """Float16 and bfloat16 as float32; others as they are."""
    return values if values.dtype.itemsize >= 4 else values.float()


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not a number above 0, with a UserError."""
    if not 0 < temperature < math.inf:
        raise UserError("must be above 0", key="temperature", found=temperature, remedy="usual are 0.05 to 0.5")


def _cosine_logits(first: Tensor, second: Tensor, temperature: float, name: str) -> tuple[Tensor, Tensor]:
    """Cosines of all views by the temperature, (2 B, 2 B), -inf on the diagonal; column of each row's positive."""
    import torch

    _check_pair(first, second, name)
    check_temperature(temperature)
    count = len(first)
    with torch.autocast(first.device.type, enabled=False):  # in bfloat16 cosines have two digits
        views = unit_vectors(at_least_float32(torch.cat([first, second])))
        logits = views @ views.T / temperature
    itself = torch.eye(2 * count, dtype=torch.bool, device=logits.device)
    positive = torch.arange(2 * count, device=logits.device).roll(count)
    return logits.masked_fill(itself, -math.inf), positive


def _check_pair(first: Tensor, second: Tensor, name: str) -> None:
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"{name} takes two (B, d) of one shape, not {tuple(first.shape)} and {tuple(second.shape)}")
    if len(first) < 2:
        check_batch(name, len(first))
