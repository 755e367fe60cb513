"""Spectral autoencoders: spectra per CPU second against deepHSI's network, and errors against PCA's.

python benchmarks/spectral_autoencoders.py [--data FOLDER]

Writes benchmarks/spectral_autoencoders.md. Speed needs no data: random spectra, one thread, CPU time; the networks take
turns, so that a busy machine is busy for all, and the medians of the turns are compared. With --data, a folder of real
scenes, ours and PCA are fitted to 70 % of the Indian Pines subset's pixels and scored on the others, with the defaults
of method.yaml, the latent size excepted; and, at one latent size, to other scenes, reported as they are.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import itertools

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from hsipipe.cases.pixels import TEST, TRAIN, PixelSplitSettings, split_pixels
from hsipipe.files import write_text
from hsipipe.methods import find_method
from hsipipe.metrics.spectral import sam_degrees
from hsipipe.scenes.readers import read_image
from hsipipe.settings import settings_from, split
from hsipipe.tasks.segmentation.autoencoder import TrainedAutoencoder, make_autoencoder
from hsipipe.tasks.segmentation.shared.losses import spectral_loss
from hsipipe.tasks.segmentation.shared.normalisers import fit_normaliser
from hsipipe.training.optimizers import make_optimizer, parameter_groups, rate_factors, set_learning_rate
from hsipipe.training.settings import TrainingSettings

REPORT = Path(__file__).with_suffix(".md")
BANDS, PEER_BANDS = 103, 500  # of the ROSIS sensor; what deepHSI resamples to
TRAIN_BATCH, INFER_BATCH = 1024, 2048
TURNS = 7
SECONDS = 0.4  # CPU time of a network's turn
LATENTS, SEEDS = (3, 5, 10, 32), (0, 1, 2)
INDIAN = ("indian_pines/Indian_subset.mat", "Indian_subset")
# Name: file below --data and the array in it; scored at one latent size.
CHECKS = {
    "Samson": ("samson/samson_1.mat", "V"),
    "Pavia centre, crop": ("pavia_centre/abu-beach-4.mat", "data"),
    "EnMAP Potsdam, tile 96_32": ("enmap_potsdam/images/enmap_potsdam_tile_96_32.tif", None),
}
CHECK_LATENT = 5
SPLITS = {
    "pixels": PixelSplitSettings(by="random", fraction=0.7),
    "blocks": PixelSplitSettings(by="blocks", fraction=0.7, block=10, buffer=3),
}
# Measured earlier on one thread: deepHSI's own network at 500 bands, and deephyp's shapes in torch at 103.
PEERS = """| | train | infer |
|---|---:|---:|
| deepHSI, 500 bands, batch 256 to 4096 / 2048 | 7,200 | 28,000 |
| deephyp's cnn, in torch | 12,900 | 20,100 |
| deephyp's mlp 50-30-10, in torch | 420,000 | 2,460,000 |
| deephyp itself (TensorFlow 2.21, wall time, busy machine), mlp | 47,000 to 153,000 | up to 390,000 |
| deephyp itself, cnn | 3,200 | |"""
PEER_ERRORS = """| scene | method | z | SAM, degrees | CPU s to train |
|---|---|---:|---:|---:|
| Indian Pines subset | deepHSI, 100 epochs | 32 | 6.15 | 51 |
| Indian Pines subset | deephyp's mlp, CSA, 500 epochs | 10 | 2.37 | 32 (wall) |"""


class DeepHSI(nn.Module):
    """The arrangement of deepHSI: each convolution, batch normalisation and tanh a pass of its own."""

    def __init__(self, *, bands: int, latent: int = 32) -> None:
        super().__init__()
        sizes = [1, 4, 8, 12, 16]
        self.lengths = [bands // 2**halvings for halvings in range(5)]
        self.down = nn.ModuleList(nn.Conv1d(*pair, 4, 2, 1) for pair in itertools.pairwise(sizes))
        self.down_norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[1:])
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(*pair, 4, 2, 1) for pair in zip(sizes[:0:-1], sizes[-2::-1], strict=True)
        )
        self.up_norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[3:0:-1])
        flat = 16 * self.lengths[-1]
        self.to_latent, self.from_latent = nn.Linear(flat, latent), nn.Linear(latent, flat)

    def forward(self, spectra: Tensor) -> Tensor:
        """(N, bands) to the same."""
        values = spectra[:, None]
        for layer, norm in zip(self.down, self.down_norms, strict=True):
            values = torch.tanh(norm(layer(values)))
        values = self.from_latent(self.to_latent(values.flatten(1))).unflatten(1, (16, -1))
        for index, layer in enumerate(self.up):
            values = layer(values, output_size=[self.lengths[3 - index]])
            values = torch.tanh(self.up_norms[index](values) if index < 3 else values)
        return values[:, 0]


