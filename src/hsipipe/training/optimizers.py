"""The optimisers of the training loop, and the groups of parameters that learn at different rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hsipipe.errors import UserError, unknown
from hsipipe.training.settings import TrainingSettings

RateFactor = Callable[[str], float]
Group = dict[str, Any]


def rate_factors(model: nn.Module, factor: RateFactor | None = None) -> dict[str, float]:
    """The factor on the learning rate of each trained parameter, by its name; those that are frozen have none.

    Raises:
        UserError: a factor that is not a number above 0 (a parameter that is not to learn has `requires_grad=False`).
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    factors = {name: 1.0 if factor is None else float(factor(name)) for name in names}
    for name, value in factors.items():
        if not (math.isfinite(value) and value > 0):
            remedy = "set requires_grad to False for what must not learn"
            raise UserError("the factor on the learning rate must be above 0", key=name, found=value, remedy=remedy)
    return factors


def parameter_groups(model: nn.Module, factors: dict[str, float]) -> list[Group]:
    """Groups for an optimiser: the parameters of one factor, which stands under `rate_factor`, form one group.

    Args:
        model: the model.
        factors: what `rate_factors` gave for it.

    Raises:
        UserError: nothing to train.
    """
    if not factors:
        raise UserError("the model has no parameters to train", remedy="use it without training")
    groups: dict[float, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if name in factors:
            groups.setdefault(factors[name], []).append(parameter)
    return [{"params": parameters, "rate_factor": factor} for factor, parameters in groups.items()]


def set_learning_rate(optimizer: Any, rate: float) -> None:
    """Give each group `rate` times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_factor"]


def make_optimizer(groups: list[Group], settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name, over groups of parameters; weight decay holds for all of them.

    Adam: D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015. AdamW: I. Loshchilov and F.
    Hutter, Decoupled weight decay regularization, ICLR 2019. 8-bit state (tensors from 4,096 values on): T. Dettmers,
    M. Lewis, S. Shleifer and L. Zettlemoyer, 8-bit optimizers via block-wise quantization, ICLR 2022.

    Raises:
        UserError: adamw8bit without bitsandbytes.
    """
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "adamw8bit": _adamw_8bit,
    }
    if settings.optimizer not in kinds:
        raise unknown("optimiser", settings.optimizer, kinds)
    return kinds[settings.optimizer](groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def _adamw_8bit(groups: list[Group], *, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit  # takes six seconds to import
    except ImportError as error:
        raise UserError(
            "needs bitsandbytes, which cannot be imported",
            key="optimizer",
            found="adamw8bit",
            remedy='pip install "hsipipe[gpu]", or optimizer: adamw',
        ) from error
    optimizer: torch.optim.Optimizer = AdamW8bit(groups, lr=lr, weight_decay=weight_decay)
    return optimizer
