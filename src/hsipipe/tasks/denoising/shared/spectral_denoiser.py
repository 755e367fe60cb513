"""An autoencoder of spectra as a denoiser: what does not fit through its latent is taken for noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from hsipipe.degrade.noise import Noise
from hsipipe.errors import UserError, unknown
from hsipipe.tasks.denoising.training_data import draw_patches
from hsipipe.tasks.segmentation.shared.autoencoder import Autoencoder
from hsipipe.tasks.segmentation.shared.losses import spectral_loss
from hsipipe.tasks.segmentation.shared.normalisers import fit_normaliser

TARGETS = ("clean", "noisy")
SAMPLE = 2**16  # spectra that closed forms are computed from
Draw = Callable[[int, torch.device, int], dict[str, Tensor]]


class SpectralDenoiser(nn.Module):
    """An autoencoder of spectra applied to each pixel of images by itself.

    Args:
        autoencoder: of normalised spectra.
        target: clean, to learn noise-free spectra from noisy ones; noisy, to reconstruct what it sees.
        normaliser: one that keeps nothing per spectrum: scale, mean_range, zscore or none.
        loss: weight of each of the spectral losses by name.
        side: side of the patches it is trained on, pixels.

    Attributes:
        bands: the number of bands of the spectra, the only one that it takes.
        offset, span: (bands,); a normalised spectrum is (spectrum - offset) / span. Set by `prepare`.

    Raises:
        UserError: an unknown target, loss or normaliser, or a normaliser with numbers of each spectrum's own: these
            are the noisy spectrum's, and would carry its noise past the latent.
    """

    offset: Tensor
    span: Tensor

    def __init__(
        self, autoencoder: Autoencoder, *, target: str, normaliser: str, loss: Mapping[str, float], side: int
    ) -> None:
        super().__init__()
        if target not in TARGETS:
            raise unknown("target", target, TARGETS)
        if fit_normaliser(normaliser, torch.ones(1, 1)).parameters:
            raise UserError(
                "keeps numbers of each noisy spectrum, and with them its noise",
                key="normaliser",
                found=normaliser,
                remedy="use scale, mean_range, zscore or none",
            )
        self.autoencoder, self.bands = autoencoder, autoencoder.bands
        self.target, self.normaliser, self.side = target, normaliser, side
        self.error = spectral_loss(loss)
        self.register_buffer("offset", torch.zeros(self.bands))
        self.register_buffer("span", torch.ones(self.bands))

    def normalise(self, spectra: Tensor) -> Tensor:
        """Spectra (N, bands) as the autoencoder takes them."""
        return (spectra - self.offset) / self.span

    def restore(self, normalised: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return normalised * self.span + self.offset

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, bands, H, W) to the denoised (B, bands, H, W), any H and W."""
        batch, _, height, width = noisy.shape
        made = self.restore(self.autoencoder(self.normalise(spectra_of(noisy))))
        return made.view(batch, height, width, self.bands).permute(0, 3, 1, 2)


def spectra_of(cubes: Tensor) -> Tensor:
    """Cubes (B, C, H, W) as their spectra (B * H * W, C), pixel by pixel."""
    return cubes.permute(0, 2, 3, 1).reshape(-1, cubes.shape[1])


def loss(network: SpectralDenoiser, batch: dict[str, Tensor]) -> Tensor:
    """The weighted losses of the spectra that come out, against clean ones or those that went in."""
    wanted = batch["target"] if network.target == "clean" else batch["input"]
    made = network.autoencoder(network.normalise(spectra_of(batch["input"])))
    return network.error(made, network.normalise(spectra_of(wanted)), network.restore)


def draw_from(cubes: Sequence[Tensor], side: int, noise: Noise, seed: Sequence[object]) -> Draw:
    """A function (number, device, size) that draws the batch of that number, of noisy and clean patches."""
    held = list(cubes)

    def draw(number: int, device: torch.device, size: int) -> dict[str, Tensor]:
        nonlocal held
        if held and held[0].device != device:
            held = [cube.to(device) for cube in held]
        return draw_patches(
            held, step=number, seed=seed, patch=side, bands_per_patch=None, batch_size=size, noise=noise
        )

    return draw


def sample(draw: Draw, network: SpectralDenoiser) -> tuple[Tensor, Tensor]:
    """Pairs of spectra (N, bands) to compute closed forms from: those that go in, and those that are to come out."""
    batch = draw(-1, torch.device("cpu"), -(-SAMPLE // network.side**2))  # a number that no step of the training has
    given = spectra_of(batch["input"])
    return given, spectra_of(batch["target"]) if network.target == "clean" else given


def fit_scaling(network: SpectralDenoiser, spectra: Tensor) -> None:
    """Fit the network's normaliser to spectra (N, bands)."""
    values = fit_normaliser(network.normaliser, spectra).values
    network.offset.copy_(torch.as_tensor(values.get("mean", 0.0)).expand(network.bands))
    network.span.copy_(torch.as_tensor(values.get("span", 1.0)).expand(network.bands))