def own(name: str, **given: object) -> tuple[nn.Module, dict[str, float]]:
    """A method's network at native bands with its default settings, and the weights of its loss."""
    method = find_method("segmentation", name)
    settings = method.complete({**given, "resample": None})
    spectra = np.random.default_rng(0).random((2000, BANDS)).astype(np.float32)
    network = make_autoencoder(
        method, settings, bands=BANDS, wavelength_nm=None, normaliser=fit_normaliser("none", spectra)
    ).network
    model = method.load()
    if hasattr(model, "initialise"):
        model.initialise(network, torch.from_numpy(spectra))
    return network, settings["loss"]


def networks() -> dict[str, tuple[nn.Module, int, dict[str, float]]]:
    """Name to network, number of bands and weights of the loss."""
    made: dict[str, tuple[nn.Module, int, dict[str, float]]] = {
        f"deepHSI's arrangement, {PEER_BANDS} bands, z = 32": (
            DeepHSI(bands=PEER_BANDS),
            PEER_BANDS,
            {"mse": 1.0, "gradient_peer": 0.5},
        )
    }
    for title, name, settings in (
        ("conv, z = 32", "conv", {}),
        ("cnn (deephyp's), z = 5", "cnn", {}),
        ("mlp (deephyp's 50-30-10)", "mlp", {}),
        ("residual (ours), z = 10", "residual", {}),
        ("residual (ours), z = 32", "residual", {"latent": 32}),
        ("pca, z = 32", "pca", {"latent": 32}),
    ):
        network, weights = own(name, **settings)
        made[f"{title}, {BANDS} bands"] = (network, BANDS, weights)
    return made


def rate(step: Callable[[], object], count: int) -> float:
    """Spectra per CPU second of a step that handles `count`."""
    step()
    repeats, start = 0, time.process_time()
    while time.process_time() - start < SECONDS:
        step()
        repeats += 1
    return count * repeats / (time.process_time() - start)


def training_rate(network: nn.Module, bands: int, weights: dict[str, float]) -> float:
    loss, spectra = spectral_loss(weights), torch.rand(TRAIN_BATCH, bands)
    optimizer = torch.optim.Adam(network.train().parameters())

    def step() -> None:
        optimizer.zero_grad()
        loss(network(spectra), spectra).backward()
        optimizer.step()

    return rate(step, TRAIN_BATCH)


def inference_rate(network: nn.Module, bands: int) -> float:
    spectra = torch.rand(INFER_BATCH, bands)
    network.eval()
    with torch.inference_mode():
        return rate(lambda: network(spectra), INFER_BATCH)


def speeds() -> str:
    made = networks()
    train: dict[str, list[float]] = {name: [] for name in made}
    infer: dict[str, list[float]] = {name: [] for name in made}
    for _ in tqdm(range(TURNS), desc="speed", unit="turn"):
        for name, (network, bands, weights) in made.items():
            if any(parameter.requires_grad for parameter in network.parameters()):
                train[name].append(training_rate(network, bands, weights))
            infer[name].append(inference_rate(network, bands))
    reference = next(iter(made))
    rows = ["| network | train | ratio | infer | ratio |", "|---|---:|---:|---:|---:|"]
    for name in made:
        cells = [name]
        for measured in (train, infer):
            if measured[name]:
                # ratios within a turn, where the machine was equally busy for both
                ratio = statistics.median(a / b for a, b in zip(measured[name], measured[reference], strict=True))
                cells += [f"{statistics.median(measured[name]):,.0f}", f"{ratio:.1f}"]
            else:
                cells += ["", ""]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def fitted(name: str, spectra: np.ndarray, *, seed: int, **given: Any) -> TrainedAutoencoder:
    """A method with its defaults, but for the settings given, fitted to spectra (N, bands) in the scene's units."""
    method = find_method("segmentation", name)
    settings = method.complete(given)
    training = settings_from(TrainingSettings, split(TrainingSettings, settings)[0])
    normaliser = fit_normaliser(settings["normaliser"], spectra)
    torch.manual_seed(seed)
    trained = make_autoencoder(method, settings, bands=spectra.shape[1], wavelength_nm=None, normaliser=normaliser)
    network, inputs = trained.network, trained.normalise(torch.from_numpy(spectra))[0]
    method.load().initialise(network, inputs)
    if any(parameter.requires_grad for parameter in network.parameters()):
        loss = spectral_loss(settings["loss"])
        optimizer = make_optimizer(parameter_groups(network, rate_factors(network)), training)
        for step in range(training.total_steps):
            set_learning_rate(optimizer, training.learning_rate_at(step))
            batch = inputs[torch.randint(len(inputs), (training.batch_size,))]
            optimizer.zero_grad()
            loss(network(batch), batch).backward()
            optimizer.step()
    network.eval()
    return trained


