"""The latent estimation network of SpectraMorph: MSI values of a pixel to the weights of K fixed endmembers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "leaky_relu": lambda values: functional.leaky_relu_(values, 0.3),
    "gelu": functional.gelu,
    "tanh": torch.tanh_,
}
HEADS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda values: values,
    "nonnegative": functional.softplus,
    "simplex": lambda values: values.softmax(-1),
}


class LatentNetwork(nn.Module):
    """Dense layers on single pixels, `hidden_layers` hidden ones and a head of K latents.

    Parameters: (d + 1) H + (H + 1) K for d inputs, one hidden layer of H units and K latents; (d + 1) K more with the
    linear skip.

    Args:
        inputs: d, values per pixel: MSI bands, with the coarse prior those of the HSI as well.
        latents: K.
        hidden_size: H.
        hidden_layers: 0 makes the head the only layer.
        activation: a key of `ACTIVATIONS`.
        head: a key of `HEADS`.
        skip: whether a linear map of the inputs is added to the latents.
        generator: for the weights: uniform after Glorot and Bengio (2010), biases zero.
    """

    def __init__(
        self,
        inputs: int,
        latents: int,
        *,
        hidden_size: int = 1024,
        hidden_layers: int = 1,
        activation: str = "relu",
        head: str = "linear",
        skip: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = [inputs, *[hidden_size] * hidden_layers]
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], latents)
        self.skip = nn.Linear(inputs, latents) if skip else None
        self.activate, self.constrain = ACTIVATIONS[activation], HEADS[head]
        for layer in [*self.hidden, self.head]:
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, d) -> (N, K)."""
        values = pixels
        for layer in self.hidden:
            values = self.activate(layer(values))
        latents = self.head(values)
        if self.skip is not None:
            latents = latents + self.skip(pixels)
        return self.constrain(latents)

    @torch.no_grad()
    def start_linear(self, pixels: Tensor, targets: Tensor, endmembers: Tensor) -> None:
        """Begin as the least-squares linear fit of (N, C) targets by (N, d) pixels through (K, C) endmembers.

        The skip takes the fit and the head zeros, so that the training begins at the fit and the hidden layers learn
        what it leaves.
        """
        if self.skip is None:
            raise ValueError("the network has no skip")
        design = torch.cat([pixels, pixels.new_ones(len(pixels), 1)], 1).double()
        wanted = targets.double() @ torch.linalg.pinv(endmembers.double())
        moments = design.T @ design
        # The ridge only keeps the solution finite where MSI bands are copies of each other.
        moments.diagonal().add_(1e-8 * moments.diagonal().mean())
        weights = torch.linalg.solve(moments, design.T @ wanted)
        self.skip.weight.copy_(weights[:-1].T)
        self.skip.bias.copy_(weights[-1])
        nn.init.zeros_(self.head.weight)

    @torch.no_grad()
    def change_coordinates(self, transform: Tensor) -> None:
        """Make the network give `latents @ transform` (K, K) instead of its latents, by its weights alone."""
        for layer in (self.head, self.skip):
            if layer is not None:
                layer.weight.copy_(transform.T @ layer.weight)
                layer.bias.copy_(layer.bias @ transform)
