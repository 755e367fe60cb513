"""The blind method with a learned spectral basis and a learned spatial filter: linear algebra first, then a network."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsipipe.bands.resample import interpolation
from hsipipe.degrade.noise import Noise
from hsipipe.errors import UserError
from hsipipe.randomness import generator_for
from hsipipe.tasks.denoising.methods.blind.model import Eigenimages, Learned, denoise
from hsipipe.tasks.denoising.methods.eigenfilter.examples import Example, make_examples, spectral_basis
from hsipipe.tasks.denoising.methods.eigenfilter.network import FilterNetwork

SAME_NM = 1.0  # centres that differ by less are the same band
LEAST_COVERED = 0.95  # share of the bands that must lie within those the basis was learned on
FLOOR = 0.02  # mean square error, in units of the noise, below which an eigenimage has little weight in the loss

log = logging.getLogger(__name__)


class Eigenfilter(nn.Module):
    """The blind method with what was learned; takes whole images of any size and any bands.

    Args:
        bands: bands that the basis is learned on.
        components: dimensions of the basis; 0 for none.
        channels, blocks: of the filter; 0 channels for none.
        effort: of the blind method.
        examples, side, window: what `prepare` makes examples of.

    Attributes:
        whole_image: tells that the network is not to be applied by tiles.
    """

    whole_image = True
    basis: Tensor

    def __init__(
        self,
        *,
        bands: int,
        components: int,
        channels: int,
        blocks: int,
        effort: str,
        examples: int,
        side: int,
        window: int,
    ) -> None:
        super().__init__()
        self.effort, self.examples, self.side, self.window = effort, examples, side, window
        self.register_buffer("basis", torch.zeros(bands, components))
        self.filter = FilterNetwork(channels=channels, blocks=blocks) if channels else None
        # With nothing but the basis there is nothing to descend on, and a training needs a parameter.
        self.unused = None if channels else nn.Parameter(torch.zeros(()))

    def for_wavelengths(self, trained_nm: Tensor | None, given_nm: Tensor | None) -> Eigenfilter:
        """The same for a cube of other bands: its basis interpolated, or left out where that cannot be.

        Args:
            trained_nm, given_nm: (C,) wavelengths of the bands that it was trained on and those of the cube, or None.
        """
        if given_nm is None and trained_nm is None:
            return self
        other = copy.copy(self)
        other._buffers = dict(self._buffers)
        if trained_nm is None or given_nm is None:
            log.info("the learned basis is left out: the wavelengths of one side are not known")
            other._buffers["basis"] = self.basis[:0]
            return other
        known, wanted = (torch.as_tensor(value, dtype=torch.float64).cpu() for value in (trained_nm, given_nm))
        if len(known) == len(wanted) and (known - wanted).abs().max() < SAME_NM:
            return self
        inside = (wanted >= known.min()) & (wanted <= known.max())
        span = f"{known.min():.0f} to {known.max():.0f} nm"
        if inside.double().mean() < LEAST_COVERED:
            log.info("the learned basis of %s is left out: it does not cover the bands", span)
            other._buffers["basis"] = self.basis[:0]
            return other
        log.info("the learned basis of %s is resampled to %d bands", span, len(wanted))
        matrix = torch.from_numpy(interpolation(known.numpy(), wanted.numpy())).to(self.basis)
        other._buffers["basis"] = matrix @ self.basis
        return other

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, C, H, W) to the denoised (B, C, H, W); without gradients."""
        with torch.no_grad():
            return denoise(noisy, effort=self.effort, learned=self.learned(noisy.shape[1]))

    def learned(self, bands: int) -> Learned:
        """What the blind method is given for cubes of so many bands."""
        fits = len(self.basis) == bands and bool(self.basis.any())
        return Learned(self.basis if fits else None, None if self.filter is None else self._refine)

    def _refine(self, found: Eigenimages) -> Tensor:
        deviation = found.deviation if found.deviation.ndim == 3 else found.deviation[:, None, None]
        assert self.filter is not None
        return self.filter(
            found.coefficients[None],
            deviation.expand_as(found.filtered)[None],
            found.filtered[None],
            found.striped[None],
        )[0]


