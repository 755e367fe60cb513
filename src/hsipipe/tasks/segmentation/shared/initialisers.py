"""How the weights of a network start.

The names are those of the program deephyp, the mathematics that of the papers. There, the spread was not asked for but
always 0.1, and `xavier`, `xavier_improved` and `constant` could not run.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from hsipipe.errors import unknown

Initialiser = Callable[[Tensor, int, int, float], object]

INITIALISERS: dict[str, Initialiser] = {
    "gaussian": lambda values, _, __, std: nn.init.normal_(values, 0.0, std),
    # Beyond two standard deviations it is drawn again.
    "truncated_normal": lambda values, _, __, std: nn.init.trunc_normal_(values, 0.0, std, -2 * std, 2 * std),
    "xavier": lambda values, fan_in, _, __: nn.init.uniform_(values, -math.sqrt(3 / fan_in), math.sqrt(3 / fan_in)),
    "xavier_improved": lambda values, _, fan_out, __: nn.init.normal_(values, 0.0, math.sqrt(2 / fan_out)),
    "constant": lambda values, _, __, std: nn.init.constant_(values, std),
}


def initialise_weights(weight: Tensor, bias: Tensor | None, *, name: str, std: float) -> None:
    """Fill a layer's weight, and its bias in the same way, in place.

    gaussian: normal of standard deviation `std`. truncated_normal: the same within two standard deviations. xavier:
    uniform with variance 1 / inputs (X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward
    neural networks, AISTATS 2010, in the form with the inputs alone). xavier_improved: normal with variance 2 / outputs
    (K. He, X. Zhang, S. Ren and J. Sun, Delving deep into rectifiers, ICCV 2015, in the form that keeps the variance of
    the gradients). constant: `std` everywhere.

    Args:
        weight: (outputs, inputs) or (outputs, inputs, width); of a transposed convolution (inputs, outputs, width)
            counts as the convolution that it transposes.
        bias: (outputs,) or None.
        name: one of `INITIALISERS`.
        std: for `xavier` and `xavier_improved` without meaning.

    Raises:
        UserError: an initialiser that there is not.
    """
    if name not in INITIALISERS:
        raise unknown("initialiser", name, INITIALISERS)
    width = weight[0, 0].numel()
    fan_in, fan_out = weight.shape[1] * width, weight.shape[0] * width
    for values in (weight, bias):
        if values is not None:
            INITIALISERS[name](values, fan_in, fan_out, std)