def read_cube(folder: Path, file: str, key: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Good bands (C, H, W) float32 in the scene's units, and the valid pixels (H, W)."""
    item = read_image(folder / file, key=key)
    return item.cube[item.good_bands].astype(np.float32), item.valid


def compared(cube: np.ndarray, valid: np.ndarray, kind: str, latent: int) -> list[str]:
    """The cells of a row: PCA and ours at one latent size over the splits."""
    angles: dict[str, list[float]] = {"pca": [], "residual": []}
    squares: dict[str, list[float]] = {"pca": [], "residual": []}
    seconds = []
    for seed in SEEDS:
        settings = dataclasses.replace(SPLITS[kind], seed=seed)
        roles = split_pixels(valid.astype(np.int32), settings, seed_parts=("autoencoders",))
        spectra, unseen = (np.ascontiguousarray(cube[:, roles == role].T) for role in (TRAIN, TEST))
        for name in angles:
            start = time.process_time()
            trained = fitted(name, spectra, latent=latent, seed=seed)
            spent = time.process_time() - start
            back = trained.reconstruct(unseen)
            angles[name].append(sam_degrees(unseen.T[:, None], back.T[:, None]))
            squares[name].append(float(np.mean(np.square(back - unseen, dtype=np.float64))))
        seconds.append(spent)
    ratios = np.array(squares["residual"]) / np.array(squares["pca"])
    cells = [f"{np.mean(angles['pca']):.3f}"]
    cells += [f"{np.mean(angles['residual']):.3f} ± {np.std(angles['residual'], ddof=1):.3f}"]
    cells += [f"{max(angles['residual']):.3f}", *(f"{np.mean(squares[name]):.3g}" for name in squares)]
    return [*cells, f"{ratios.mean():.2f}", f"{ratios.max():.2f}", f"{np.mean(seconds):.1f}"]


def errors(folder: Path) -> str:
    rows = [
        "| scene | split | z | SAM of PCA | SAM of ours | largest | MSE of PCA | MSE of ours | ratio of MSE | largest "
        "| CPU s of ours |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    wanted: list[tuple[str, str, str | None, int]] = [("Indian Pines subset", *INDIAN, latent) for latent in LATENTS]
    wanted += [(name, *place, CHECK_LATENT) for name, place in CHECKS.items()]
    for name, file, key, latent in tqdm(wanted, desc="errors"):
        cube, valid = read_cube(folder, file, key)
        for kind in SPLITS:
            rows.append("| " + " | ".join([name, kind, str(latent), *compared(cube, valid, kind, latent)]) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real scenes; without it only speed is measured")
    data = parser.parse_args().data
    torch.set_num_threads(1)
    functional.gelu(torch.zeros(1))  # what is loaded lazily is loaded now
    parts = [
        "# Spectral autoencoders side by side",
        f"Written by `python benchmarks/spectral_autoencoders.py`; one thread, {platform.machine()}, torch "
        f"{torch.__version__}.",
        "## Speed",
        f"Spectra per CPU second, medians of {TURNS} turns: training (batch {TRAIN_BATCH}, Adam, each method's default "
        f"loss) and reconstruction (batch {INFER_BATCH}). Ratios to the first row, of the same turns.",
        speeds(),
        "Measured earlier with the peers' own programs and shapes, for comparison of magnitudes only:",
        PEERS,
    ]
    if data is not None:
        settings = find_method("segmentation", "residual").complete({})
        hidden, epochs, steps = (settings[name] for name in ("hidden", "epochs", "steps_per_epoch"))
        parts += [
            "## Errors on unseen pixels",
            "In the scenes' own units; SAM in degrees. Mean, standard deviation and largest over "
            f"{len(SEEDS)} splits with a seed each; 70 % of the pixels train: random pixels (*leaky*: test pixels are "
            "neighbours of training pixels), or blocks of 10 x 10 pixels, test pixels within 3 of a training pixel "
            "left out. All settings but the latent size z are the defaults, for the residual autoencoder "
            f"{hidden} hidden units and {epochs} epochs of {steps} steps. They were chosen by looking at held-out "
            "pixels of these scenes, the EnMAP tile excepted; the hidden units and the epochs at last by validation "
            "blocks within the training part of the Indian Pines subset.",
            errors(data),
            "The peers, measured earlier with their own programs, normalisations and splits:",
            PEER_ERRORS,
        ]
    text = "\n\n".join(parts) + "\n"
    print(text)
    write_text(REPORT, text)


if __name__ == "__main__":
    main()
