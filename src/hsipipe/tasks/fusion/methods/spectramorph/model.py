"""SpectraMorph: structured latents of a small network per pixel, mixed with fixed endmembers of the scene itself.

Source: SpectraMorph (arXiv 2510.20814, 2025), with the unmixing bottleneck, the self-supervised training on the LR pair
and the coarse spectral prior for MSIs of one band. No spatial term and no point-spread function enter: pixels are
independent, so that blocks of a scene fit together without seams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hsipipe.errors import UserError
from hsipipe.randomness import seed_for
from hsipipe.settings import as_plain, settings_from
from hsipipe.tasks.fusion.methods.spectramorph.network import LatentNetwork
from hsipipe.tasks.fusion.methods.spectramorph.pixels import prior_pixels, training_pixels
from hsipipe.tasks.fusion.methods.spectramorph.settings import SpectraMorphSettings
from hsipipe.tasks.fusion.methods.spectramorph.training import train
from hsipipe.tasks.fusion.result import Fused
from hsipipe.tasks.fusion.shared.endmembers import estimate_count, nmf_endmembers, vca

MOST_ESTIMATED = 20  # endmembers, when their number is estimated
CACHED_VALUES = 2**20  # hidden values at a time when the network is applied on a CPU
MIXING_LENGTH = 3.0  # of the orthonormal spectra: sets how far a step of Adam moves a latent; 1 to 10 train alike
GPU_PIXELS = 2**18  # pixels at a time on an accelerator


@dataclass
class FittedSpectraMorph:
    """A trained network with its endmembers.

    Attributes:
        network: the latent estimation network, on `device`.
        endmembers: (K, C) float32, on `device`.
        settings: those that it was trained with.
        msi_bands: m.
        device: where it computes.
        found: what was estimated: endmembers, parameters, final loss.
    """

    network: LatentNetwork
    endmembers: Tensor
    settings: SpectraMorphSettings
    msi_bands: int
    device: str = "cpu"
    found: dict[str, Any] = field(default_factory=dict)

    def to_arrays(self) -> dict[str, Any]:
        """The model as tensors on the CPU, texts and numbers: what `torch.load(weights_only=True)` reads."""
        return {
            "endmembers": self.endmembers.cpu(),
            "weights": {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()},
            "settings": as_plain(self.settings),
            "msi_bands": self.msi_bands,
            "found": dict(self.found),
        }

    @classmethod
    def from_arrays(cls, state: dict[str, Any], *, device: str = "cpu") -> FittedSpectraMorph:
        """The model of `to_arrays`, on `device`."""
        settings = settings_from(SpectraMorphSettings, state["settings"])
        endmembers = torch.as_tensor(state["endmembers"]).to(device)
        network = _network(state["msi_bands"], endmembers, settings, None)
        network.load_state_dict({name: torch.as_tensor(value) for name, value in state["weights"].items()})
        return cls(network.to(device), endmembers, settings, state["msi_bands"], device, dict(state["found"]))


def fuse(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,
    device: str = "cpu",
    seed: int = 0,
    **settings: Any,
) -> Fused:
    """Train SpectraMorph on a pair and apply it to its MSI.

    Args:
        lr_hsi: (C, h, w).
        hr_msi: (m, H, W), with H / h = W / w an integer of at least 2.
        psf: not used where there is an SRF; without one, the MSI is blurred by it to make the LR-MSI.
        srf: (m, C), rows sum to 1: makes the LR-MSI of the training. None takes the MSI, degraded like the HSI.
        edge: how the MSI goes on beyond its edges where it is blurred.
        wavelength_nm: not used.
        device: "cpu" or a CUDA device.
        seed: of the weights, the order of the pixels and the endmembers.
        settings: fields of `SpectraMorphSettings`.

    Returns:
        The cube (C, H, W), within [0, 1] unless `clip` is off, endmembers (K, C) and latents (K, H, W).

    Raises:
        UserError: sizes that do not fit, an unknown setting, or more endmembers than bands or LR pixels.
    """
    pair = [(lr_hsi, hr_msi)]
    model = fit(pair, psf=psf, srf=srf, edge=edge, wavelength_nm=wavelength_nm, device=device, seed=seed, **settings)
    cube, latents = apply_with_latents(model, lr_hsi, hr_msi)
    return Fused(cube, endmembers=model.endmembers.cpu().numpy(), latents=latents, found=model.found)


def fit(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
    device: str = "cpu",
    seed: int = 0,
    **settings: Any,
) -> FittedSpectraMorph:
    """Train on the LR pixels of one pair or of several windows of a scene; arguments as `fuse`."""
    chosen = settings_from(SpectraMorphSettings, settings)
    factor = chosen.prior_downsample if chosen.spectral_prior else None
    pixels = [training_pixels(*pair, psf=psf, srf=srf, edge=edge, prior_downsample=factor) for pair in pairs]
    inputs, targets = (np.concatenate(parts) for parts in zip(*pixels, strict=True))
    return fit_pixels(inputs, targets, chosen, msi_bands=pairs[0][1].shape[0], device=device, seed=seed)


def apply(model: FittedSpectraMorph, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> np.ndarray:
    """The cube (C, H, W) of a block: `lr_hsi` (C, h, w) is used by the coarse prior alone, `hr_msi` is (m, H, W)."""
    return _mix(model, lr_hsi, hr_msi, with_latents=False)[0]


def apply_with_latents(
    model: FittedSpectraMorph, lr_hsi: np.ndarray, hr_msi: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """As `apply`, and the latents (K, H, W) beside the cube."""
    return _mix(model, lr_hsi, hr_msi, with_latents=True)


def halo(model: FittedSpectraMorph) -> int:  # noqa: ARG001
    """No context: each pixel of the result depends on its own MSI values and on the LR pixel that it lies in."""
    return 0


def fit_pixels(
    inputs: np.ndarray,
    targets: np.ndarray,
    settings: SpectraMorphSettings,
    *,
    msi_bands: int,
    device: str = "cpu",
    seed: int = 0,
    pixels_per_epoch: int | None = None,
    endmember_spectra: np.ndarray | None = None,
) -> FittedSpectraMorph:
    """Train on (N, d) inputs and (N, C) targets; the endmembers are those of `endmember_spectra`, or of the targets."""
    sample = targets if endmember_spectra is None else endmember_spectra
    count = settings.num_endmembers or estimate_count(sample, maximum=MOST_ESTIMATED)
    if settings.extraction == "vca":
        found = vca(sample, count, seed=seed)
    else:
        found = nmf_endmembers(sample, count, seed=seed, representatives=settings.representatives)
    endmembers = torch.from_numpy(found).to(device)
    # Weights are drawn on the CPU, so that a seed means the same start on every device.
    network = _network(msi_bands, endmembers, settings, _generator(seed, "weights")).to(device)
    pixels, spectra = torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
    mixing = endmembers
    if settings.coordinates == "orthonormal":
        # Endmembers are alike, so that a step along one latent moves the others; along orthogonal axes it does not.
        mixing = MIXING_LENGTH * torch.linalg.svd(endmembers.double(), full_matrices=False)[2].float()
    if settings.start == "linear":
        network.start_linear(pixels, spectra, mixing)
    order = _generator(seed, "order", device)
    loss = train(network, pixels, spectra, mixing, settings, generator=order, pixels_per_epoch=pixels_per_epoch)
    if settings.coordinates == "orthonormal":
        network.change_coordinates((mixing.double() @ torch.linalg.pinv(endmembers.double())).float())
    if not np.isfinite(loss):
        raise UserError("the training diverged", key="max_lr", remedy="give a smaller one, or scale the pair to [0, 1]")
    facts = {
        "num_endmembers": count,
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "epochs": settings.epochs if settings.training_steps is None else None,
        "steps": settings.training_steps,
        "training_pixels": len(pixels),
        "final_loss": loss,
    }
    return FittedSpectraMorph(network, endmembers, settings, msi_bands, device, facts)


def _network(
    msi_bands: int, endmembers: Tensor, settings: SpectraMorphSettings, generator: torch.Generator | None
) -> LatentNetwork:
    count, bands = endmembers.shape
    return LatentNetwork(
        msi_bands + (bands if settings.spectral_prior else 0),
        count,
        hidden_size=settings.hidden_size,
        hidden_layers=settings.hidden_layers,
        activation=settings.activation,
        head=settings.head,
        skip=settings.start == "linear",
        generator=generator,
    )


def _generator(seed: int, purpose: str, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed_for("spectramorph", purpose, seed))


@torch.inference_mode()
def _mix(
    model: FittedSpectraMorph, lr_hsi: np.ndarray, hr_msi: np.ndarray, *, with_latents: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """The cube, and the latents if wanted, in chunks of pixels."""
    msi_bands, rows, cols = hr_msi.shape
    count, bands = model.endmembers.shape
    if msi_bands != model.msi_bands or lr_hsi.shape[0] != bands:
        found = f"{msi_bands} and {lr_hsi.shape[0]}, not {model.msi_bands} and {bands}"
        raise UserError("MSI and HSI must have the bands that the model was trained with", found=found)
    settings, device = model.settings, model.device
    msi = torch.from_numpy(np.ascontiguousarray(hr_msi, np.float32)).reshape(msi_bands, -1)
    cube = torch.empty(bands, rows * cols)
    latents = torch.empty(count, rows * cols) if with_latents else None
    size = settings.inference_batch_size or GPU_PIXELS
    if settings.inference_batch_size is None and torch.device(device).type == "cpu":
        size = max(1024, CACHED_VALUES // settings.hidden_size)
    for first in range(0, rows * cols, size):
        part = slice(first, min(first + size, rows * cols))
        pixels = msi[:, part].T.to(device)
        if settings.spectral_prior:
            prior = prior_pixels(lr_hsi, (rows, cols), np.arange(part.start, part.stop))
            pixels = torch.cat([pixels, torch.from_numpy(prior).to(device)], 1)
        weights = model.network(pixels).T
        mixed = model.endmembers.T @ weights
        cube[:, part] = mixed.clamp_(0.0, 1.0) if settings.clip else mixed
        if latents is not None:
            latents[:, part] = weights
    maps = None if latents is None else latents.reshape(count, rows, cols).numpy()
    return cube.reshape(bands, rows, cols).numpy(), maps