def build(
    *,
    bands: int,
    components: int = 20,
    channels: int = 32,
    blocks: int = 3,
    effort: str = "slow",
    examples: int = 256,
    side: int = 96,
    window: int = 48,
) -> nn.Module:
    """The network; see `Eigenfilter`.

    Raises:
        UserError: nothing to learn.
    """
    if not components and not channels:
        raise UserError("there is nothing to learn", key="components", found=0, remedy="or give channels above 0")
    return Eigenfilter(
        bands=bands,
        components=min(components, bands),
        channels=channels,
        blocks=blocks,
        effort=effort,
        examples=examples,
        side=side,
        window=window,
    )


def prepare(
    network: Eigenfilter, cubes: Sequence[Tensor], *, noise: Noise, seed: Sequence[object]
) -> Callable[[int, torch.device, int], dict[str, Tensor]]:
    """Learn the basis, make the examples, and return what draws batches: (number, device, size) to a batch.

    The basis is the closed-form part of the training. Examples are made once, since each costs a run of the blind
    method; batches are windows of them, reflected and with random signs, which eigenimages have no preference for.
    """
    components = network.basis.shape[1]
    if components:
        network.basis.copy_(spectral_basis(cubes, components=components, seed=seed))
    made = make_examples(
        cubes,
        count=network.examples if network.filter is not None else 1,
        side=network.side,
        effort=network.effort,
        noise=noise,
        basis=network.learned(len(network.basis)).basis,
        seed=seed,
    )
    if not made:
        raise UserError(
            "the blind method found nothing to denoise in the training part", remedy="train on a case with more noise"
        )

    def draw(number: int, device: torch.device, size: int) -> dict[str, Tensor]:
        random = generator_for(*seed, "windows", number)
        count = len(made[int(random.integers(len(made)))]["target"])
        alike = [example for example in made if len(example["target"]) == count]
        drawn = [_window(alike[int(random.integers(len(alike)))], network.window, random) for _ in range(size)]
        return {name: torch.stack([one[name] for one in drawn]).to(device) for name in drawn[0]}

    return draw


def _window(example: Example, side: int, random: object) -> Example:
    """A square window of an example, extended by its border where the example is smaller."""
    draw = random.integers  # type: ignore[attr-defined]
    height, width = example["target"].shape[1:]
    rows, cols = min(side, height), min(side, width)
    row, col = int(draw(0, height - rows + 1)), int(draw(0, width - cols + 1))
    cut = {name: value[..., col : col + cols] for name, value in example.items()}
    flip_rows, flip_cols = bool(draw(2)), bool(draw(2))
    sign = torch.from_numpy(2.0 * draw(0, 2, len(example["target"])) - 1).float()[:, None, None]
    result: Example = {}
    for name, value in cut.items():
        part = value if name == "striped" else value[:, row : row + rows]
        if flip_cols:
            part = part.flip(-1)
        if name == "striped":
            result[name] = functional.pad(part, (0, side - cols))
            continue
        if flip_rows:
            part = part.flip(-2)
        if name != "deviation":
            part = sign * part
        result[name] = functional.pad(part[None], (0, side - cols, 0, side - rows), mode="replicate")[0]
    return result


def loss(network: Eigenfilter, batch: dict[str, Tensor]) -> Tensor:
    """Squared error of the filtered eigenimages over that before the network: every scene counts alike."""
    if network.filter is None:
        assert network.unused is not None
        return network.unused.square()
    better = network.filter(batch["coefficients"], batch["deviation"], batch["filtered"], batch["striped"])
    before = (batch["filtered"] - batch["target"]).square().mean((1, 2, 3))
    return ((better - batch["target"]).square().mean((1, 2, 3)) / (before + FLOOR)).mean()
