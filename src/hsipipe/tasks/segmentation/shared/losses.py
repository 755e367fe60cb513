"""What a reconstruction of spectra may cost: errors of values, of direction, of shape, and any weighted sum of them.

Every loss takes a reconstruction and its target, (N, bands) each, and is the mean over the N spectra, so that it does
not grow with the batch. All are finite with a finite gradient for any finite spectra: zero, equal, opposite, negative.
A target that is zero in all bands has no direction and no shape: the losses of those leave it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from hsipipe.errors import UserError, unknown

Loss = Callable[[Tensor, Tensor], Tensor]
Restore = Callable[[Tensor], Tensor]

# Of a target's norm: reconstructions that are shorter have no gradient of direction that would be worth following. It
# shortens the unit vector of a true reconstruction by half its square, 5e-7, which is the rounding of float32.
SMALLEST_NORM = 1e-3
# Of a target's mean value: what stands for zero and less where logarithms are taken.
SMALLEST_VALUE = 1e-3


def mse(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over spectra and bands."""
    return (reconstruction - target).square().mean()


def sse(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Squared error summed over the bands."""
    return (reconstruction - target).square().sum(1).mean()


def csa(reconstruction: Tensor, target: Tensor) -> Tensor:
    """One minus the cosine of the spectral angle, 0 to 2.

    L. Windrim, R. Melkumyan, R. J. Murphy, A. Chlingaryan and J. Nieto, Unsupervised feature learning for illumination
    robustness, IEEE International Conference on Image Processing, 2016, doi:10.1109/ICIP.2016.7533202.
    """
    first, second, counted = _directions(reconstruction, target)
    # |u - v|^2 / 2 = 1 - <u, v> of unit vectors, without the cancellation at small angles
    return _mean((first - second).square().sum(1) / 2, counted)


def sa(reconstruction: Tensor, target: Tensor) -> Tensor:
    """The spectral angle in radians, 0 to pi.

    As 2 atan2(|u - v|, |u + v|) of the unit vectors, which unlike the arc cosine is exact, and has a finite gradient,
    at small angles (W. Kahan, How futile are mindless assessments of roundoff in floating-point computation?, 2006,
    section 12). At an angle of exactly 0 or pi, where the angle has a kink, the gradient is 0.
    """
    first, second, counted = _directions(reconstruction, target)
    return _mean(2 * torch.atan2(_length(first - second), _length(first + second)), counted)


def sam(reconstruction: Tensor, target: Tensor) -> Tensor:
    """The spectral angle in degrees, 0 to 180, as the score of the same name counts it.

    F. A. Kruse et al., The spectral image processing system (SIPS), Remote Sensing of Environment 44, 145-163, 1993,
    doi:10.1016/0034-4257(93)90013-N.
    """
    return sa(reconstruction, target) * (180 / math.pi)


def sid(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Spectral information divergence: the symmetric Kullback-Leibler divergence of spectra that sum to one, in nats.

    C.-I. Chang, An information-theoretic approach to spectral variability, similarity, and discrimination for
    hyperspectral image analysis, IEEE Transactions on Information Theory 46(5), 2000, doi:10.1109/18.857802.

    Deviation: it is defined for positive values only. A value x counts as (x + sqrt(x^2 + 4 e^2)) / 2 with e a
    thousandth of the target's mean: as x where x is well above e, positive everywhere, and with a gradient that still
    leads out of the negative.
    """
    counted = target.abs().amax(1) > 0
    smallest = (SMALLEST_VALUE * target.abs().mean(1, keepdim=True)).clamp_min(torch.finfo(target.dtype).tiny * 1e6)
    smallest = torch.where(counted[:, None], smallest, torch.ones_like(smallest))
    # ln((x + sqrt(x^2 + 4 e^2)) / 2) = asinh(x / 2e) + ln e, and the common ln e goes when they are made to sum to one
    first = torch.log_softmax(torch.asinh(reconstruction / (2 * smallest)), 1)
    second = torch.log_softmax(torch.asinh(target / (2 * smallest)), 1)
    return _mean(((first.exp() - second.exp()) * (first - second)).sum(1), counted)


def gradient(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the slopes: first differences along the bands, with their signs."""
    if target.shape[1] < 2:
        return 0 * reconstruction.sum()
    return (reconstruction.diff(dim=1) - target.diff(dim=1)).abs().mean()


def gradient_peer(reconstruction: Tensor, target: Tensor) -> Tensor:
    """As `gradient`, but of the absolute values of the slopes, as the program deepHSI has it: it does not see signs."""
    if target.shape[1] < 2:
        return 0 * reconstruction.sum()
    return (reconstruction.diff(dim=1).abs() - target.diff(dim=1).abs()).abs().mean()


LOSSES: dict[str, Loss] = {
    "mse": mse,
    "sse": sse,
    "csa": csa,
    "sa": sa,
    "sam": sam,
    "sid": sid,
    "gradient": gradient,
    "gradient_peer": gradient_peer,
}
# These depend on where zero is, so they are taken of spectra in the scene's own units.
DIRECTIONAL = ("csa", "sa", "sam", "sid")


class SpectralLoss:
    """A weighted sum of losses; call it with (reconstruction, target), (N, bands) each, for a scalar.

    Attributes:
        weights: weight of each loss by name, those above 0.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = {name: float(weight) for name, weight in weights.items() if weight != 0}

    def __call__(self, reconstruction: Tensor, target: Tensor, restore: Restore | None = None) -> Tensor:
        """The weighted sum.

        Args:
            reconstruction, target: (N, bands), normalised.
            restore: brings normalised spectra back to units in which zero means nothing (up to a factor). Angles and
                divergences (`DIRECTIONAL`) are taken there: an angle between spectra whose mean was subtracted is not a
                spectral angle. None: the spectra are in such units.
        """
        terms = self.terms(reconstruction, target, restore)
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()

    def terms(self, reconstruction: Tensor, target: Tensor, restore: Restore | None = None) -> dict[str, Tensor]:
        """Each loss by its name, without its weight."""
        restored = (reconstruction, target)
        if restore is not None and any(name in DIRECTIONAL for name in self.weights):
            restored = (restore(reconstruction), restore(target))
        return {
            name: LOSSES[name](*(restored if name in DIRECTIONAL else (reconstruction, target)))
            for name in self.weights
        }


def spectral_loss(weights: Mapping[str, float]) -> SpectralLoss:
    """The loss that `weights` describes: a weight, at least 0, for each of the `LOSSES` in it.

    >>> spectral_loss({"mse": 1.0, "sam": 0.01})(torch.ones(2, 3), torch.ones(2, 3)).item()
    0.0

    Raises:
        UserError: a loss that there is not, a weight that is not a number from 0 on, or no weight above 0.
    """
    for name, weight in weights.items():
        if name not in LOSSES:
            raise unknown("loss", name, LOSSES)
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not (number and math.isfinite(weight) and weight >= 0):
            raise UserError("the weight of a loss must be a number from 0 on", key=f"loss.{name}", found=weight)
    if not any(weights.values()):
        raise UserError("needs a weight above 0", key="loss", found=dict(weights), remedy="e.g. loss: {mse: 1}")
    return SpectralLoss(weights)


def _directions(reconstruction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both as unit vectors (the reconstruction shorter where it is near zero), and which targets have a direction."""
    norm = target.norm(dim=1, keepdim=True)
    counted = norm > 0
    norm = torch.where(counted, norm, torch.ones_like(norm))
    scaled = reconstruction / norm  # so that squares neither overflow nor vanish
    length = (scaled.square().sum(1, keepdim=True) + SMALLEST_NORM**2).sqrt()
    return scaled / length, target / norm, counted[:, 0]


def _length(difference: Tensor) -> Tensor:
    """The norm of each row; where it is 0 its gradient is 0 too."""
    square = difference.square().sum(1)
    zero = square == 0
    return torch.where(zero, torch.zeros_like(square), torch.where(zero, torch.ones_like(square), square).sqrt())


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of the values that count; 0 if none does."""
    return torch.where(counted, values, torch.zeros_like(values)).sum() / counted.sum().clamp_min(1)
